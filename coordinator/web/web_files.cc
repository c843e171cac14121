#include "coordinator/web/web_files.h"

#include <algorithm>

namespace potluck::coordinator {

const WebFile* FindWebFile(std::string_view path) {
  const std::span<const WebFile> files = WebFiles();
  const auto found = std::ranges::find(files, path, &WebFile::path);
  return found == files.end() ? nullptr : &*found;
}

}  // namespace potluck::coordinator
