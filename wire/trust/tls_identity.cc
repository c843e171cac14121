#include "wire/trust/tls_identity.h"

namespace potluck::wire {
namespace {

constexpr char kCoordinatorName[] = "coordinator.potluck";
constexpr char kWorkerSuffix[] = ".worker.potluck";

}  // namespace

std::string TlsName(const WorkerId& id) {
  return id == kCoordinator ? std::string(kCoordinatorName) : id + kWorkerSuffix;
}

WorkerId MemberOfTlsName(const std::string& name) {
  if (name == kCoordinatorName) return kCoordinator;
  if (!name.ends_with(kWorkerSuffix)) return "";
  std::string id = name.substr(0, name.size() - (sizeof(kWorkerSuffix) - 1));
  const bool is_label =
      id.size() <= 63 &&
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  return is_label && id != kCoordinator ? id : "";
}

}  // namespace potluck::wire
