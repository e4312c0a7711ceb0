#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

namespace CLI {
class App;
}

/// `antipode check`: a plugin for Nagios, Icinga and others: one line, performance data behind "|",
/// and exit codes of its own (Monitoring Plugins Development Guidelines, sections 2.1, 2.3, 2.6).
namespace antipode::cli {

enum class PluginState { Ok = 0, Warning = 1, Critical = 2, Unknown = 3 };

struct MonitoringOptions {
    std::optional<std::string> site;  ///< default: this one; on the primary, all secondaries
    std::chrono::milliseconds lag_warning = std::chrono::seconds(60);
    std::chrono::milliseconds lag_critical = std::chrono::minutes(5);
    std::chrono::milliseconds age_warning = std::chrono::hours(8 * 24);
    std::chrono::milliseconds age_critical = std::chrono::hours(15 * 24);
};

/// How far a site's recovery point is behind.
PluginState check_lag(const Config& config, const Fetch& fetch, const Output& output,
                      const MonitoringOptions& options);
/// Whether what a site has was compared lately, and is as it should be.
PluginState check_verified(const Config& config, const Fetch& fetch, const Output& output,
                           const MonitoringOptions& options);
/// Whether a site could be promoted now, were the primary off.
PluginState check_promote_ready(const Config& config, const Fetch& fetch, const Output& output,
                                const MonitoringOptions& options);

/// The line of a check that could not be made, whatever the reason.
PluginState report_unchecked(const Output& output, const std::string& what,
                             const std::string& problem);

/// Adds a command; what it returns is the program's exit code.
using AddCommand = std::function<CLI::App*(CLI::App& parent, const std::string& name,
                                           const std::string& help, std::function<ExitCode()>)>;
/// Adds `check` with its options. All but `app` must outlive it.
void add_monitoring(CLI::App& app, const AddCommand& add, const std::function<Config()>& config,
                    const Output& output, MonitoringOptions& options);

}  // namespace antipode::cli
