#pragma once

#include <string>

namespace CLI {
class App;
}

namespace antipode::cli {

/// A bash script that completes the commands and options of `app`.
std::string bash_completion(const CLI::App& app);

}  // namespace antipode::cli
