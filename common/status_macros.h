// Early return on errors, for functions that return absl::Status or absl::StatusOr.
// Debian's Abseil has Status but not these macros.
//
//   POTLUCK_RETURN_IF_ERROR(Check(x));
//   POTLUCK_ASSIGN_OR_RETURN(Model model, Load(path));
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace potluck {

// The same code with "context: " put before the message; OK stays OK. Payloads are kept.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

}  // namespace potluck

#define POTLUCK_STATUS_CONCAT_INNER(a, b) a##b
#define POTLUCK_STATUS_CONCAT(a, b) POTLUCK_STATUS_CONCAT_INNER(a, b)

#define POTLUCK_RETURN_IF_ERROR(expression)                                                      \
  do {                                                                                           \
    if (absl::Status potluck_status = (expression); !potluck_status.ok()) return potluck_status; \
  } while (false)

#define POTLUCK_ASSIGN_OR_RETURN_INNER(result, declaration, expression) \
  auto result = (expression);                                           \
  if (!result.ok()) return std::move(result).status();                  \
  declaration = *std::move(result)

#define POTLUCK_ASSIGN_OR_RETURN(declaration, expression)                                       \
  POTLUCK_ASSIGN_OR_RETURN_INNER(POTLUCK_STATUS_CONCAT(potluck_result_, __LINE__), declaration, \
                                 expression)
