#include "kernels/host_backend.h"

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "kernels/host_buffer.h"

namespace potluck::kernels {
namespace {

bool Holds(const Buffer& buffer, int64_t offset_bytes, int64_t size_bytes) {
  return offset_bytes >= 0 && size_bytes >= 0 && size_bytes <= buffer.size_bytes() &&
         offset_bytes <= buffer.size_bytes() - size_bytes;
}

absl::Status CheckTransfer(const TensorView& view, size_t host_bytes) {
  int64_t elements = 1;
  bool dense = true;
  for (int i = view.rank - 1; i >= 0; --i) {
    dense = dense && (view.shape[i] <= 1 || view.strides[i] == elements);
    elements *= view.shape[i];
  }
  const int64_t bytes = BytesOf(view.dtype, elements);
  if (!dense || bytes != static_cast<int64_t>(host_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("a transfer of ", host_bytes, " bytes for ",
                                                   dense ? "" : "rows that lie apart in ",
                                                   ToString(view), ", which has ", bytes));
  }
  if (bytes > 0 && (view.buffer == nullptr || !Holds(*view.buffer, view.offset_bytes, bytes))) {
    return absl::InvalidArgumentError(
        absl::StrCat("a transfer for ", ToString(view), ", which leaves its buffer"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Buffer>> HostBackend::Allocate(int64_t size_bytes,
                                                              std::string_view what) {
  return AllocateHostBuffer(size_bytes, what);
}

absl::Status HostBackend::Upload(std::span<const std::byte> from, const TensorView& to) {
  POTLUCK_RETURN_IF_ERROR(CheckTransfer(to, from.size()));
  if (!from.empty()) std::memcpy(to.host<std::byte>(), from.data(), from.size());
  return absl::OkStatus();
}

absl::Status HostBackend::Download(const TensorView& from, std::span<std::byte> to) {
  POTLUCK_RETURN_IF_ERROR(CheckTransfer(from, to.size()));
  if (!to.empty()) std::memcpy(to.data(), from.host<std::byte>(), to.size());
  return absl::OkStatus();
}

absl::Status HostBackend::Copy(const Buffer& from, int64_t from_bytes, Buffer& to, int64_t to_bytes,
                               int64_t size_bytes) {
  if (!Holds(from, from_bytes, size_bytes) || !Holds(to, to_bytes, size_bytes) ||
      (&from == &to && std::abs(from_bytes - to_bytes) < size_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a copy of ", size_bytes, " bytes from byte ", from_bytes, " of ", from.size_bytes(),
        " to byte ", to_bytes, " of ", to.size_bytes(), &from == &to ? " of the same buffer" : "",
        " leaves a buffer or overlaps itself"));
  }
  if (size_bytes > 0) std::memcpy(to.host() + to_bytes, from.host() + from_bytes, size_bytes);
  return absl::OkStatus();
}

}  // namespace potluck::kernels
