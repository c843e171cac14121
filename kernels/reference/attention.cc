#include "kernels/reference/reference_backend.h"

namespace potluck::kernels {

absl::Status ReferenceBackend::KvWrite(const KvWriteArgs&) {
  return absl::UnimplementedError("KvWrite");
}
absl::Status ReferenceBackend::Attention(const AttentionArgs&) {
  return absl::UnimplementedError("Attention");
}

}  // namespace potluck::kernels
