#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "apps/antipode/monitoring.hpp"
#include "apps/antipode/output.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode::cli {

/// What `doctor` and `debug bundle` need of the program.
struct HelpOptions {
    const std::string& config_file;
    std::string version;
    std::string bundle;  ///< the file to be made
};

/// Adds `doctor` and `debug bundle`. All but `app` must outlive it.
void add_help(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
              const Clock& clock, const Output& output, HelpOptions& options);

}  // namespace antipode::cli
