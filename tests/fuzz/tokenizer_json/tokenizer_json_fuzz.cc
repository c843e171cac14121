// Bytes as tokenizer.json: whatever they say, an error or a tokenizer that gives texts back.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "model/tokenizer/stream_decoder.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace potluck::model;
  // The first byte says how much of the rest is the text; what follows is the file.
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const size_t text_bytes = std::min<size_t>(static_cast<uint8_t>(rest[0]) % 64, rest.size() - 1);
  const std::string_view text = rest.substr(1, text_bytes);
  const std::string_view json = rest.substr(1 + text_bytes);
  auto vocabulary =
      VocabularyFromTokenizerJson(json, R"({"bos_token":"<s>","add_bos_token":true})");
  if (!vocabulary.ok()) return 0;
  auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  if (!tokenizer.ok()) return 0;
  for (const bool parse : {false, true}) {
    const auto ids = (*tokenizer)->Encode(text, {.add_special = true, .parse_control = parse});
    if (!ids.ok()) continue;
    StreamDecoder decoder(**tokenizer);
    for (const TokenId id : *ids) {
      POTLUCK_CHECK(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->vocab_size());
      decoder.Feed(id);
    }
    decoder.Flush();
    (*tokenizer)->Decode(*ids);
  }
  return 0;
}
