#pragma once

#include <functional>
#include <string>

#include "apps/antipode/edit_sites.hpp"
#include "apps/antipode/monitoring.hpp"

namespace antipode::cli {

struct SitesOptions {
    const std::string& config_file;
    std::string name;
    EditSitesOptions edit;
};

/// Adds `sites` with its commands. All but `app` must outlive it.
void add_sites(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
               const Clock& clock, const Output& output, SitesOptions& options);

}  // namespace antipode::cli
