#include "model/store/private_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace potluck::model {

absl::Status MakePrivateFolder(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string folder = path.substr(0, end);
    if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
      return absl::Status(
          absl::ErrnoToStatusCode(errno),
          absl::StrCat("cannot make the folder ", folder, ": ", std::strerror(errno)));
    }
    if (end == std::string::npos) break;
  }
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(path, " is no folder; name another one"));
}

}  // namespace potluck::model
