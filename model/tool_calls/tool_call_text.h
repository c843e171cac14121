// Tells the calls of tools in an answer apart from its text, while it comes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tool_calls/tool_format.h"

namespace potluck::model {

// Thread-compatible. Reads what a model means, not only the canonical form that ToolGrammar
// enforces: other white space, further members, "arguments" for "parameters", arguments as a
// string. What turns out to be no call is text; nothing is lost.
class ToolCallText {
 public:
  // `names`: tools that there are. Where a format has no mark of its own, only their calls are
  // calls.
  ToolCallText(ToolFormat format, std::vector<std::string> names);

  // A call, or how it goes on.
  struct Call {
    int index = 0;          // of the answer's calls
    std::string name;       // at its beginning only
    std::string arguments;  // JSON, the next part of its text
  };
  struct Piece {
    std::string text;
    std::vector<Call> calls;
  };
  // The next piece of the whole; what might become a call is held back, and so is white space that
  // one may follow.
  Piece Feed(std::string_view text);
  // The answer has ended: what was held back. A call that was cut off stays as it is.
  Piece Flush();

 private:
  enum class Where { kStart, kText, kBetween, kCall, kArguments, kCallEnd };

  // Where the outermost value of a JSON text ends.
  class JsonEnd {
   public:
    explicit JsonEnd(int depth = 0) : depth_(depth) {}
    // How many bytes of `text` belong to it; whether it ends with them.
    std::pair<size_t, bool> Scan(std::string_view text);

   private:
    int depth_;
    bool in_string_ = false, escaped_ = false;
  };

  // Each does what can be done with held_; false: more of the text is needed.
  bool Step(Piece& piece);
  bool Start();
  bool Text(Piece& piece);
  bool Between(Piece& piece);
  bool BeginCall(Piece& piece);
  bool Arguments(Piece& piece);
  bool EndCall();

  bool NoCall(Piece& piece);  // what comes before at_ is text
  bool IsKnown(std::string_view name) const;

  const ToolSyntax& syntax_;
  const ToolFormat format_;
  const std::vector<std::string> names_;
  Where where_;
  std::string held_;
  size_t at_ = 0;  // kBetween and kCall: what comes before in held_ belongs to no call by itself
  JsonEnd end_;
  size_t scanned_ = 0;  // kCall: of the object, by end_
  int num_calls_ = 0;
};

}  // namespace potluck::model
