// What backends share whose device memory is this machine's own: plain buffers, and copies that
// are done when the call returns.
#pragma once

#include "kernels/backend.h"

namespace potluck::kernels {

class HostBackend : public Backend {
 public:
  absl::StatusOr<std::unique_ptr<Buffer>> Allocate(int64_t size_bytes, std::string_view what) final;
  absl::Status Upload(std::span<const std::byte> from, const TensorView& to) final;
  absl::Status Download(const TensorView& from, std::span<std::byte> to) final;
  absl::Status Copy(const Buffer& from, int64_t from_bytes, Buffer& to, int64_t to_bytes,
                    int64_t size_bytes) final;
};

}  // namespace potluck::kernels
