// A vocabulary's normalisers and pre-tokenisers, compiled: from a text between added tokens to the
// pieces that are merged alone.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/tokenizer/pattern.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// Bytes that no normaliser or pattern may look at because they are not UTF-8 stand as parts of
// their own, so that every byte survives.
struct TextPart {
  std::string_view text;
  bool is_utf8 = true;
};

// Thread-safe after Create.
class TextPipeline {
 public:
  // Errors of Pattern::Compile, with the step's number.
  static absl::StatusOr<TextPipeline> Create(const std::vector<NormalizerStep>& normalizers,
                                             const std::vector<PreTokenizerStep>& pre_tokenizers);

  // Texts made on the way; the parts of a result point into it.
  using Storage = std::deque<std::string>;

  absl::StatusOr<std::vector<TextPart>> Normalize(std::string_view text, PatternMatcher& matcher,
                                                  Storage& storage) const;

  // Cuts normalised parts. `at_start`: the first of them begins the whole input.
  absl::StatusOr<std::vector<TextPart>> Split(std::vector<TextPart> parts, bool at_start,
                                              PatternMatcher& matcher, Storage& storage) const;

 private:
  struct Normalizer {
    NormalizerStep step;
    std::vector<Pattern> pattern;  // one for kReplace, else none
  };
  struct PreTokenizer {
    PreTokenizerStep step;
    std::vector<Pattern> pattern;  // one for kSplit, else none
  };
  TextPipeline() = default;

  std::vector<Normalizer> normalizers_;
  std::vector<PreTokenizer> pre_tokenizers_;
};

// `text` cut where UTF-8 begins and ends.
std::vector<TextPart> PartsByValidity(std::string_view text);

}  // namespace potluck::model
