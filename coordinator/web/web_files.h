// The web page at "/": its files as they were at build time, so that the program is all there is.
#pragma once

#include <span>
#include <string_view>

namespace potluck::coordinator {

struct WebFile {
  std::string_view path;  // "/", "/web/main.js"
  std::string_view content_type;
  std::string_view bytes;
};

// embed.cmake writes this function.
std::span<const WebFile> WebFiles();
// Null where there is none.
const WebFile* FindWebFile(std::string_view path);

}  // namespace potluck::coordinator
