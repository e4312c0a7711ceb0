#pragma once

#include <string>

namespace CLI {
class App;
}

namespace antipode::cli {

/// The manual page antipode(1), in man(7) macros, made of what `app` says of its commands and
/// options.
std::string manual_page(const CLI::App& app, const std::string& version);

}  // namespace antipode::cli
