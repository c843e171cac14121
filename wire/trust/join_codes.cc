#include "wire/trust/join_codes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "wire/trust/join_proof.h"
#include "wire/trust/keys.h"

namespace potluck::wire {
namespace {

constexpr char kFile[] = "/join_codes";
constexpr size_t kMaxFileBytes = size_t{64} << 10;

}  // namespace

absl::StatusOr<JoinCodes> JoinCodes::OpenOrCreate(const std::string& folder,
                                                  const std::string& authority, absl::Time now) {
  JoinCodes codes(folder + kFile, authority);
  const absl::StatusOr<std::string> text = ReadFile(codes.path_, kMaxFileBytes);
  if (text.ok()) {
    POTLUCK_RETURN_IF_ERROR(codes.Parse(*text));
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  POTLUCK_RETURN_IF_ERROR(codes.Current(now).status());
  return codes;
}

absl::Status JoinCodes::Parse(std::string_view text) {
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(line, ' ');
    int64_t expires = 0;
    if (parts.size() != 2 || !ParseJoinCode(FormatJoinCode({authority_, parts[0]})).ok() ||
        !absl::SimpleAtoi(parts[1], &expires)) {
      return absl::DataLossError(
          absl::StrCat(path_, " does not hold join codes: remove it, and a new code will be made"));
    }
    known_.push_back({parts[0], absl::FromUnixSeconds(expires)});
  }
  return absl::OkStatus();
}

absl::StatusOr<JoinCode> JoinCodes::Add(std::vector<Known> known, absl::Time now) {
  POTLUCK_ASSIGN_OR_RETURN(std::string secret, RandomDigits(kKeyNameDigits / 2));
  known.push_back({std::move(secret), now + kLife});
  if (known.size() > kMostKnown) known.erase(known.begin());
  std::string text;
  for (const Known& code : known)
    absl::StrAppend(&text, code.secret, " ", absl::ToUnixSeconds(code.expires), "\n");
  POTLUCK_RETURN_IF_ERROR(WriteFileAtomically(path_, text));
  known_ = std::move(known);
  return JoinCode{authority_, known_.back().secret};
}

absl::StatusOr<JoinCode> JoinCodes::Current(absl::Time now) {
  if (!known_.empty() && now + kLife / 2 <= known_.back().expires)
    return JoinCode{authority_, known_.back().secret};
  return Add(known_, now);
}

absl::StatusOr<JoinCode> JoinCodes::Replace(absl::Time now) {
  std::vector<Known> known = known_;
  for (Known& code : known) code.expires = std::min(code.expires, now);
  return Add(std::move(known), now);
}

absl::Status JoinCodes::Check(std::string_view request, std::string_view proof,
                              absl::Time now) const {
  bool good = false, old = false;
  for (const Known& code : known_) {  // always all of them
    const bool matches = ProofMatches({authority_, code.secret}, request, proof);
    good |= matches && now < code.expires;
    old |= matches && now >= code.expires;
  }
  if (good) return absl::OkStatus();
  if (old) {
    return absl::PermissionDeniedError(
        "the join code is old: use the present one, which 'potluck join-code' prints on the "
        "coordinator");
  }
  return absl::PermissionDeniedError(
      "the join code is wrong: copy the whole line that 'potluck up' printed on the coordinator");
}

}  // namespace potluck::wire
