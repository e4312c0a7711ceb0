// Two whole sites under load and under faults; see README.md beside this file.
#include <algorithm>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include <CLI/CLI.hpp>

#include "chaos-tests/report.hpp"
#include "chaos-tests/supervisor.hpp"

namespace antipode::chaos {
namespace {

struct Options {
    uint64_t seed = 1;
    int trials = 1;
    int jobs = 1;  ///< trials at a time
    int faults = 8;
    double minutes = 0;
    std::vector<std::string> only;  ///< of each: the faults of one trial, "NAME,NAME"
    std::string json;
    std::string failures;
    std::string regressions_file;
    bool regressions = false;        ///< nothing else
    bool regressions_first = false;  ///< and then the others
    bool no_regressions = false;
    bool list = false;
    bool quiet = false;
    bool loopback = false;
};

void declare(CLI::App& app, Options& options) {
    app.add_option("--seed", options.seed, "The first trial's seed; each further one adds 1");
    app.add_option("--trials", options.trials, "How many seeds")->check(CLI::PositiveNumber);
    app.add_option("--jobs", options.jobs, "So many trials at a time")->check(CLI::Range(1, 16));
    app.add_option("--faults", options.faults, "Faults of a trial, at most")
        ->check(CLI::PositiveNumber);
    app.add_option("--minutes", options.minutes,
                   "Trials until so many minutes are over, however many seeds these are")
        ->check(CLI::PositiveNumber);
    app.add_option("--only", options.only,
                   "A trial of these faults in this order (NAME,NAME), whatever the seed says; "
                   "again: one more trial, of the next seed");
    app.add_option("--json", options.json, "Writes the result there, as JSON; -: to stdout");
    app.add_option("--failures", options.failures,
                   "Where histories and logs of failed seeds go (a directory)");
    app.add_option("--regressions-file", options.regressions_file,
                   "The trials that failed once: a line \"SEED NAME,NAME\" each, then \"#\" and "
                   "what it found");
    app.add_flag("--regressions", options.regressions, "Runs these, and nothing else");
    app.add_flag("--regressions-first", options.regressions_first, "Runs these before the others");
    app.add_flag("--no-regressions", options.no_regressions, "Does not, after all");
    app.add_flag("--list", options.list, "Prints the faults, and ends");
    app.add_flag("--loopback", options.loopback,
                 "All sites on loopback, joined by proxies, as where networks cannot be made");
    app.add_flag("--quiet", options.quiet, "No line for each fault while it runs");
}

int list_faults() {
    for (const Fault& fault : all_faults()) {
        std::cout << fault.name << ": " << fault.how << " (needs " << name_of(fault.need) << ")\n";
    }
    return 0;
}

std::vector<std::string> names_in(const std::string& list) {
    std::vector<std::string> names;
    std::istringstream text(list);
    for (std::string name; std::getline(text, name, ',');) {
        names.push_back(name);
    }
    return names;
}

bool are_known(const std::vector<std::string>& lists) {
    for (const std::string& list : lists) {
        for (const std::string& name : names_in(list)) {
            if (find_fault(name) == nullptr) {
                std::cerr << "there is no fault \"" << name << "\"\nTry: --list\n";
                return false;
            }
        }
    }
    return true;
}

/// Throws at a line that names no trial. `file`: as --regressions-file says.
std::vector<Plan> regressions_in(const std::string& file) {
    std::istringstream text(test::read_file(file));
    std::vector<Plan> plans;
    for (std::string line; std::getline(text, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string list;
        Plan plan;
        if ((words >> std::ws).eof()) {
            continue;
        }
        const bool has_both = static_cast<bool>(words >> plan.seed >> list);
        if (!has_both || !(words >> std::ws).eof() || !are_known({list})) {
            throw std::runtime_error(file + ": not \"SEED NAME,NAME\": " + line);
        }
        plan.only = names_in(list);
        plans.push_back(plan);
    }
    if (plans.empty()) {
        throw std::runtime_error("there is no trial in the file \"" + file + "\"");
    }
    return plans;
}

/// Those that come first, whatever the seed is.
std::vector<Plan> first_plans(const Options& options) {
    const bool wanted = options.regressions || options.regressions_first;
    return wanted && !options.no_regressions ? regressions_in(options.regressions_file)
                                             : std::vector<Plan>{};
}

/// `trial`: counts from 0.
Plan drawn_plan(const Options& options, size_t trial) {
    Plan plan;
    plan.seed = options.seed + trial;
    if (!options.only.empty()) {
        plan.only = names_in(options.only[trial % options.only.size()]);
    }
    return plan;
}

/// Trials by their number, some at a time.
class Trials {
  public:
    Trials(const Options& options, const Probe& probe)
        : options_(options),
          probe_(probe),
          first_(first_plans(options)),
          total_(first_.size() + drawn(options)),
          until_(std::chrono::steady_clock::now() +
                 std::chrono::milliseconds(static_cast<int64_t>(options.minutes * 60'000))) {}

    std::vector<Outcome> run() {
        {
            std::vector<std::jthread> others;
            for (int job = 1; job < options_.jobs; ++job) {
                others.emplace_back([this] { run_beside(); });
            }
            run_some();
        }
        std::vector<Outcome> outcomes;
        for (auto& [trial, outcome] : outcomes_) {
            outcomes.push_back(std::move(outcome));
        }
        return outcomes;
    }

  private:
    static size_t drawn(const Options& options) {
        return options.regressions
                   ? 0
                   : std::max(static_cast<size_t>(options.trials), options.only.size());
    }
    bool is_by_time() const { return options_.minutes > 0; }

    /// In a network of its own: the sites of all trials have the same addresses. Without one the
    /// others do its work.
    void run_beside() {
        try {
            if (!probe_.missing(Need::Networks)) {
                enter_own_network();
            }
        } catch (const std::exception& error) {
            std::cerr << "no further job: " << error.what() << "\n";
            return;
        }
        run_some();
    }

    void run_some() {
        while (const auto trial = next()) {
            Outcome outcome = run_trial(plan_of(*trial), probe_);
            const std::scoped_lock lock(mutex_);
            outcomes_.emplace(*trial, std::move(outcome));
        }
    }

    std::optional<size_t> next() {
        const std::scoped_lock lock(mutex_);
        const bool goes_on = is_by_time() && !options_.regressions;
        const bool too_late =
            is_by_time() && next_ > 0 && std::chrono::steady_clock::now() >= until_;
        const bool over = too_late || (!goes_on && next_ >= total_);
        return over ? std::nullopt : std::optional(next_++);
    }

    Plan plan_of(size_t trial) {
        Plan plan =
            trial < first_.size() ? first_[trial] : drawn_plan(options_, trial - first_.size());
        plan.faults = options_.faults;
        plan.failures = options_.failures;
        if (is_by_time()) {
            plan.until = until_;
        }
        if (!options_.quiet) {
            plan.say = [this](const std::string& line) {
                const std::scoped_lock lock(mutex_);
                std::cerr << line << "\n";
            };
        }
        return plan;
    }

    const Options& options_;
    const Probe& probe_;
    const std::vector<Plan> first_;  ///< before those that are drawn
    const size_t total_;
    const std::chrono::steady_clock::time_point until_;
    std::mutex mutex_;  ///< of what follows, and of what is said
    size_t next_ = 0;
    std::map<size_t, Outcome> outcomes_;
};

int run_and_report(const Options& options) {
    const Probe probe(!options.loopback);
    const std::vector<Outcome> outcomes = Trials(options, probe).run();
    if (options.json == "-") {
        std::cout << json_of(outcomes, probe);
    } else if (!options.json.empty()) {
        test::write_file(options.json, json_of(outcomes, probe));
    }
    std::cout << table_of(outcomes, probe);
    return sums_of(outcomes).failed == 0 ? 0 : 1;
}

/// Prints what went wrong.
int guarded(const std::function<int()>& work) {
    try {
        return work();
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
}

int run(int argc, char** argv) {
    CLI::App app{"Two whole sites under load and under faults"};
    Options options;
    declare(app, options);
    CLI11_PARSE(app, argc, argv);
    if (options.list) {
        return list_faults();
    }
    if (!are_known(options.only)) {
        return 2;
    }
    return supervise([&] { return guarded([&] { return run_and_report(options); }); });
}

}  // namespace
}  // namespace antipode::chaos

int main(int argc, char** argv) {
    return antipode::chaos::guarded([&] { return antipode::chaos::run(argc, argv); });
}
