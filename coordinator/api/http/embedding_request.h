// What a client asks for at /v1/embeddings, and what it is told: OpenAI's JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/api/embedding.h"

namespace potluck::coordinator {

struct EmbeddingQuestion {
  EmbeddingRequest request;
  bool base64 = false;                // little-endian floats, rather than an array of numbers
  std::optional<int64_t> dimensions;  // how many numbers are expected
};

// InvalidArgument, naming the field and what it may be.
absl::StatusOr<EmbeddingQuestion> ParseEmbeddingRequest(std::string_view body);

std::string EmbeddingsJson(const Embeddings& embeddings, bool base64);

}  // namespace potluck::coordinator
