// Any text as a manifest: what passes keeps the rules and is its own serialisation.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/store/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace model = potluck::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = model::ParseManifest(text);
  if (!manifest.ok()) return 0;
  if (model::SerializeManifest(*manifest) != text || manifest->documents.empty()) std::abort();
  for (const model::ManifestTensor& tensor : manifest->tensors) {
    if (tensor.shape.empty() || tensor.blobs.empty()) std::abort();
    for (const model::Blob& blob : tensor.blobs) {
      if (blob.chunks.size() != model::NumChunks(blob.size_bytes)) std::abort();
    }
  }
  return 0;
}
