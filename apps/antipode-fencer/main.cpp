#include <csignal>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <pthread.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/antipode-fencer/fencer.hpp"
#include "base/error.hpp"
#include "base/state_lock.hpp"
#include "base/worker.hpp"

namespace {

constexpr int usage_error = 2;  // as antipode ends
constexpr std::chrono::milliseconds look_interval(200);
constexpr std::chrono::milliseconds retry_interval(1000);

struct Options {
    std::string config = "/etc/antipode/antipode.toml";
    std::string level = "info";
    bool once = false;
    bool status = false;
};

/// Blocks the signals in every thread to come; the main thread waits for them.
sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : {SIGTERM, SIGINT}) {
        sigaddset(&signals, number);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGHUP, SIG_IGN);
    return signals;
}

void start_log(const std::string& level) {
    spdlog::set_default_logger(spdlog::stderr_color_mt("antipode-fencer"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    spdlog::set_level(spdlog::level::from_str(level));
    spdlog::flush_on(spdlog::level::info);
}

/// Until the signal comes; what is closed or open then stays so.
void watch(antipode::Fencer& fencer, const sigset_t& signals) {
    fencer.rights().start();
    const std::jthread thread([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            // While it has nothing to do but to watch nothing keeps it from that.
            const bool retries = !fencer.step() && fencer.said().state != "watching";
            antipode::sleep_unless_stopped(retries ? retry_interval : look_interval, stop);
        }
    });
    int number = 0;
    sigwait(&signals, &number);
    spdlog::info("stopping; the fences stay as they are");
}

/// What it writes there antipoded must be able to read and to lock.
void must_be_owner(const std::filesystem::path& state_dir) {
    struct stat info {};
    if (stat(state_dir.c_str(), &info) == 0 && info.st_uid != geteuid()) {
        throw antipode::Error(antipode::Reaction::Stop,
                              "state_dir " + state_dir.string() + " is another user's",
                              "run antipode-fencer as antipoded's user");
    }
}

int run(const Options& options) {
    const sigset_t signals = block_signals();
    const antipode::SystemClock clock;
    const antipode::Config config = antipode::Config::load(options.config);
    if (!config.witness) {
        spdlog::info("the configuration names no [witness]: there is no lease to enforce");
        return 0;
    }
    if (options.status) {
        std::cout << antipode::describe_lease(config, clock) << "\n";
        return 0;
    }
    must_be_owner(config.state_dir);
    const antipode::StateLock lock(config.state_dir, "antipode-fencer", "fencer.lock");
    antipode::Fencer fencer(config, clock);
    if (options.once) {
        const bool worked = fencer.step();
        std::cout << antipode::describe_lease(config, clock) << "\n";
        return worked ? 0 : 1;
    }
    spdlog::info("antipode-fencer {} on site {} of cluster {}", ANTIPODE_VERSION, config.site,
                 config.cluster);
    watch(fencer, signals);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "Antipode's fencer: closes this site's fences when its lease runs out, also while "
        "antipoded is dead");
    Options options;
    app.add_option("--config", options.config, "configuration file")->capture_default_str();
    app.add_option("--log-level", options.level, "debug, info, warn or error")
        ->capture_default_str()
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
    app.add_flag("--once", options.once, "looks once, does what is to be done, and ends");
    app.add_flag("--status", options.status, "says what it would do, and does nothing");
    app.set_version_flag("--version", ANTIPODE_VERSION);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : usage_error;
    }
    // Core dumps would hold the databases' passwords.
    const rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    start_log(options.level);
    try {
        return run(options);
    } catch (const antipode::Error& error) {
        spdlog::error("{}", error.describe());
    } catch (const std::exception& error) {
        spdlog::error("{}", error.what());
    }
    return 1;
}
