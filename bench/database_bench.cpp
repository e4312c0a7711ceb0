// The database lane beside PostgreSQL's own logical replication, on the same machine, one after the
// other in one run. Prints each round's figures and the medians with their ratio.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "adapters/postgres/connection.hpp"
#include "bench/database_pair.hpp"

namespace antipode::bench {
namespace {

using postgres::Connection;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes patience(10);

struct Options {
    int rounds = 3;
    int scale = 10;
    int transactions = 100'000;
    int rows = 1'000'000;
    int live_seconds = 15;
    std::vector<std::string> only;
    std::vector<std::string> pairs = {"native", "antipode"};
};

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values, double quantile = 0.5) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0
                          : values[static_cast<size_t>(
                                quantile * static_cast<double>(values.size() - 1) + 0.5)];
}

/// Seconds of CPU that everything on this machine has used: all processes of both sites, as nothing
/// else runs.
double machine_cpu() {
    std::ifstream stat("/proc/stat");
    std::string word;
    stat >> word;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0;
    stat >> user >> nice >> system >> idle >> wait >> irq >> softirq;
    return (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// From now on peak_megabytes() is about what comes.
void forget_peak(pid_t process) {
    std::ofstream("/proc/" + std::to_string(process) + "/clear_refs") << "5";
}

/// The most memory (resident) that a process has had.
double peak_megabytes(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    std::string word;
    while (status >> word && word != "VmHWM:") {
    }
    double kilobytes = 0;
    status >> kilobytes;
    return kilobytes / 1024;
}

/// One pair, its connections, and the marks by which it is seen that the mirror has caught up.
class Subject {
  public:
    explicit Subject(std::unique_ptr<Pair> pair) : pair_(std::move(pair)) {}

    Pair& pair() { return *pair_; }
    std::string name() const { return pair_->name(); }

    void sql(const std::string& statement) { pair_->source().psql(statement, "app"); }

    void pgbench(std::vector<std::string> arguments) {
        std::vector<std::string> command = {"pgbench"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        command.push_back(pair_->source().url("app"));
        test::must_run(command);
    }

    /// Leaves a mark behind what is written; returns it.
    int mark() {
        sql("INSERT INTO mark VALUES (" + std::to_string(++marks_) + ")");
        return marks_;
    }
    void await(int mark) {
        await("SELECT EXISTS (SELECT FROM mark WHERE id = " + std::to_string(mark) + ")");
    }
    void await(const std::string& condition) {
        const bool seen = test::eventually(
            [&] {
                try {
                    if (!mirror_) {
                        mirror_.emplace(pair_->mirror().url("app"), "bench");
                        // A look at one row must not scan what has not been committed yet.
                        mirror_->execute("looking",
                                         "SET search_path = public; SET enable_seqscan = off");
                    }
                    return mirror_->query("looking", condition).boolean(0, 0);
                } catch (const Error&) {
                    mirror_.reset();
                    return false;  // the table is not there yet
                }
            },
            patience);
        if (!seen) {
            throw std::runtime_error(name() + " does not catch up");
        }
    }
    void settle() { await(mark()); }

  private:
    std::unique_ptr<Pair> pair_;
    std::optional<Connection> mirror_;
    int marks_ = 0;
};

/// figure -> pair -> one value a round
using Figures = std::map<std::string, std::map<std::string, std::vector<double>>>;

class Bench {
  public:
    explicit Bench(Options options) : options_(std::move(options)) {}

    void run() {
        for (int round = 1; round <= options_.rounds; ++round) {
            for (const std::string& pair : options_.pairs) {
                Subject subject(pair == "native" ? native_pair() : antipode_pair());
                std::cout << "round " << round << ", " << subject.name() << std::endl;
                prepare(subject);
                measure(subject, "backlog", [&] { backlog(subject); });
                measure(subject, "bulk", [&] { bulk(subject); });
                measure(subject, "live", [&] { live(subject); });
            }
        }
        report();
    }

  private:
    bool wanted(const std::string& what) const {
        return options_.only.empty() ||
               std::count(options_.only.begin(), options_.only.end(), what);
    }
    template <typename Run>
    void measure(Subject& subject, const std::string& what, Run run) {
        if (wanted(what)) {
            subject.settle();
            run();
        }
    }
    void note(const Subject& subject, const std::string& figure, double value) {
        figures_[figure][subject.name()].push_back(value);
        std::cout << "  " << figure << ": " << value << std::endl;
    }

    void prepare(Subject& subject) {
        subject.sql("CREATE TABLE mark (id int PRIMARY KEY)");
        subject.sql("CREATE TABLE bulk (id int PRIMARY KEY, a text, b timestamptz, c numeric)");
        subject.sql("CREATE TABLE live (id bigint PRIMARY KEY, at timestamptz NOT NULL)");
        subject.pgbench({"-i", "-q", "-s", std::to_string(options_.scale)});
        subject.sql("CHECKPOINT");
        const auto begin = Clock::now();
        subject.pair().connect();
        subject.await("SELECT count(*) = " + std::to_string(100'000 * options_.scale) +
                      " FROM pgbench_accounts");
        note(subject, "initial copy, rows/s", 100'000.0 * options_.scale / seconds_since(begin));
        subject.settle();
    }

    void backlog(Subject& subject) {
        subject.pair().halt();
        const int clients = 4;
        subject.pgbench({"-n", "-c", std::to_string(clients), "-j", "2", "-t",
                         std::to_string(options_.transactions / clients)});
        const int mark = subject.mark();
        const double cpu = machine_cpu();
        const auto begin = Clock::now();
        subject.pair().resume();
        subject.await(mark);
        const double seconds = seconds_since(begin);
        note(subject, "backlog of TPC-B, tx/s", options_.transactions / seconds);
        note(subject, "CPU per transaction, us",
             (machine_cpu() - cpu) / options_.transactions * 1e6);
    }

    void bulk(Subject& subject) {
        const std::string rows = std::to_string(options_.rows);
        for (const Pair::Daemon& daemon : subject.pair().daemons()) {
            forget_peak(daemon.pid);
        }
        const auto timed = [&](const std::string& figure, const std::string& statement,
                               const std::string& seen) {
            subject.sql(statement);
            const auto begin = Clock::now();
            subject.await(seen);
            note(subject, figure, seconds_since(begin));
            subject.settle();
        };
        timed("insert " + rows + " rows in one transaction, s",
              "INSERT INTO bulk SELECT i, md5(i::text), now(), i / 7.0 FROM generate_series(1, " +
                  rows + ") i",
              "SELECT EXISTS (SELECT FROM bulk WHERE id = 1)");
        for (const Pair::Daemon& daemon : subject.pair().daemons()) {
            note(subject, "most memory of " + daemon.name + ", MiB", peak_megabytes(daemon.pid));
        }
        timed("update half of them, s", "UPDATE bulk SET a = a || 'x' WHERE id % 2 = 0",
              "SELECT EXISTS (SELECT FROM bulk WHERE id = 2 AND a LIKE '%x')");
        timed("delete half of them, s", "DELETE FROM bulk WHERE id % 2 = 1",
              "SELECT NOT EXISTS (SELECT FROM bulk WHERE id = 1)");
    }

    /// 200 transactions a second, each seen on the mirror by a connection that looks all the time.
    void live(Subject& subject) {
        Connection source(subject.pair().source().url("app"), "bench");
        Connection mirror(subject.pair().mirror().url("app"), "bench");
        std::vector<double> milliseconds;
        const int count = options_.live_seconds * 200;
        auto due = Clock::now();
        for (int i = 0; i < count; ++i) {
            due += std::chrono::milliseconds(5);
            std::this_thread::sleep_until(due);
            source.query("writing", "INSERT INTO public.live VALUES ($1, now())",
                         {std::to_string(i)});
            const auto committed = Clock::now();
            while (!mirror
                        .query("looking", "SELECT EXISTS (SELECT FROM public.live WHERE id = $1)",
                               {std::to_string(i)})
                        .boolean(0, 0)) {
                if (Clock::now() - committed > patience) {
                    throw std::runtime_error("a live row does not arrive");
                }
            }
            milliseconds.push_back(seconds_since(committed) * 1e3);
        }
        note(subject, "live, p50 ms", median(milliseconds));
        note(subject, "live, p99 ms", median(milliseconds, 0.99));
    }

    /// Nothing of a pair alone: that is for profiling.
    void report() const {
        if (options_.pairs.size() < 2) {
            return;
        }
        std::cout << "\n| figure | native | antipode | antipode / native |\n|---|---|---|---|\n";
        for (const auto& [figure, values] : figures_) {
            const double ours = median(values.at("antipode"));
            const auto native = values.find("native");
            std::cout << "| " << figure << " | ";
            if (native == values.end()) {
                std::cout << "- | " << ours << " | - |\n";
            } else {
                const double theirs = median(native->second);
                std::cout << theirs << " | " << ours << " | " << ours / theirs << " |\n";
            }
        }
    }

    Options options_;
    Figures figures_;
};

int run(int argc, char** argv) {
    Options options;
    CLI::App app("The database lane beside PostgreSQL's logical replication");
    app.add_option("--rounds", options.rounds, "Of each, medians are reported");
    app.add_option("--scale", options.scale, "Of pgbench: 100,000 accounts each");
    app.add_option("--transactions", options.transactions, "In the backlog");
    app.add_option("--rows", options.rows, "In the large transactions");
    app.add_option("--live-seconds", options.live_seconds, "How long latency is measured");
    app.add_option("--only", options.only, "Of: backlog, bulk, live")->delimiter(',');
    app.add_option("--pair", options.pairs, "Only this one (for profiling)")
        ->check(CLI::IsMember({"native", "antipode"}));
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
        std::cerr << "database_bench: " << error.what() << "\n";
        return 1;
    }
}
