#pragma once

#include <span>
#include <string_view>

/// The web page's files, compiled into the program (cmake/embed.cmake): one binary is all there is.
namespace antipode::dashboard {

struct Asset {
    std::string_view path;  ///< as it is asked for: "/", "/style.css"
    std::string_view content_type;
    std::string_view bytes;
};

std::span<const Asset> assets();

}  // namespace antipode::dashboard
