#include <cerrno>
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>
#include <malloc.h>
#include <pthread.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include "adapters/files/posix_tree.hpp"
#include "adapters/postgres/connection.hpp"
#include "apps/antipoded/daemon.hpp"
#include "apps/antipoded/json_log.hpp"
#include "base/error.hpp"

namespace {

constexpr int usage_error = 2;  // as antipode ends

/// Blocks the signals in every thread to come; the main thread waits for them.
sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
        sigaddset(&signals, number);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    return signals;
}

void start_log(const std::string& level, const std::string& format) {
    spdlog::set_default_logger(spdlog::stderr_color_mt("antipoded"));
    if (format == "json") {
        spdlog::set_formatter(antipode::json_log());
    } else {
        spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    }
    spdlog::set_level(spdlog::level::from_str(level));
    spdlog::flush_on(spdlog::level::info);
}

int run(const std::string& config_file) {
    const sigset_t signals = block_signals();
    const antipode::SystemClock clock;
    const antipode::Config config = antipode::Config::load(
        config_file, {.database_url = antipode::postgres::why_no_connection_string,
                      .owner = antipode::files::why_not_given});
    const antipode::Daemon daemon(config, clock);
    spdlog::info("antipoded {} on site {} of cluster {} listens on port {}", ANTIPODE_VERSION,
                 config.site, config.cluster, daemon.http_port());
    const timespec trim_interval{60, 0};
    int number = 0;
    do {
        number = sigtimedwait(&signals, nullptr, &trim_interval);
        if (number < 0 && errno == EAGAIN) {
            // What a million items took while they came is free, but still this process's.
            malloc_trim(0);
        }
    } while (number < 0 || number == SIGHUP);
    spdlog::info("stopping");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "Antipode's daemon: replicates one site's stores, as the cluster's epoch record "
        "says");
    std::string config = "/etc/antipode/antipode.toml";
    std::string level = "info";
    std::string format = "text";
    app.add_option("--config", config, "configuration file")->capture_default_str();
    app.add_option("--log-level", level, "debug, info, warn or error")
        ->capture_default_str()
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
    app.add_option("--log-format", format, "text, or json: an object a line")
        ->capture_default_str()
        ->check(CLI::IsMember({"text", "json"}));
    app.set_version_flag("--version", ANTIPODE_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : usage_error;
    }
    // Core dumps would hold users' data.
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    start_log(level, format);
    try {
        return run(config);
    } catch (const antipode::Error& error) {
        spdlog::error("{}", error.describe());
    } catch (const std::exception& error) {
        spdlog::error("{}. Try: antipode doctor", error.what());
    }
    return 1;
}
