// Checks the fields of a message that a peer has sent. The first that is wrong is remembered and
// decides; what the checks return after that is of no use, but safe to go on with.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/dtype.h"
#include "wire/grpc/field_bounds.h"
#include "wire/messages.h"

namespace potluck::wire {

class Fields {
 public:
  // `message`: whose fields they are, for the error; must outlive this.
  explicit Fields(const char* message) : message_(message) {}

  const absl::Status& status() const { return status_; }
  bool ok() const { return status_.ok(); }

  void Fail(absl::string_view field, absl::string_view why) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat("the peer has sent a ", message_, " whose ", field, " ", why));
  }
  void Require(bool condition, absl::string_view field, absl::string_view why) {
    if (!condition) Fail(field, why);
  }

  template <class T>
  T Between(absl::string_view field, T value, T least, T most) {
    if (value >= least && value <= most) return value;
    Fail(field, absl::StrCat("is ", value, ", not ", least, " to ", most));
    return least;
  }
  int32_t NotNegative(absl::string_view field, int32_t value) {
    return Between(field, value, 0, std::numeric_limits<int32_t>::max());
  }
  // Ids and numbers that only grow.
  int64_t Id(absl::string_view field, int64_t value) {
    return Between<int64_t>(field, value, 0, std::numeric_limits<int64_t>::max());
  }
  int64_t Count(absl::string_view field, int64_t value) {
    return Between<int64_t>(field, value, 0, kMaxCount);
  }
  int64_t Bytes(absl::string_view field, int64_t value) {
    return Between<int64_t>(field, value, 0, int64_t{1} << 60);
  }
  template <class T>
  T Finite(absl::string_view field, T value) {
    if (std::isfinite(value)) return value;
    Fail(field, "is no number");
    return 0;
  }
  // Seconds and rates.
  double Quantity(absl::string_view field, double value) {
    if (std::isfinite(value) && value >= 0) return value;
    Fail(field, "is negative or no number");
    return 0;
  }
  // False where there are more than `most`: then they are not to be read.
  bool AtMost(absl::string_view field, int count, int most) {
    if (count <= most) return true;
    Fail(field, absl::StrCat("are ", count, ", more than ", most));
    return false;
  }

  std::string Text(absl::string_view field, const std::string& value,
                   size_t most_bytes = kMaxTextBytes) {
    // A sender cuts at the bound and then says so.
    if (value.size() <= most_bytes + 16) return value;
    Fail(field, absl::StrCat("has ", value.size(), " bytes, more than ", most_bytes));
    return "";
  }
  // Fit to be a host name's label, as certificates have it.
  WorkerId Worker(absl::string_view field, const std::string& value) {
    const bool good =
        value.size() <= 63 && value.find_first_not_of(kWorkerCharacters) == std::string::npos;
    if (good && !value.empty()) return value;
    Fail(field, "is no worker's id");
    return "";
  }
  WorkerId WorkerOrNone(absl::string_view field, const std::string& value) {
    return value.empty() ? "" : Worker(field, value);
  }
  Digest Sha256(absl::string_view field, const std::string& value) {
    Digest digest{};
    if (value.size() == digest.size()) {
      std::memcpy(digest.data(), value.data(), digest.size());
    } else {
      Fail(field, absl::StrCat("has ", value.size(), " bytes, not ", digest.size()));
    }
    return digest;
  }
  kernels::DType DType(absl::string_view field, uint32_t gguf_type) {
    const std::optional<kernels::DType> dtype = kernels::DTypeFromGguf(gguf_type);
    if (!dtype) Fail(field, absl::StrCat("is ", gguf_type, ", no known tensor type"));
    return dtype.value_or(kernels::DType::kF32);
  }

 private:
  static constexpr char kWorkerCharacters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

  const char* message_;
  absl::Status status_;
};

}  // namespace potluck::wire
