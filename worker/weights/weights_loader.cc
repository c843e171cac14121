#include "worker/weights/weights_loader.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "partition/stage_memory.h"
#include "worker/disposal.h"
#include "worker/stage/device_stage.h"

namespace potluck::worker {
namespace {

// Of the whole, where something had to be fetched: the rest is loading.
constexpr double kFetchedShare = 0.8;
constexpr double kLeastProgress = 0.01;
// Less than that is told, too, after so long: a hundredth of a large model may take minutes, and
// who hears nothing of a worker for a minute gives it up.
constexpr absl::Duration kLongestSilence = absl::Seconds(5);

// What the coordinator has named twice, or has named beside itself, counts once.
std::vector<wire::Peer> Distinct(const wire::Peer& coordinator, const wire::WorkerId& self,
                                 std::vector<wire::Peer> peers) {
  std::vector<wire::Peer> distinct = {coordinator};
  for (wire::Peer& peer : peers) {
    const bool known =
        peer.worker == self || std::ranges::count(distinct, peer.worker, &wire::Peer::worker) > 0;
    if (!known) distinct.push_back(std::move(peer));
  }
  return distinct;
}

model::StageOptions StageOptionsOf(const wire::Prepare& plan) {
  model::StageOptions options;
  options.range = plan.range;
  options.context_length = plan.context_length;
  options.kv = {.dtype = plan.kv_dtype,
                .capacity = plan.kv_capacity,
                .max_sequences = plan.max_sequences,
                .spare_blocks = partition::kSpareKvBlocks};
  options.max_tokens = plan.max_tokens;
  options.max_outputs = std::min(plan.max_outputs, plan.max_tokens);
  return options;
}

absl::StatusOr<std::shared_ptr<const model::TokenTrie>> VocabularyOf(
    const model::StoredModel& model) {
  POTLUCK_ASSIGN_OR_RETURN(model::Vocabulary vocabulary, model::ReadVocabulary(model.file()));
  POTLUCK_ASSIGN_OR_RETURN(auto tokenizer, model::Tokenizer::Create(std::move(vocabulary)));
  return std::make_shared<const model::TokenTrie>(std::move(tokenizer));
}

absl::StatusOr<DeviceStage::Parts> LoadOnDevice(const OpenDevice& open_device,
                                                const wire::Prepare& plan,
                                                const StageWeights& weights,
                                                const std::function<void(double)>& on_progress,
                                                const std::function<bool()>& cancelled) {
  DeviceStage::Parts parts;
  model::StageOptions stage = StageOptionsOf(plan);
  stage.on_progress = on_progress;
  stage.cancelled = cancelled;
  const model::ModelConfig& config = weights.model->config();
  POTLUCK_ASSIGN_OR_RETURN(parts.backend, open_device(plan.device));
  POTLUCK_ASSIGN_OR_RETURN(const auto source, weights.model->Weights(weights.tensors));
  POTLUCK_ASSIGN_OR_RETURN(parts.stage,
                           model::DecoderStage::Load(config, *source, *parts.backend, stage));
  parts.keeps_cached = weights.pin;
  parts.is_last = plan.range.last_cut == 2 * config.num_layers;
  parts.replay_bytes = plan.replay_bytes;
  parts.vocabulary = [model = weights.model] { return VocabularyOf(*model); };
  return parts;
}

}  // namespace

// Fetches, then loads on a thread that becomes the stage's.
class WeightsLoader::StageLoading final : public Loading {
 public:
  StageLoading(WeightsLoader& loader, const wire::Prepare& plan,
               absl::AnyInvocable<void(double)> on_progress,
               absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done)
      : loader_(loader), plan_(plan), on_progress_(std::move(on_progress)), done_(std::move(done)) {
    loader_.BeginLoading();
    // What was given up before may still hold the memory that this stage is to have.
    loader_.around_.disposal.Post(
        [this, alive = std::weak_ptr(alive_), &executor = loader_.around_.executor] {
          executor.Post([this, alive] {
            if (!alive.expired()) Fetch();
          });
        });
  }
  ~StageLoading() override {
    *cancelled_ = true;
    if (fetching_) loader_.EndLoading();
    DestroyOn(loader_.around_.disposal, std::move(work_));
  }

 private:
  struct Work {
    absl::StatusOr<DeviceStage::Parts> parts = absl::UnknownError("not loaded yet");
    std::unique_ptr<Executor> thread;  // ends first: its task looks at cancelled_ after each weight
  };

  void Fetch() {
    weights_.emplace(
        loader_.around_, loader_.store_, loader_.manifests_, Needs(), loader_.options_.fetch,
        [this](double fraction) {
          fetched_ = true;
          Show(kFetchedShare * fraction);
        },
        [this](absl::StatusOr<StageWeights> weights) { OnWeights(std::move(weights)); });
  }

  WantedWeights Needs() {
    WantedWeights wanted = loader_.Wanted(plan_.manifest, StageOptionsOf(plan_), plan_.sources);
    if (loader_.options_.claims != nullptr)
      wanted.admit = [this](const model::StageMemory& memory) { return Announce(memory); };
    return wanted;
  }

  absl::Status Announce(const model::StageMemory& memory) {
    const int64_t bytes = memory.total() + plan_.replay_bytes;
    POTLUCK_ASSIGN_OR_RETURN(claim_,
                             loader_.options_.claims->Take(plan_.device, plan_.instance, bytes));
    return absl::OkStatus();
  }

  void OnWeights(absl::StatusOr<StageWeights> weights) {
    fetching_ = false;
    loader_.EndLoading();
    if (!weights.ok()) {
      done_(weights.status());
      return;
    }
    work_ = std::make_unique<Work>();
    work_->thread = loader_.options_.make_thread();
    work_->thread->Post([this, alive = std::weak_ptr(alive_), work = work_.get(),
                         cancelled = cancelled_, &executor = loader_.around_.executor,
                         open_device = loader_.options_.open_device, plan = plan_,
                         weights = *std::move(weights), claim = std::move(claim_)]() mutable {
      const auto on_progress = [&](double fraction) {
        executor.Post([this, alive, fraction] {
          if (!alive.expired()) OnLoaded(fraction);
        });
      };
      work->parts =
          LoadOnDevice(open_device, plan, weights, on_progress, [&] { return cancelled->load(); });
      if (work->parts.ok()) work->parts->memory_claim = std::move(claim);
      executor.Post([this, alive] {
        if (!alive.expired()) OnParts();
      });
    });
  }

  void OnLoaded(double fraction) {
    Show(fetched_ ? kFetchedShare + (1 - kFetchedShare) * fraction : fraction);
  }

  void OnParts() {
    if (!work_->parts.ok()) {
      done_(work_->parts.status());
      return;
    }
    if (loader_.options_.loaded) loader_.options_.loaded(now() - began_at_);
    done_(std::make_unique<DeviceStage>(*std::move(work_->parts), std::move(work_->thread),
                                        loader_.around_.executor, loader_.around_.disposal));
  }

  void Show(double fraction) {
    const bool is_due = fraction > shown_ && now() - shown_at_ >= kLongestSilence;
    if (fraction < shown_ + kLeastProgress && !is_due) return;
    shown_ = fraction;
    shown_at_ = now();
    on_progress_(fraction);
  }

  absl::Duration now() const { return loader_.around_.executor.clock().SinceStart(); }

  WeightsLoader& loader_;
  const wire::Prepare plan_;
  const absl::Duration began_at_ = now();
  absl::AnyInvocable<void(double)> on_progress_;
  absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done_;
  bool fetching_ = true, fetched_ = false;
  double shown_ = 0;
  absl::Duration shown_at_;
  std::shared_ptr<const void> claim_;  // of its memory, from its announcement until it is loaded
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::optional<StageWeightsFetch> weights_;
  std::unique_ptr<Work> work_;  // once the weights are there
};

struct WeightsLoader::Copy {
  WantedWeights wanted;
  absl::AnyInvocable<void(absl::Status)> done;
  std::unique_ptr<StageWeightsFetch> fetch;  // once it has begun
};

WeightsLoader::WeightsLoader(WeightsLoaderOptions options, model::BlobStore store,
                             const WeightsSurroundings& around)
    : options_(std::move(options)),
      store_(std::move(store)),
      around_(around),
      manifests_(options_.manifests_folder) {}

WeightsLoader::~WeightsLoader() = default;

WantedWeights WeightsLoader::Wanted(const wire::Digest& manifest, const model::StageOptions& stage,
                                    std::vector<wire::Peer> sources) const {
  return {.manifest = Sha256Digest{manifest},
          .stage = stage,
          .sources = Distinct(options_.coordinator, around_.self, std::move(sources)),
          .admit = nullptr,
          .look_for = options_.look_for};
}

std::unique_ptr<StageLoader::Loading> WeightsLoader::Load(
    const wire::Prepare& stage, absl::AnyInvocable<void(double fraction)> on_progress,
    absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<StageRunner>>)> done) {
  return std::make_unique<StageLoading>(*this, stage, std::move(on_progress), std::move(done));
}

// ---- copies ----

void WeightsLoader::KeepCopy(const wire::KeepCopy& copy,
                             absl::AnyInvocable<void(absl::Status)> done) {
  const auto is_same = [&](const Copy& other) {
    return other.wanted.manifest == Sha256Digest{copy.manifest} &&
           other.wanted.stage.range == copy.range;
  };
  if (std::ranges::any_of(copies_, is_same)) return;  // whose end will be told
  if (copies_.size() >= kMostCopies) {
    done(absl::ResourceExhaustedError(
        absl::StrCat(kMostCopies, " copies of weights wait to be fetched already")));
    return;
  }
  model::StageOptions stage;
  stage.range = copy.range;
  copies_.push_back({Wanted(copy.manifest, stage, copy.sources), std::move(done), nullptr});
  StartNextCopy();
}

void WeightsLoader::StartNextCopy() {
  if (copies_.empty() || copies_.front().fetch != nullptr || num_loading_ > 0) return;
  Copy& copy = copies_.front();
  FetchOptions options = options_.fetch;
  options.chunks_per_source = 1;
  copy.fetch = std::make_unique<StageWeightsFetch>(
      around_, store_, manifests_, copy.wanted, options, [](double) {},
      [this](const absl::StatusOr<StageWeights>& weights) { EndCopy(weights.status()); });
}

void WeightsLoader::EndCopy(absl::Status status) {
  Copy ended = std::move(copies_.front());
  copies_.pop_front();
  DestroyOn(around_.executor, std::move(ended.fetch));  // it is in the midst of its callback
  StartNextCopy();
  ended.done(std::move(status));
}

void WeightsLoader::BeginLoading() {
  ++num_loading_;
  // It goes on later from the chunks that are there. Until then it must hold no partial blob: the
  // stage may need the very same.
  if (!copies_.empty()) copies_.front().fetch.reset();
}

void WeightsLoader::EndLoading() {
  --num_loading_;
  StartNextCopy();
}

}  // namespace potluck::worker
