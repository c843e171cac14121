#include "coordinator/library/model_library.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "common/status_macros.h"
#include "model/model_file.h"

namespace potluck::coordinator {
namespace {

std::vector<model::TokenId> EndTokensOf(const model::TextCodec& text, int64_t vocab_size) {
  std::vector<model::TokenId> ends = text.end_tokens();
  for (model::TokenId id = 0; id < vocab_size; ++id) {
    if (text.tokenizer().IsEndOfGeneration(id)) ends.push_back(id);
  }
  std::ranges::sort(ends);
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

int64_t ShortestWindow(const partition::ModelShape& shape) {
  int64_t shortest = 0;
  for (const partition::LayerShape& layer : shape.layers) {
    if (layer.window > 0 && (shortest == 0 || layer.window < shortest)) shortest = layer.window;
  }
  return shortest;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ServedModel>> OpenServedModel(
    const std::string& path, const model::ManifestCache& manifests, model::LocalFiles& files,
    const model::MakeManifestOptions& options) {
  POTLUCK_ASSIGN_OR_RETURN(const model::ModelFile file, model::OpenModelFile(path));
  POTLUCK_RETURN_IF_ERROR(file.config.status());
  POTLUCK_ASSIGN_OR_RETURN(model::TextCodec text, model::TextCodec::Create(file));
  POTLUCK_ASSIGN_OR_RETURN(partition::ModelShape shape,
                           partition::MakeModelShape(file.name, *file.config, *file.weights));
  POTLUCK_ASSIGN_OR_RETURN(const model::IndexedManifest indexed, manifests.Get(file, options));
  files.Add(indexed);
  const int64_t vocab_size = file.config->vocab_size;
  std::vector<model::TokenId> ends = EndTokensOf(text, vocab_size);
  const int64_t window = ShortestWindow(shape);
  return std::make_shared<const ServedModel>(ServedModel{.name = file.name,
                                                         .path = file.path,
                                                         .text = std::move(text),
                                                         .shape = std::move(shape),
                                                         .manifest = indexed.address,
                                                         .manifest_bytes = indexed.bytes,
                                                         .vocab_size = vocab_size,
                                                         .window = window,
                                                         .end_tokens = std::move(ends),
                                                         .pooling = file.config->pooling});
}

void ModelLibrary::Open(const std::string& path, Opened opened) {
  reading_.Post([&manifests = manifests_, &local = local_, &executor = executor_,
                 cancelled = cancelled_, path, tell = std::move(opened)]() mutable {
    model::MakeManifestOptions options;
    options.num_threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    options.cancelled = [cancelled] { return cancelled->load(); };
    auto model = OpenServedModel(path, manifests, local, options);
    executor.Post([cancelled, tell = std::move(tell), model = std::move(model)]() mutable {
      if (!*cancelled) tell(std::move(model));
    });
  });
}

}  // namespace potluck::coordinator
