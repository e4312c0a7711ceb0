# Writes a C++ file that holds other files:
#
#   cmake -D OUTPUT=assets.cpp -D FILES=a.css;b.mjs -P embed.cmake
#
# index.html is what "/" answers. Hexadecimal, because a string literal would need escapes.
set(types
  html "text/html\; charset=utf-8"
  css "text/css\; charset=utf-8"
  mjs "text/javascript\; charset=utf-8"
  svg "image/svg+xml")

set(data "")
set(table "")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  get_filename_component(extension ${file} LAST_EXT)
  string(SUBSTRING ${extension} 1 -1 extension)
  list(FIND types ${extension} place)
  if(place EQUAL -1)
    message(FATAL_ERROR "${file}: no content type is known for .${extension}")
  endif()
  math(EXPR place "${place} + 1")
  list(GET types ${place} type)
  string(MAKE_C_IDENTIFIER ${name} identifier)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND data "constexpr char ${identifier}[] = {${bytes}};\n")
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  string(APPEND table
    "    Asset{\"${path}\", \"${type}\", {${identifier}, sizeof(${identifier})}},\n")
endforeach()

file(WRITE ${OUTPUT} "// Made by cmake/embed.cmake.
#include <array>

#include \"dashboard/assets.hpp\"

namespace antipode::dashboard {
namespace {

${data}
constexpr std::array all = {
${table}};

}  // namespace

std::span<const Asset> assets() {
    return all;
}

}  // namespace antipode::dashboard
")
