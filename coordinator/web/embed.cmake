# Writes OUTPUT, the source of WebFiles(), from FILES: "PATH=FILE" each, PATH as a browser asks for it.
set(type_css "text/css; charset=utf-8")
set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")
set(arrays "")
set(entries "")
set(number 0)
foreach(entry ${FILES})
  string(REGEX MATCH "^([^=]*)=(.*)$" unused "${entry}")
  set(path "${CMAKE_MATCH_1}")
  set(file "${CMAKE_MATCH_2}")
  file(READ "${file}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  get_filename_component(extension "${file}" LAST_EXT)
  string(SUBSTRING "${extension}" 1 -1 extension)
  string(APPEND arrays "constexpr char kBytes${number}[] = {${bytes}};\n")
  string(APPEND entries "    {\"${path}\", \"${type_${extension}}\", {kBytes${number}, sizeof(kBytes${number})}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}" "#include \"coordinator/web/web_files.h\"

namespace potluck::coordinator {
namespace {

${arrays}constexpr WebFile kFiles[] = {
${entries}};

}  // namespace

std::span<const WebFile> WebFiles() { return kFiles; }

}  // namespace potluck::coordinator
")
