#pragma once

#include <string>

namespace CLI {
class App;
}

namespace antipode::cli {

/// "database check": what stands behind the program's name to reach this command.
std::string path_of(const CLI::App& app);

/// A bash script that completes the commands and options of `app`.
std::string bash_completion(const CLI::App& app);

}  // namespace antipode::cli
