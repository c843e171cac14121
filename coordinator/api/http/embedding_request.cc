#include "coordinator/api/http/embedding_request.h"

#include <array>
#include <bit>
#include <charconv>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "coordinator/api/http/conversation_fields.h"
#include "coordinator/api/json_text.h"
#include "coordinator/api/request_fields.h"
#include "model/bounded_json.h"

namespace potluck::coordinator {
namespace {

constexpr size_t kMostInputs = 2048;  // as OpenAI's

void AppendBase64(const std::vector<float>& vector, std::string& json) {
  static_assert(std::endian::native == std::endian::little);
  const absl::string_view bytes(reinterpret_cast<const char*>(vector.data()),
                                vector.size() * sizeof(float));
  absl::StrAppend(&json, "\"", absl::Base64Escape(bytes), "\"");
}

// The shortest texts that mean these floats: a JSON library's are a double's, twice as long.
void AppendNumbers(const std::vector<float>& vector, std::string& json) {
  std::array<char, 32> text{};
  json += '[';
  for (const float number : vector) {
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    json.append(text.data(), end);
    json += ',';
  }
  if (json.back() == ',') json.pop_back();
  json += ']';
}

}  // namespace

absl::StatusOr<EmbeddingQuestion> ParseEmbeddingRequest(std::string_view text) {
  POTLUCK_ASSIGN_OR_RETURN(const model::Json body, model::ParseJsonObject(text, "the body"));
  EmbeddingQuestion question;
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "model", question.request.model));
  POTLUCK_RETURN_IF_ERROR(ReadPrompts(body, "input", kMostInputs, question.request.inputs));
  std::string format = "float";
  POTLUCK_RETURN_IF_ERROR(ReadText(body, "encoding_format", format));
  question.base64 = format == "base64";
  if (!question.base64 && format != "float") return BadField("encoding_format", "float or base64");
  POTLUCK_RETURN_IF_ERROR(
      ReadInt(body, "dimensions", 1, std::numeric_limits<int32_t>::max(), question.dimensions));
  return question;
}

std::string EmbeddingsJson(const Embeddings& embeddings, bool base64) {
  std::string json = R"({"object":"list","data":[)";
  for (size_t i = 0; i < embeddings.vectors.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",", R"({"object":"embedding","index":)", i,
                    R"(,"embedding":)");
    (base64 ? AppendBase64 : AppendNumbers)(embeddings.vectors[i], json);
    json += '}';
  }
  absl::StrAppend(&json, R"(],"model":)", Dump(embeddings.model_name),
                  R"(,"usage":{"prompt_tokens":)", embeddings.prompt_tokens, R"(,"total_tokens":)",
                  embeddings.prompt_tokens, "}}\n");
  return json;
}

}  // namespace potluck::coordinator
