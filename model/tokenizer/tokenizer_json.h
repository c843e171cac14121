// Hugging Face's tokenizer.json (and tokenizer_config.json beside it) as a Vocabulary.
// Source: docs/formats.md; the files' meaning is defined by the `tokenizers` library.
//
// Read: model BPE (byte-level as in GPT-2, Llama 3, Qwen, GLM-4, Phi-4; or made from SentencePiece
// as in Llama 2, Mistral, Gemma). Normalisers NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence.
// Pre-tokenisers ByteLevel, Split, Metaspace, Digits, Punctuation, Sequence. Post-processors
// TemplateProcessing, RobertaProcessing, ByteLevel, Sequence. Anything else that changes ids is an
// error that names it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/tokenizer/vocabulary.h"

namespace potluck::model {

// Longest file that is read. The largest in use (256k tokens with merges as pairs) are about 35
// MiB.
inline constexpr size_t kMaxTokenizerJsonBytes = size_t{96} << 20;

// From the bytes of tokenizer.json, and those of tokenizer_config.json where there is one (empty
// otherwise): it names bos, eos, unk and pad and may say add_bos_token, add_eos_token.
// InvalidArgument where the JSON is not what it should be, Unimplemented where it asks for a part
// that is not supported; both say which part.
absl::StatusOr<Vocabulary> VocabularyFromTokenizerJson(std::string_view tokenizer_json,
                                                       std::string_view tokenizer_config_json);

}  // namespace potluck::model
