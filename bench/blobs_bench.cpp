// The blobs lane beside rsync in a loop, rclone sync and lsyncd, on the same machine, one after the
// other in one run. Prints each round's figures and a table of the medians.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "bench/blobs_load.hpp"
#include "bench/blobs_tool.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr std::chrono::seconds patience(600);
constexpr size_t large_bytes = 64 << 20;

struct Options {
    int rounds = 3;
    size_t files = 20'000;
    size_t large = 20;
    int live_seconds = 15;
    int rate = 200;
    size_t burst = 20'000;
    int burst_rate = 5'000;
    size_t idle_files = 1'000'000;
    int idle_seconds = 600;
    bool leave = false;
    std::vector<std::string> only;
    std::vector<std::string> tools = {"rsync", "rclone", "lsyncd", "antipode"};
};

double seconds_since(SteadyClock::time_point begin) {
    return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

double quantile(std::vector<double> values, double part) {
    std::sort(values.begin(), values.end());
    return values.empty()
               ? 0
               : values[static_cast<size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
}

class Bench {
  public:
    explicit Bench(Options options) : options_(std::move(options)) {}

    void run() {
        for (int round = 1; round <= options_.rounds; ++round) {
            for (const std::string& name : options_.tools) {
                if (wanted("initial") || wanted("live") || wanted("sustained")) {
                    std::cout << "round " << round << ", " << name << std::endl;
                    measure(*make_blobs_tool(name, new_directory()));
                }
            }
        }
        if (wanted("idle")) {
            std::cout << "idle" << std::endl;
            idle();
        }
        report();
        for (auto& directory : directories_) {
            if (options_.leave) {
                static_cast<void>(directory.release());
            }
        }
    }

  private:
    bool wanted(const std::string& what) const {
        return options_.only.empty() ||
               std::count(options_.only.begin(), options_.only.end(), what);
    }
    /// Kept to the end: ext4 makes files slowly for minutes after many were deleted.
    std::filesystem::path new_directory() {
        directories_.push_back(std::make_unique<test::TemporaryDirectory>());
        return directories_.back()->path();
    }
    void note(const BlobsTool& tool, const std::string& figure, double value) {
        figures_[figure][tool.name()].push_back(value);
        std::cout << "  " << figure << ": " << value << std::endl;
    }

    void measure(BlobsTool& tool) {
        BlobsLoad load(tool.source(), 256);
        double mib = 0;
        for (size_t i = 0; i < options_.files + options_.large; ++i) {
            const size_t bytes = i < options_.files ? load.some_bytes() : large_bytes;
            load.create(bytes);
            mib += static_cast<double>(bytes) / (1 << 20);
        }
        sync();
        const double before = children_cpu_seconds();
        const auto begin = SteadyClock::now();
        tool.copy(load.files());
        const double seconds = seconds_since(begin);
        note(tool, "initial sync, MiB/s", mib / seconds);
        note(tool, "initial sync, CPU s",
             Cpu(tool.processes()).own + Cpu(tool.processes()).brokers + children_cpu_seconds() -
                 before);
        note(tool, "initial sync, files/s", static_cast<double>(load.files()) / seconds);
        sync();
        note(tool, "initial sync until all is on disk, MiB/s", mib / seconds_since(begin));
        if (wanted("live") || wanted("sustained")) {
            tool.follow();
            sleep(1);
        }
        if (wanted("live")) {
            live(tool, load);
        }
        if (wanted("sustained")) {
            sustained(tool, load);
        }
    }

    void live(BlobsTool& tool, BlobsLoad& load) {
        BlobsMirror mirror(tool.mirror(), load);
        const int count = options_.live_seconds * options_.rate;
        const Cpu before(tool.processes());
        auto due = SteadyClock::now();
        for (int i = 0; i < count; ++i) {
            due += std::chrono::microseconds(1'000'000 / options_.rate);
            std::this_thread::sleep_until(due);
            const size_t bytes = load.some_bytes();
            const auto version = i % 2 == 0 ? load.create(bytes) : load.replace(bytes);
            mirror.expect(version, SteadyClock::now());
        }
        mirror.await_all(patience);
        const Cpu after(tool.processes());
        note(tool, "change to visible, p50 ms", quantile(mirror.latencies(), 0.5));
        note(tool, "change to visible, p99 ms", quantile(mirror.latencies(), 0.99));
        note(tool, "CPU per change, ms", (after.own - before.own) / count * 1e3);
        note(tool, "CPU of the brokers per change, ms",
             (after.brokers - before.brokers) / count * 1e3);
    }

    void sustained(BlobsTool& tool, BlobsLoad& load) {
        BlobsMirror mirror(tool.mirror(), load);
        const auto begin = SteadyClock::now();
        auto due = begin;
        for (size_t i = 0; i < options_.burst; ++i) {
            due += std::chrono::microseconds(1'000'000 / options_.burst_rate);
            std::this_thread::sleep_until(due);
            const auto version = load.create(1024 + i % 4096);
            mirror.expect(version, SteadyClock::now());
        }
        mirror.await_all(patience);
        note(tool, "changes/s, visible",
             static_cast<double>(options_.burst) /
                 std::chrono::duration<double>(mirror.newest() - begin).count());
        tool.settle(load.files());
        note(tool, "changes/s to convergence",
             static_cast<double>(options_.burst) / seconds_since(begin));
    }

    void idle() {
        const auto tool = make_antipode_tool(new_directory());
        BlobsLoad load(tool->source(), std::max<size_t>(1, options_.idle_files / 1000));
        for (size_t i = 0; i < options_.idle_files; ++i) {
            load.create(100);
        }
        sync();
        const auto begin = SteadyClock::now();
        tool->copy(load.files());
        note(*tool, "idle: initial sync, files/s",
             static_cast<double>(load.files()) / seconds_since(begin));
        note_memory(*tool, "idle: most memory of ", peak_mib);
        await_rest(*tool);
        at_rest(*tool, "idle after the initial sync");
        const auto again = SteadyClock::now();
        tool->restart();
        note(*tool, "idle: restart until all is compared, s", seconds_since(again));
        note(*tool, "idle: CPU of the restart, s", Cpu(tool->processes()).own);
        await_rest(*tool);
        note(*tool, "idle: CPU of the restart until nothing more comes of it, s",
             Cpu(tool->processes()).own);
        at_rest(*tool, "idle after a restart");
        const auto scan = SteadyClock::now();
        test::must_run({"rsync", "-a", "--delete", "--exclude=.antipode",
                        tool->source().string() + "/", tool->mirror().string() + "/"});
        note(*tool, "idle: rsync -a --delete finds nothing to do in, s", seconds_since(scan));
    }

    void note_memory(const BlobsTool& tool, const std::string& what,
                     const std::function<double(pid_t)>& memory) {
        for (const auto& process : tool.processes()) {
            note(tool, what + process.name + ", MiB", memory(process.pid));
        }
    }

    /// A start, or a copy, has an end of its own: names are listed, watches set.
    void await_rest(const BlobsTool& tool) const {
        constexpr unsigned look_seconds = 10;
        constexpr double resting = 0.05;  ///< of a core, both daemons
        for (double before = 0, now = Cpu(tool.processes()).own;
             now - before > resting * look_seconds;) {
            sleep(look_seconds);
            before = std::exchange(now, Cpu(tool.processes()).own);
        }
    }

    void at_rest(BlobsTool& tool, const std::string& when) {
        std::map<std::string, double> before;
        for (const auto& process : tool.processes()) {
            before[process.name] = cpu_seconds(process.pid);
        }
        const auto begin = SteadyClock::now();
        sleep(static_cast<unsigned>(options_.idle_seconds));
        const double seconds = seconds_since(begin);
        for (const auto& process : tool.processes()) {
            note(tool, when + ": " + process.name + ", % of a core",
                 (cpu_seconds(process.pid) - before[process.name]) / seconds * 100);
        }
        note_memory(tool, when + ": ", resident_mib);
    }

    void report() const {
        std::cout << "\n| figure |";
        for (const std::string& tool : options_.tools) {
            std::cout << " " << tool << " |";
        }
        std::cout << "\n|---|";
        for (size_t i = 0; i < options_.tools.size(); ++i) {
            std::cout << "---|";
        }
        std::cout << "\n";
        for (const auto& [figure, values] : figures_) {
            std::cout << "| " << figure << " |";
            for (const std::string& tool : options_.tools) {
                const auto found = values.find(tool);
                if (found == values.end()) {
                    std::cout << " - |";
                } else {
                    std::cout << " " << quantile(found->second, 0.5) << " |";
                }
            }
            std::cout << "\n";
        }
    }

    Options options_;
    std::vector<std::unique_ptr<test::TemporaryDirectory>> directories_;
    /// figure -> tool -> one value a round
    std::map<std::string, std::map<std::string, std::vector<double>>> figures_;
};

int run(int argc, char** argv) {
    Options options;
    CLI::App app("The blobs lane beside rsync, rclone and lsyncd");
    app.add_option("--rounds", options.rounds, "Of each, medians are reported");
    app.add_option("--files", options.files, "Of 1 to 64 KiB, in the initial sync");
    app.add_option("--large", options.large, "Of 64 MiB, in the initial sync");
    app.add_option("--live-seconds", options.live_seconds, "How long latency is measured");
    app.add_option("--rate", options.rate, "Changes a second while it is");
    app.add_option("--burst", options.burst, "Changes of the sustained load");
    app.add_option("--burst-rate", options.burst_rate, "How many of them a second");
    app.add_option("--idle-files", options.idle_files, "While nothing happens");
    app.add_option("--idle-seconds", options.idle_seconds, "How long nothing happens");
    app.add_option("--only", options.only, "Of: initial, live, sustained, idle")->delimiter(',');
    app.add_option("--tools", options.tools, "Of: rsync, rclone, lsyncd, antipode")->delimiter(',');
    app.add_flag("--leave", options.leave, "Do not delete the files: that slows down what follows");
    CLI11_PARSE(app, argc, argv);
    Bench(options).run();
    return 0;
}

}  // namespace
}  // namespace antipode::bench

int main(int argc, char** argv) {
    try {
        return antipode::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "blobs_bench: " << error.what() << "\n";
        return 1;
    }
}
