// Choosing the next token: a pure function of (logits, parameters, token history, allowed tokens,
// place). The same call gives the same token on every machine, and a draft is right exactly when it
// equals the call's result, so drafts never change the text.
//
// In this order: the mask, logit biases, penalties (repeat, presence, frequency), then, for
// temperature > 0, top-k, top-p, min-p, temperature, and the Gumbel-max trick (Gumbel 1954;
// Maddison et al. 2014, arXiv:1411.0030):
//   token = argmax_i (z_i / temperature - log(-log(u_i))),  u_i from Philox keyed by (seed, choice,
//   position, i)
// which draws from softmax(z / temperature) over what the filters left. Ties go to the lower id.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

struct SamplingParams {
  float temperature = 0.8f;  // 0: greedy
  int32_t top_k = 40;        // 0: all
  float top_p = 0.95f;       // 1: all
  float min_p = 0.05f;       // of the best token's probability; 0: all
  // Divides positive logits (multiplies negative ones) of the last repeat_window tokens, prompt
  // included. 1: none. Keskar et al. 2019, arXiv:1909.05858.
  float repeat_penalty = 1;
  int32_t repeat_window = 64;
  // Subtracted once, and per occurrence, from the logits of tokens generated so far, as OpenAI's
  // API has it.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::vector<std::pair<TokenId, float>>
      logit_bias;  // added; ids outside the vocabulary are refused
  uint64_t seed = 0;
  // GBNF that the answer follows (model/grammar/grammar.h); empty: any text. Where `grammar_after`
  // is not empty: what comes after its first occurrence does, and it must come.
  std::string grammar, grammar_after;
};

// InvalidArgument, naming the parameter, for a value outside its range or a bias for an id >=
// vocab_size. Grammars are not looked at.
absl::Status CheckSampling(const SamplingParams& params, int64_t vocab_size);

// What the choice depends on beside logits and parameters.
struct SamplingContext {
  std::span<const TokenId> history;  // prompt and generated tokens, oldest first
  size_t prompt_length = 0;          // of `history`
  int32_t position = 0;              // of the token to be chosen
  int32_t choice = 0;                // of several answers to one prompt
  // By id, 64 in a word, the first in its lowest bit; those beyond it are forbidden. Empty: all are
  // allowed.
  std::span<const uint64_t> allowed;
};

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};

// Thread-compatible; holds scratch space only, so two samplers always agree.
class Sampler {
 public:
  // Internal if a logit is NaN or +infinity, also where biases and penalties made it so;
  // FailedPrecondition if no token is allowed.
  absl::StatusOr<TokenId> Sample(std::span<const float> logits, const SamplingParams& params,
                                 const SamplingContext& context);

 private:
  struct Candidate {
    float logit;
    TokenId id;
  };

  absl::Status CollectCandidates(std::span<const float> logits, const SamplingParams& params,
                                 const SamplingContext& context);
  void ApplyPenalties(const SamplingParams& params, const SamplingContext& context);
  void KeepTopK(int32_t top_k);
  void KeepTopP(float top_p);
  void KeepMinP(float min_p);
  TokenId GumbelMax(const SamplingParams& params, const SamplingContext& context) const;

  std::vector<float> logits_;          // after biases and penalties
  std::vector<Candidate> candidates_;  // by id, until KeepTopP
  std::vector<TokenId> seen_;
};

// Log-probabilities of softmax(logits), before biases, penalties and filters: of `chosen`, then of
// the `top` likeliest tokens in descending order (ties: lower id first).
std::vector<TokenLogprob> Logprobs(std::span<const float> logits, TokenId chosen, int top);

}  // namespace potluck::model
