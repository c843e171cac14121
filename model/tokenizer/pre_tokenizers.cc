#include "model/tokenizer/pre_tokenizers.h"

#include <string>

namespace potluck::model {
namespace {

// Pieces that many patterns share. Contractions in either case, as the originals' (?i:...).
#define CONTRACTION "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])"
#define WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define GPT2 R"('(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define QWEN2 CONTRACTION "|" WORD R"(|\p{N}|)" SYMBOLS "|" SPACES
// Letters without a-z, then letters without A-Z, at least one of the named group.
#define UPPER_LOWER R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]*[^\P{L}A-Z]+)"
#define UPPER R"([^\r\n\p{L}\p{N}]?[^\P{L}a-z]+[^\P{L}A-Z]*)"
// The same with combining marks: everything that is no other, number, punctuation, symbol or
// separator is a letter or a mark.
#define MARKED_UPPER_LOWER \
  R"([^\r\n\p{L}\p{N}]?[^\p{C}\p{N}\p{P}\p{S}\p{Z}a-z]*[^\p{C}\p{N}\p{P}\p{S}\p{Z}A-Z]+)"
#define MARKED_UPPER \
  R"([^\r\n\p{L}\p{N}]?[^\p{C}\p{N}\p{P}\p{S}\p{Z}a-z]+[^\p{C}\p{N}\p{P}\p{S}\p{Z}A-Z]*)"
#define CJK R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)"
// CJK, and all else from U+0800 up to it but white space; Hangul.
#define WIDE_CJK                                                                             \
  R"([\x{4e00}-\x{9fa5}\x{800}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e})" \
  R"(\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{4e00}\x{ac00}-\x{d7ff}]+)"
#define ASCII_SYMBOL_WORD R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)"
#define MARKED_WORD R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
#define DEEPSEEK_V3 ASCII_SYMBOL_WORD "|" MARKED_WORD R"(| ?[\p{P}\p{S}]+[\r\n]*|)" SPACES
#define HAN                                                                                      \
  R"(\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{20000}-\x{2a6df}\x{2a700}-\x{2ebef}\x{f900}-\x{faff})" \
  R"(\x{2f800}-\x{2fa1f})"
#define NOT_PUNCTUATED R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{ff0c}\x{3001}\x{964}\x{6d4}\x{60c})]+)"

// Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee and others with case, as deepseek-llm lists
// them.
constexpr std::string_view kCasedLetters =
    R"(\s?[)"
    R"(A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf})"
    R"(\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d})"
    R"(\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5})"
    R"(\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5})"
    R"(\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf})"
    R"(\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15})"
    R"(\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59})"
    R"(\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe})"
    R"(\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb})"
    R"(\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107})"
    R"(\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128})"
    R"(\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149})"
    R"(\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee})"
    R"(\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f})"
    R"(\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06})"
    R"(\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f})"
    R"(\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2})"
    R"(\x{118a0}-\x{118df}\x{1e900}-\x{1e943})"
    R"(]+)";

using Steps = std::vector<PreTokenizerStep>;

PreTokenizerStep Cut(std::string_view pattern) {
  PreTokenizerStep step;
  step.pattern = pattern;
  return step;
}
PreTokenizerStep Digits(PreTokenizerStep::Kind kind) {
  PreTokenizerStep step;
  step.kind = kind;
  return step;
}
const PreTokenizerStep::Kind kGroups = PreTokenizerStep::Kind::kDigitGroups;
const PreTokenizerStep::Kind kBorders = PreTokenizerStep::Kind::kDigitBorders;

const Steps kLlama3 = {Cut(CONTRACTION "|" WORD R"(|\p{N}{1,3}|)" SYMBOLS "|" SPACES)};
const Steps kJais2 = {
    Cut(CONTRACTION "|" WORD R"(|\p{N}{1,3}|)" SYMBOLS
                    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S))"
                    R"(|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s)")};
const Steps kMiniCpm5 = {Cut(R"(\p{N}{1,3})"),
                         Cut(CONTRACTION "|" WORD R"(|\p{N}+|)" SYMBOLS "|" SPACES)};
const Steps kDeepSeekLlm = {
    Cut(R"([\r\n])"), Cut(kCasedLetters),
    // Without the U+3000 that its author lists: llama.cpp sees white space there, not the symbol.
    Cut(R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3001}-\x{3002}]+)"),
    Cut(R"((?<!\s)\s++\z)"), Cut(WIDE_CJK), Cut(R"(\p{N}+)")};
const Steps kDeepSeekCoder = {Cut(R"([\r\n])"), Cut(R"(\s?\p{L}+)"), Cut(R"(\s?\p{P}+)"),
                              Cut(WIDE_CJK), Cut(R"(\p{N})")};
const Steps kDeepSeekV3 = {Cut(R"(\p{N}{1,3})"), Cut(CJK), Cut(DEEPSEEK_V3)};
const Steps kSpark = {
    Cut(R"(\p{N}{1,3})"), Cut(CJK),
    Cut(ASCII_SYMBOL_WORD "|" MARKED_WORD R"(| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)"),
    Cut(R"(\p{N})")};
const Steps kYoutu = {
    Cut(R"([\x{ac00}-\x{d7a3}\x{3131}-\x{318e}]+|[\x{ff01}\x{2026}\x{201c}\x{201d}\x{2018}\x{2019})"
        R"(\x{2014}\x{ff1a}\x{ff1b}\x{ff0c}\x{3001}-\x{303f}\x{fe30}-\x{fe4f}]+)"
        R"(|[\x{3105}-\x{312f}]+|)" CJK),
    Cut(R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?:)" CONTRACTION
        R"()?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES)};
const Steps kFalcon = {Cut(R"([\p{P}$+<=>^~|`]+)"), Cut(GPT2), Cut("[0-9][0-9][0-9]")};
const Steps kDefault = {Cut(R"([\p{P}$+<=>^~|]+)"), Cut(GPT2), Cut(R"(\p{N}+)"),
                        Cut("[0-9][0-9][0-9]")};
const Steps kGpt2 = {Cut(GPT2)};
const Steps kDigitsThenGpt2 = {Cut(R"(\p{N})"), Cut(GPT2)};
const Steps kQwen2 = {Cut(QWEN2)};
const Steps kQwen35 = {
    Cut(CONTRACTION
        R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES)};
const Steps kBloom = {Cut(NOT_PUNCTUATED)};
const Steps kViking = {Cut(NOT_PUNCTUATED), Cut(R"(\p{N})")};
const Steps kTekken = {Cut(UPPER_LOWER "|" UPPER R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES)};
const Steps kChameleon = {Cut("<sentinel:[0-9]+>"),       Cut("IMGIMG[A-I]{1,4}Z"),
                          Cut(R"([\t\n]|    |  )"),       Cut(R"(\p{N})"),
                          Cut(R"([\p{P}!-/:-@\[-`{-~])"), Cut(GPT2)};
const Steps kGpt4o = {Cut(UPPER_LOWER "(?:" CONTRACTION ")?|" UPPER "(?:" CONTRACTION
                                      R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES)};
const Steps kGraniteEmbedding = {Cut(MARKED_UPPER_LOWER
                                     "(?:" CONTRACTION ")?|" MARKED_UPPER "(?:" CONTRACTION
                                     R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES)};
const Steps kTinyAya = {Digits(kGroups),
                        Cut(R"([^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?:)" CONTRACTION
                            R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES)};
const Steps kKimiK2 = {Cut("[" HAN R"(]+|[^\r\n\p{L}\p{N}]?[^\P{L})" HAN "]+(?:" CONTRACTION
                           R"()?|\p{N}{1,3}|)" SYMBOLS "|" SPACES)};
const Steps kSuperBpe = {Cut(R"(\p{N}+)"), Digits(kBorders)};
const Steps kBailingMoe = {
    Cut(CONTRACTION "|" WORD R"(|\p{N}|)" SYMBOLS R"(|\s*[\r\n]|\s+(?!\S)|\s+)")};
const Steps kSeedCoder = {Cut(CONTRACTION "|" WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" SPACES)};
const Steps kUfakzeka = {Cut(WORD R"(|\p{N}|)" SYMBOLS "|" SPACES)};
const Steps kAfmoe = {
    Digits(kGroups),
    Cut(R"([\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{8c48}-\x{faff}\x{3040}-\x{309f}\x{30a0}-\x{30ff})"
        R"(\x{ff65}-\x{ff9f}\x{2f00}-\x{2fdf}\x{e40}-\x{e7f}\x{e80}-\x{eff}\x{1780}-\x{17ff})"
        R"(\x{1000}-\x{109f}\x{aa60}-\x{aa7f}\x{a9e0}-\x{a9ff}\x{ac00}-\x{d7af})"
        R"(\x{1100}-\x{11ff}]+)"),
    Cut(DEEPSEEK_V3)};
const Steps kLaguna = {Cut(R"([^\n]+|\n+)"), Cut(QWEN2)};
// Words joined by single spaces are one piece. Possessive, because it can be a very long one.
const Steps kExaoneMoe = {Cut(CONTRACTION
                              R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N})"
                              R"(| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)")};
const Steps kLines = {Cut(R"([^\n]+|\n+)")};
const Steps kWhitespace = {Cut(R"(\S+)")};

enum Flag : unsigned {
  kIgnoreMerges = 1,
  kAddBos = 2,
  kCharacters = 4,
  kEscapeSpaces = 8,
  kWholeNewlineRuns = 16,
};

PreTokenizer Make(std::string_view name, const Steps& steps, unsigned flags) {
  const auto has = [&](Flag flag) { return (flags & flag) != 0; };
  return {name,
          steps,
          has(kIgnoreMerges),
          has(kAddBos),
          has(kCharacters),
          has(kEscapeSpaces),
          has(kWholeNewlineRuns)};
}

}  // namespace

const std::vector<PreTokenizer>& AllPreTokenizers() {
  static const std::vector<PreTokenizer> all = {
#define POTLUCK_PRE(name, steps, flags) Make(name, steps, flags),
#include "model/tokenizer/pre_tokenizers.inc"
#undef POTLUCK_PRE
  };
  return all;
}

const PreTokenizer* FindPreTokenizer(std::string_view name) {
  for (const PreTokenizer& pre : AllPreTokenizers()) {
    if (pre.name == name) return &pre;
  }
  return nullptr;
}

}  // namespace potluck::model
