#include "model/grammar/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/text.h"
#include "tests/model/grammar/grammar_texts.h"

namespace potluck::model {
namespace {

using ::testing::HasSubstr;

bool Matches(std::string_view gbnf, std::string_view text) {
  GrammarAutomaton automaton = AutomatonOf(gbnf);
  return Matches(automaton, text);
}

std::string ErrorOf(std::string_view gbnf) {
  return std::string(ParseGbnf(gbnf).status().message());
}

TEST(Grammar, ReadsTextsClassesGroupsAndRepetitions) {
  EXPECT_TRUE(Matches("root ::= \"yes\" | \"no\"", "no"));
  EXPECT_FALSE(Matches("root ::= \"yes\" | \"no\"", "yesno"));
  EXPECT_FALSE(Matches("root ::= \"yes\" | \"no\"", "n"));
  EXPECT_TRUE(Matches("root ::= [a-c]+ [^a-c]* (\"x\" | \"yz\"){2} .?", "abc--yzx!"));
  EXPECT_FALSE(Matches("root ::= \"ab\"{2,3}", "ab"));
  EXPECT_TRUE(Matches("root ::= \"ab\"{2,3}", "ababab"));
  EXPECT_FALSE(Matches("root ::= \"ab\"{2,3}", "abababab"));
  EXPECT_TRUE(Matches("root ::= \"a\"{2,} \"b\"{0} \"c\"{1}", "aaaac"));
  EXPECT_TRUE(Matches("root ::= \"a\\x42\\u00e4\\U0001F600\\\"\\\\\\n\"",
                      "aB\xc3\xa4\xf0\x9f\x98\x80\"\\\n"));
  EXPECT_TRUE(Matches("root ::= [\\]\\-x-]+", "]-x"));
  EXPECT_TRUE(Matches("root ::= \"a\" | ", ""));
}

TEST(Grammar, ReadsRulesOverLines) {
  constexpr char kJson[] = R"(# JSON
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# space
ws ::= | " "
     | "\n" [ \t]{0,20}
)";
  GrammarAutomaton json = AutomatonOf(kJson);
  EXPECT_TRUE(Matches(json, R"({"a": [1, 2.5e3, {"b": null}], "ä": "x\u00e4\n"})"));
  EXPECT_FALSE(Matches(json, R"({"a": [1, 2.5e3, {"b": nul}]})"));
  EXPECT_FALSE(Matches(json, R"({"a": 1)"));
  EXPECT_FALSE(Matches(json, R"([1])"));
}

TEST(Grammar, NestsWithoutBoundAndRecursesAtTheEndForFree) {
  GrammarAutomaton nested = AutomatonOf("root ::= \"(\" root \")\" | \"\"");
  EXPECT_TRUE(Matches(nested, std::string(500, '(') + std::string(500, ')')));
  EXPECT_FALSE(Matches(nested, std::string(500, '(') + std::string(499, ')')));
  GrammarAutomaton list = AutomatonOf("root ::= \"a\" root | \"b\"");
  EXPECT_TRUE(Matches(list, std::string(10000, 'a') + "b"));
  EXPECT_LT(list.num_states(), 5);
}

TEST(Grammar, CharactersAreTheirUtf8) {
  // Every character is in exactly one of a class and its opposite.
  constexpr std::pair<const char*, const char*> kClasses[] = {
      {"root ::= [a-z]", "root ::= [^a-z]"},
      {"root ::= [\\u00e4-\\u0801]", "root ::= [^\\u00e4-\\u0801]"},
      {"root ::= [\\u07ff-\\uffff]", "root ::= [^\\u07ff-\\uffff]"},
      {"root ::= [\\u1234-\\U000abcde]", "root ::= [^\\u1234-\\U000abcde]"}};
  for (const auto& [in, out] : kClasses) {
    GrammarAutomaton inside = AutomatonOf(in), outside = AutomatonOf(out);
    const char32_t low =
        in[10] == 'a' ? U'a' : std::stoul(std::string(in).substr(12, 4), nullptr, 16);
    for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 37) {
      if (c >= 0xD800 && c < 0xE000) continue;
      std::string text;
      AppendUtf8(c, text);
      EXPECT_NE(Matches(inside, text), Matches(outside, text)) << static_cast<uint32_t>(c);
      if (c < low) {
        EXPECT_FALSE(Matches(inside, text)) << static_cast<uint32_t>(c);
      }
    }
  }
  EXPECT_FALSE(Matches("root ::= .", "\xc3"));
  EXPECT_FALSE(Matches("root ::= .", "\xed\xa0\x80"));  // a surrogate
}

// Texts of at most so many letters.
constexpr size_t kLongest = 5;
using Language = std::set<std::string>;

Language Joined(const Language& a, const Language& b) {
  Language joined;
  for (const std::string& first : a) {
    for (const std::string& second : b) {
      if (first.size() + second.size() <= kLongest) joined.insert(first + second);
    }
  }
  return joined;
}

Language Repeated(const Language& part, int least, int most) {
  Language all, power = {""};
  for (int i = 0; i <= most; ++i) {
    if (i >= least) all.insert(power.begin(), power.end());
    power = Joined(power, part);
  }
  return all;
}

struct Drawn {
  std::string gbnf;
  Language language;
};

Drawn DrawSequence(std::mt19937& random, int depth) {
  const auto draw = [&](int count) { return static_cast<int>(random() % count); };
  Drawn sequence{"", {""}};
  for (int i = 0, n = 1 + draw(3); i < n; ++i) {
    Drawn part;
    if (depth > 0 && draw(2) == 0) {
      const Drawn a = DrawSequence(random, depth - 1), b = DrawSequence(random, depth - 1);
      part = {"(" + a.gbnf + " | " + b.gbnf + ")", a.language};
      part.language.insert(b.language.begin(), b.language.end());
    } else if (draw(2) == 0) {
      const std::string text(1 + draw(2), static_cast<char>('a' + draw(3)));
      part = {"\"" + text + "\"", {text}};
    } else {
      part = {"[b-c]", {"b", "c"}};
    }
    struct Repetition {
      const char* gbnf;
      int least, most;
    };
    constexpr Repetition kRepetitions[] = {{"", 1, 1},     {"*", 0, kLongest}, {"+", 1, kLongest},
                                           {"?", 0, 1},    {"{2}", 2, 2},      {"{1,3}", 1, 3},
                                           {"{0,2}", 0, 2}};
    const Repetition& repetition = kRepetitions[draw(2) * draw(7)];
    sequence.gbnf += " " + part.gbnf + repetition.gbnf;
    // Of a part that may be empty, more repetitions than letters give nothing new.
    sequence.language =
        Joined(sequence.language, Repeated(part.language, repetition.least, repetition.most));
  }
  return sequence;
}

TEST(Grammar, HasTheTextsThatItsDefinitionGivesIt) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size() && texts[i].size() < kLongest; ++i) {
    for (const char c : std::string("abc")) texts.push_back(texts[i] + c);
  }
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const Drawn drawn = DrawSequence(random, 2);
    GrammarAutomaton automaton = AutomatonOf("root ::= " + drawn.gbnf);
    for (const std::string& text : texts)
      ASSERT_EQ(Matches(automaton, text), drawn.language.contains(text))
          << drawn.gbnf << " : " << text;
  }
}

TEST(Grammar, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("root ::= other"), HasSubstr("\"other\" is not defined"));
  EXPECT_THAT(ErrorOf("r ::= \"a\""), HasSubstr("no rule \"root\""));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no rule \"root\""));
  EXPECT_THAT(ErrorOf("root ::= \"a\"\nroot ::= \"b\""),
              HasSubstr("line 2: the rule \"root\" is defined twice"));
  EXPECT_THAT(ErrorOf("root ::= (\"a\""), HasSubstr(") is missing"));
  EXPECT_THAT(ErrorOf("root ::= \"a"), HasSubstr("does not end"));
  EXPECT_THAT(ErrorOf("root ::= [a-"), HasSubstr("does not end"));
  EXPECT_THAT(ErrorOf("root ::= [b-a]"), HasSubstr("ends before it begins"));
  EXPECT_THAT(ErrorOf("root ::= \"\\q\""), HasSubstr("\\q is no escape"));
  EXPECT_THAT(ErrorOf("root ::= \"\\u12\""), HasSubstr("4 hexadecimal digits"));
  EXPECT_THAT(ErrorOf("root ::= \"\\UFFFFFFFF\""), HasSubstr("beyond Unicode"));
  EXPECT_THAT(ErrorOf("root ::= \"a\"{3,2}"), HasSubstr("below its least"));
  EXPECT_THAT(ErrorOf("root ::= \"a\"{99999999999}"), HasSubstr("repetitions"));
  EXPECT_THAT(ErrorOf("root ::= * \"a\""), HasSubstr("\"*\" has no place here"));
  EXPECT_THAT(ErrorOf("root = \"a\""), HasSubstr("::= is expected"));
  EXPECT_THAT(ErrorOf("\x01"), HasSubstr("a rule's name is expected"));
  EXPECT_THAT(ErrorOf(std::string(100, '(').insert(0, "root ::= ")), HasSubstr("too deeply"));
}

TEST(Grammar, RefusesWhatHasNoEnd) {
  EXPECT_THAT(ErrorOf("root ::= root \"a\" | \"b\""), HasSubstr("\"root\" may begin with itself"));
  EXPECT_THAT(ErrorOf("root ::= a \"x\"\na ::= b? c\nb ::= \"b\"\nc ::= \"\" a"),
              HasSubstr("may begin with itself"));
  EXPECT_THAT(ErrorOf("root ::= (\"a\"{1000}){1000}"), HasSubstr("states"));
  std::string deep = "root ::= \"a\"";
  for (int i = 0; i < 60; ++i) deep = "root ::= (" + deep.substr(9) + "){100000}";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("states"));
  // Empty repetitions end.
  EXPECT_TRUE(Matches("root ::= (\"\" | e)* \"x\"\ne ::= \"\" | \"y\"*", "yyx"));
}

TEST(Grammar, ManyRulesAreReadInTime) {
  std::string rules = "root ::= r0\n";
  for (int i = 0; i < 8000; ++i)
    rules += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " \"\"\n";
  rules += "r8000 ::= \"a\"?\n";
  EXPECT_TRUE(ParseGbnf(rules).ok());
}

}  // namespace
}  // namespace potluck::model
