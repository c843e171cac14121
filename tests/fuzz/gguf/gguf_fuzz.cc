// Any bytes as a GGUF file: the header, and what is made of it. The inputs begin behind the magic,
// so that the fuzzer needn't find it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_vocabulary.h"

namespace potluck::model {
namespace {

// A file in memory with a path, for the readers that map.
std::string MemoryFile(const std::string& bytes) {
  static const int descriptor = memfd_create("gguf_fuzz", 0);
  if (descriptor < 0 || ftruncate(descriptor, 0) != 0) std::abort();
  if (pwrite(descriptor, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }
  return "/proc/self/fd/" + std::to_string(descriptor);
}

void Use(const GgufFile& file) {
  for (const GgufMetadata::Entry& entry : file.metadata().entries()) {
    entry.value.ToString();
    entry.value.Int();
    entry.value.Float();
    entry.value.Ints();
    entry.value.Floats();
    entry.value.Bools();
    entry.value.Strings();
  }
  uint64_t sum = 0;
  for (const WeightTensor& tensor : file.tensors()) {
    if (file.Find(tensor.name) == nullptr) std::abort();
    if (!tensor.bytes.empty()) {
      sum +=
          static_cast<uint64_t>(tensor.bytes.front()) + static_cast<uint64_t>(tensor.bytes.back());
    }
    for (const WeightBytes& expert : tensor.experts) {
      if (!expert.bytes.empty()) sum += static_cast<uint64_t>(expert.bytes.back());
    }
  }
  volatile uint64_t keep = sum;
  static_cast<void>(keep);
  static_cast<void>(ConfigFromGguf(file));
  static_cast<void>(VocabularyFromGguf(file));
  static_cast<void>(ChatTemplateFromGguf(file));
  static_cast<void>(SamplingDefaultsFromGguf(file));
}

}  // namespace
}  // namespace potluck::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = "GGUF" + std::string(reinterpret_cast<const char*>(data), size);
  const auto file = potluck::model::GgufFile::Open(potluck::model::MemoryFile(bytes));
  if (file.ok()) potluck::model::Use(**file);
  return 0;
}
