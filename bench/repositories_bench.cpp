// The repositories lane beside git fetch and git push --mirror from a hook, and rsync in a loop, on
// the same machine, one after the other in one run. Prints each round's figures and a table of the
// medians.
#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include "bench/repositories_load.hpp"
#include "bench/repositories_tool.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr std::chrono::seconds patience(600);
constexpr std::chrono::seconds idle_time(5);

struct Options {
    int rounds = 3;
    RepositoriesLoad::Shape shape;
    double rate = 5;
    size_t pushes = 200;
    size_t missed = 400;
    size_t large_mebibytes = 0;
    std::optional<double> round_trip_ms;
    std::vector<std::string> only;
    std::vector<std::string> tools = {"none", "fetch", "push", "rsync", "antipode"};
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

/// CPU of commands that have ended, a push's hooks among them, and of what runs all the time.
struct TotalCpu : Cpu {
    explicit TotalCpu(const RepositoriesTool& tool) : Cpu(tool.processes()) {
        own += children_cpu_seconds();
    }
    double all() const { return own + brokers; }
};

class Bench {
  public:
    explicit Bench(Options options) : options_(std::move(options)) {
        if (options_.round_trip_ms) {
            wire_ = std::make_unique<Wire>(
                std::chrono::microseconds(static_cast<int64_t>(*options_.round_trip_ms * 500)));
        }
    }

    void run() {
        for (int round = 1; round <= options_.rounds; ++round) {
            for (const std::string& name : options_.tools) {
                std::cout << "round " << round << ", " << name << std::endl;
                const test::TemporaryDirectory directory;
                measure(*make_repositories_tool(name, {directory.path(), wire_.get()}),
                        directory.path());
            }
        }
        report();
    }

  private:
    bool wanted(const std::string& what) const {
        return options_.only.empty() ||
               std::count(options_.only.begin(), options_.only.end(), what) > 0;
    }
    void note(const RepositoriesTool& tool, const std::string& figure, double value) {
        figures_[figure][tool.name()].push_back(value);
        std::cout << "  " << figure << ": " << value << std::endl;
    }

    void measure(RepositoriesTool& tool, const std::filesystem::path& directory) {
        RepositoriesLoad load(directory / "load", tool.source(), options_.shape);
        RepositoriesLoad::Shape like = options_.shape;
        like.first_files = 0;
        RepositoriesLoad plain(directory / "plain", directory / "plain/root", like);
        sync();
        const double cpu = TotalCpu(tool).all();
        const auto begin = SteadyClock::now();
        tool.copy(load);
        if (tool.name() != "none") {
            note(tool, "initial sync, MiB/s", load.mebibytes() / seconds_since(begin));
            note(tool, "CPU of the initial sync, ms per MiB",
                 (TotalCpu(tool).all() - cpu) / load.mebibytes() * 1e3);
            tool.prove(load);
            note(tool, "until all objects were read, MiB/s",
                 load.mebibytes() / seconds_since(begin));
            note(tool, "CPU until then, ms per MiB",
                 (TotalCpu(tool).all() - cpu) / load.mebibytes() * 1e3);
        }
        idle(tool);
        if (wanted("live")) {
            live(tool, load, plain);
        }
        if (wanted("outage") && tool.name() != "none") {
            outage(tool, load);
        }
        if (options_.large_mebibytes > 0 && tool.name() != "none") {
            memory(tool, load);
        }
    }

    /// What goes over the wire when nobody pushes is part of what a push is seen to take.
    void idle(const RepositoriesTool& tool) {
        const uint64_t bytes = wire_ ? wire_->bytes() : 0;
        std::this_thread::sleep_for(idle_time);
        if (wire_ && tool.name() != "none") {
            note(tool, "bytes on the wire in an idle second",
                 static_cast<double>(wire_->bytes() - bytes) /
                     static_cast<double>(idle_time.count()));
        }
    }

    /// Every other push goes to a repository that nobody mirrors: what git itself takes for one
    /// differs from minute to minute.
    void live(RepositoriesTool& tool, RepositoriesLoad& load, RepositoriesLoad& plain) {
        RepositoriesMirror mirror(load, tool.mirror());
        std::vector<double> durations;
        double plain_cpu = 0;
        const TotalCpu cpu(tool);
        const uint64_t bytes = wire_ ? wire_->bytes() : 0;
        auto due = SteadyClock::now();
        const auto await_turn = [&] {
            due += std::chrono::microseconds(static_cast<int64_t>(0.5e6 / options_.rate));
            std::this_thread::sleep_until(due);
        };
        for (size_t i = 0; i < options_.pushes; ++i) {
            await_turn();
            const auto begin = SteadyClock::now();
            mirror.watch(load.next_repository());
            const auto push = load.push();
            const auto returned = SteadyClock::now();
            durations.push_back(seconds_since(begin) * 1e3);
            if (tool.name() != "none") {
                mirror.expect(push, returned);
            }
            await_turn();
            plain_cpu += plain.push_and_count();
        }
        const auto latencies = mirror.await_all(patience);
        const auto count = static_cast<double>(options_.pushes);
        note(tool, "a push takes, p50 ms", quantile(durations, 0.5));
        note(tool, "a push takes, p99 ms", quantile(durations, 0.99));
        const TotalCpu after(tool);
        const double own = after.own - cpu.own - plain_cpu;
        note(tool, "CPU of a push that nobody mirrors, ms", plain_cpu / count * 1e3);
        note(tool, "CPU per push, without the brokers, ms", own / count * 1e3);
        note(tool, "CPU per push of the brokers, ms", (after.brokers - cpu.brokers) / count * 1e3);
        note(tool, "CPU per push beyond git's own, with the brokers, ms",
             (own - plain_cpu + after.brokers - cpu.brokers) / count * 1e3);
        if (tool.name() != "none") {
            note(tool, "push returned to visible, p50 ms", quantile(latencies, 0.5));
            note(tool, "push returned to visible, p99 ms", quantile(latencies, 0.99));
        }
        if (tool.name() != "none" && wire_) {
            note(tool, "bytes on the wire per push",
                 static_cast<double>(wire_->bytes() - bytes) / count);
        }
    }

    void outage(RepositoriesTool& tool, RepositoriesLoad& load) {
        tool.pause();
        for (size_t i = 0; i < options_.missed; ++i) {
            load.push();
        }
        RepositoriesMirror mirror(load, tool.mirror());
        const auto begin = SteadyClock::now();
        const auto pushed = load.pushed();
        for (size_t i = 0; i < pushed.size(); ++i) {
            mirror.expect({i, pushed[i]}, begin);
        }
        tool.resume(load);
        mirror.await_all(patience);
        note(tool, "catching up after an outage, pushes/s",
             static_cast<double>(options_.missed) / seconds_since(begin));
    }

    void memory(const RepositoriesTool& tool, RepositoriesLoad& load) {
        const auto note_peaks = [&](const std::string& when) {
            for (const auto& process : tool.processes()) {
                note(tool, "most memory of " + process.name + " " + when + ", MiB",
                     peak_mib(process.pid));
            }
        };
        note_peaks("before a large push");
        const auto begin = SteadyClock::now();
        load.push_large(options_.large_mebibytes);
        if (!test::eventually([&] { return load.large_is_at(tool.mirror()); }, patience)) {
            throw std::runtime_error("the large push does not arrive");
        }
        note(tool, "a large push is made and visible, s", seconds_since(begin));
        note_peaks("after a large push");
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

    const Options options_;
    std::unique_ptr<Wire> wire_;
    /// figure -> tool -> one value a round
    std::map<std::string, std::map<std::string, std::vector<double>>> figures_;
};

int run(int argc, char** argv) {
    Options options;
    CLI::App app("The repositories lane beside git from a hook and rsync in a loop");
    app.add_option("--rounds", options.rounds, "Of each, medians are reported");
    app.add_option("--repositories", options.shape.repositories, "That are pushed to, in turn");
    app.add_option("--files", options.shape.files, "Of 10 KB, in each, in the initial sync");
    app.add_option("--first-files", options.shape.first_files,
                   "The same, in the first repository; 0: as in the others");
    app.add_option("--most-new-files", options.shape.most_new_files,
                   "In a push: 1, 10, 100, ... up to as many, in turn");
    app.add_option("--rate", options.rate, "Pushes a second while latency is measured");
    app.add_option("--pushes", options.pushes, "While it is");
    app.add_option("--missed", options.missed, "Pushes during the outage");
    app.add_option("--round-trip", options.round_trip_ms,
                   "ms: the sites are in networks of their own, with a wire between them that "
                   "delays and counts (root only)");
    app.add_option("--large", options.large_mebibytes,
                   "MiB of one file that is pushed at the end, for its memory; 0: none");
    app.add_option("--only", options.only, "Of: live, outage")->delimiter(',');
    app.add_option("--tools", options.tools, "Of: none, fetch, push, rsync, antipode")
        ->delimiter(',');
    CLI11_PARSE(app, argc, argv);
    options.shape.pushes = options.pushes + options.missed;
    Bench(options).run();
    return 0;
}

}  // namespace
}  // namespace antipode::bench

int main(int argc, char** argv) {
    try {
        return antipode::bench::run(argc, argv);
    } catch (const std::exception& error) {
        std::cerr << "repositories_bench: " << error.what() << "\n";
        return 1;
    }
}
