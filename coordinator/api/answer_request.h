// What somebody asks a model for, whichever way it came: plain data.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "model/sampling/sampling_overrides.h"
#include "model/tokenizer/vocabulary.h"
#include "model/tool_calls/tool_use.h"

namespace potluck::coordinator {

// Members are model::ChatInput's. What calls of tools were given as "arguments" is an object, where
// it is one.
struct Conversation {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools = nullptr;
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();
};

using Prompt = std::variant<std::string, std::vector<model::TokenId>, Conversation>;

struct AnswerRequest {
  std::string model;            // empty: whichever is loaded
  std::vector<Prompt> prompts;  // at least one, each answered for itself
  int32_t choices = 1;          // answers to each of them
  model::SamplingOverrides sampling;
  nlohmann::ordered_json schema = nullptr;  // that the answer keeps to, beside `sampling.grammar`
  model::ToolUse tools;                     // of conversations
  int64_t max_tokens = -1;  // of each answer; -1: until it ends, or the context does
  std::vector<std::string> stop;
  int32_t top_logprobs = -1;    // as in model::GenerationRequest
  bool ignore_eos = false;      // no end token ends it
  bool split_reasoning = true;  // what a model thinks aloud is told apart from its answer
  bool tell_progress = false;   // while a prompt is computed
};

}  // namespace potluck::coordinator
