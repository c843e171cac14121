#include "coordinator/api/embedding.h"

#include <optional>
#include <utility>

#include "common/log.h"
#include "common/text.h"
#include "model/generation/row_mean.h"

namespace potluck::coordinator {

class Embedding::Input final : public RequestEvents {
 public:
  Input(Embedding& embedding, size_t index)
      : embedding_(embedding), index_(index), mean_(embedding.served_.model->shape.model_dim) {}
  ~Input() override {
    if (id_.has_value()) embedding_.around_.coordinator.Cancel(*id_);
  }

  absl::Status Submit(model::InstanceId instance, SequenceRequest request) {
    auto id = embedding_.around_.coordinator.Submit(instance, std::move(request), *this);
    if (id.ok()) id_ = *id;
    return id.status();
  }

  void OnRows(const std::vector<float>& rows) override { mean_.Add(rows); }
  void OnFinished(const SchedulerEvent& /*end*/) override { End(mean_.Normalized()); }
  void OnFailed(const absl::Status& why) override { End(why); }

 private:
  void End(absl::StatusOr<std::vector<float>> vector) {
    id_.reset();
    embedding_.OnInputEnd(index_, std::move(vector));
  }

  Embedding& embedding_;
  const size_t index_;
  std::optional<Coordinator::RequestId> id_;
  model::RowMean mean_;
};

namespace {

constexpr absl::Duration kAgain = absl::Milliseconds(100);

SequenceRequest RowsOf(std::vector<model::TokenId> ids, model::Pooling pooling) {
  SequenceRequest request{.prompt = std::move(ids), .end_tokens = {}, .rows_from = 0};
  // The first row depends on nothing after it.
  if (pooling == model::Pooling::kFirst) request.prompt.resize(1);
  if (pooling == model::Pooling::kLast)
    request.rows_from = static_cast<int32_t>(request.prompt.size()) - 1;
  return request;
}

}  // namespace

Embedding::Embedding(std::string model_name, Served served,
                     std::vector<std::vector<model::TokenId>> inputs,
                     std::shared_ptr<EmbeddingReader> reader, const Around& around,
                     std::function<void()> ended)
    : served_(std::move(served)),
      inputs_(std::move(inputs)),
      reader_(std::move(reader)),
      around_(around),
      metrics_(RequestMetricsOf(around.metrics, served_.model->name, served_.instance)),
      ended_(std::move(ended)),
      under_way_(inputs_.size()),
      again_(around.executor),
      started_at_(around.executor.clock().SinceStart()) {
  embeddings_.model_name = std::move(model_name);
  embeddings_.vectors.resize(inputs_.size());
  for (const auto& ids : inputs_) embeddings_.prompt_tokens += std::ssize(ids);
}

Embedding::~Embedding() = default;

void Embedding::Start() {
  SubmitMore();
  if (!over_) reader_->OnBegin(*this);
}

void Embedding::SubmitMore() {
  while (!over_ && next_ < inputs_.size() && num_under_way_ < kMostAtOnce) {
    const auto tokens = std::ssize(inputs_[next_]);
    if (num_under_way_ > 0 && tokens_under_way_ + tokens > kMostTokensAtOnce) return;
    auto input = std::make_unique<Input>(*this, next_);
    const absl::Status status = input->Submit(around_.models.LeastBusyReplica(served_).instance,
                                              RowsOf(inputs_[next_], served_.model->pooling));
    if (absl::IsResourceExhausted(status) && num_under_way_ > 0) return;  // until one of them ends
    if (absl::IsResourceExhausted(status) && num_ended_ > 0)
      return again_.Start(kAgain, [this] { SubmitMore(); });
    if (!status.ok()) return Fail(status);
    under_way_[next_++] = std::move(input);
    ++num_under_way_;
    tokens_under_way_ += tokens;
  }
}

void Embedding::OnInputEnd(size_t index, absl::StatusOr<std::vector<float>> vector) {
  if (over_) return;
  if (!vector.ok()) return Fail(vector.status());
  embeddings_.vectors[index] = *std::move(vector);
  around_.executor.Post([input = std::move(under_way_[index])] {});  // this is its own call
  --num_under_way_;
  tokens_under_way_ -= std::ssize(inputs_[index]);
  if (++num_ended_ < inputs_.size()) return SubmitMore();
  metrics_.prompt_tokens.Add(embeddings_.prompt_tokens);
  metrics_.end_to_end.Observe(
      absl::ToDoubleSeconds(around_.executor.clock().SinceStart() - started_at_));
  metrics_.stopped.Add(1);
  NoteEnd("stop");
  reader_->OnEnd(std::move(embeddings_),
                 std::shared_ptr<const void>(nullptr, [ended = ended_](const void*) { ended(); }));
}

void Embedding::Cancel() {
  if (over_) return;
  metrics_.cancelled.Add(1);
  NoteEnd("the client is gone");
  ended_();
}

void Embedding::GiveUp(const absl::Status& why) {
  if (!over_) Fail(why);
}

void Embedding::Fail(const absl::Status& why) {
  if (next_ > 0) metrics_.failed.Add(1);
  NoteEnd(ToStd(why.ToString()));
  reader_->OnFailed(why);
  ended_();
}

// Perhaps in the midst of an input's call: they are destroyed with this object.
void Embedding::NoteEnd(std::string_view how) {
  over_ = true;
  again_.Cancel();
  Log(LogLevel::kInfo, "embeddings ended",
      {{"model", served_.model->name},
       {"how", how},
       {"inputs", inputs_.size()},
       {"embedded", num_ended_}});
}

}  // namespace potluck::coordinator
