#include "apps/antipode/operation.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "apps/antipode/epoch_view.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/history.hpp"
#include "apps/antipode/standing.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

using failover::State;
namespace record_state = failover::record_state;

/// So many others may be faster; each has changed the record.
constexpr int tries = 5;

/// What an operator or a daemon has begun and nobody has ended.
struct Running {
    failover::Epoch seen;
    std::string site;  ///< whose bucket decides
    std::unique_ptr<KeyValue> bucket;

    const v1::EpochRecord& record() const { return seen.record; }
    const std::string& operation() const { return seen.record.operation_id(); }
    bool is_promotion() const { return record().state() == record_state::promoting; }
    bool is_behind_return() const {
        return record().state() == record_state::opening ||
               (is_promotion() && record().cuts_size() > 0);
    }
};

/// In the bucket of the site that decides: the primary's, or that of a site that is promoted.
/// nullopt: none runs. Throws CommandError{Unreachable}: the primary's server does not answer.
std::optional<Running> find_running(const Config& config, const OpenBucket& open) {
    const v1::EpochRecord newest = newest_record(config, open);
    for (const Config::Site& site : config.sites) {
        auto bucket = open(site, false);
        const auto own = try_read_record(*bucket, config);
        if (own && own->record.epoch() == newest.epoch() &&
            own->record.state() == record_state::promoting && own->record.target() == site.name) {
            return Running{*own, site.name, std::move(bucket)};
        }
    }
    auto bucket = open(require_site(config, newest.primary()), false);
    const failover::Epoch own = read_record(*bucket, config, newest.primary());
    return own.record.state() == record_state::serving
               ? std::nullopt
               : std::optional(Running{own, newest.primary(), std::move(bucket)});
}

std::string way_back(const Running& running) {
    return "antipode op wait " + running.operation() +
           "; once it is over, antipode switchover leads back";
}

Running require_running(const Config& config, const OpenBucket& open,
                        const std::string& operation) {
    auto running = find_running(config, open);
    if (!running) {
        throw CommandError(
            ExitCode::Failed, "no change of the primary runs that could be given up",
            operation.empty() ? "antipode history" : "antipode op show " + operation);
    }
    if (!operation.empty() && running->operation() != operation) {
        throw CommandError(ExitCode::Failed,
                           operation + " does not run, but " + running->operation() + " does",
                           "antipode op show " + operation);
    }
    if (running->is_behind_return()) {
        throw CommandError(
            ExitCode::Blocked,
            running->operation() + " has passed the point of no return: " +
                (running->is_promotion() ? running->site : running->record().primary()) +
                " becomes the primary",
            way_back(*running));
    }
    return std::move(*running);
}

/// False: somebody else was faster.
bool give_up(const Running& running, const Config& config, const Clock& clock) {
    v1::EpochRecord word =
        failover::successor(running.record(), "antipode op on " + config.site, clock.now());
    if (running.is_promotion()) {
        // Nothing was changed yet that had to be put back, so the daemon need not do anything.
        word.set_state(record_state::serving);
        word.set_problem("the operator has given it up");
        word.clear_target();
        word.clear_fenced_by();
        word.clear_accepted_loss();
    } else {
        word.set_state(record_state::aborting);
    }
    return change_record(*running.bucket, running.seen, word).has_value();
}

std::vector<std::string> all_sites(const Config& config) {
    std::vector<std::string> names;
    for (const Config::Site& site : config.sites) {
        names.push_back(site.name);
    }
    return names;
}

/// Watching is over, the operation is not.
[[noreturn]] void time_out(const ProgressWatch& watch, const Config& config,
                           const std::string& operation, const std::string& what) {
    std::string site_at_fault;
    for (const std::string& site : all_sites(config)) {
        const Standing* const at = watch.at(site);
        if (at == nullptr) {
            throw CommandError(ExitCode::Unreachable,
                               what + "; the antipoded of " + site + " does not answer",
                               "start it: it goes on by itself; antipode op wait " + operation);
        }
        const bool has_problem = at->operation == operation && !at->problem.empty();
        // One that yields waits for another one.
        if (has_problem && (site_at_fault.empty() || at->state != State::Yielding)) {
            site_at_fault = site;
        }
    }
    if (site_at_fault.empty()) {
        throw CommandError(ExitCode::TimedOut, what + "; the daemons go on with it",
                           "antipode op wait " + operation);
    }
    const Standing& at = *watch.at(site_at_fault);
    throw CommandError(ExitCode::TimedOut, what + "; " + site_at_fault + ": " + at.problem,
                       (at.next_step.empty() ? std::string() : at.next_step + "; then ") +
                           "antipode op resume " + operation);
}

std::chrono::milliseconds patience_of(const OperationOptions& options) {
    return std::chrono::milliseconds(static_cast<int64_t>(options.timeout_seconds * 1000));
}

/// A site that is promoted as it stands has nothing to apply.
bool begins_promotion(State state) {
    return state == State::Cutting || state == State::Claiming;
}

/// Where the operation was to lead; empty: no site remembers.
std::string target_of(const Operation& operation) {
    for (const auto& [site, entry] : operation.steps) {
        if (entry.event == to_string(failover::Event::Asked)) {
            return entry.detail;
        }
        if (begins_promotion(entry.state)) {
            return site;
        }
    }
    return {};
}

bool is_promotion(const Operation& operation) {
    return std::any_of(operation.steps.begin(), operation.steps.end(),
                       [](const auto& step) { return begins_promotion(step.entry.state); });
}

/// No site that answers has anything left to do in it. What a promotion leaves behind is off.
bool is_over(const Operation& operation, const History& history) {
    if (operation.outcome == OperationOutcome::Runs) {
        return false;
    }
    for (const auto& [site, entry] : history.standings) {
        if (entry.operation == operation.id && failover::is_busy(entry.state) &&
            !comes_back(entry.state)) {
            return false;
        }
    }
    return operation.outcome != OperationOutcome::Done || is_promotion(operation) ||
           history.silent.empty();
}

/// Prints what came of it.
void conclude(const Operation& operation, const History& history, const Output& output) {
    if (output.json()) {
        output.out << to_json(operation, history)
                          .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                   << "\n";
    } else {
        output.out << harmless(operation.id + ": " + outcome_of(operation)) << "\n";
    }
}

[[noreturn]] void conclude_badly(const Operation& operation, const History& history,
                                 const Output& output) {
    if (output.json()) {
        conclude(operation, history, output);
    }
    if (operation.outcome == OperationOutcome::Unknown) {
        throw CommandError(ExitCode::Unknown, "no site remembers how " + operation.id + " ended",
                           "antipode history");
    }
    const std::string target = target_of(operation);
    const char* const mode = is_promotion(operation) ? " --mode failover" : "";
    throw CommandError(ExitCode::Failed, operation.id + " was " + outcome_of(operation),
                       target.empty() ? std::string("antipode history")
                                      : "antipode preflight --to " + target + mode);
}

/// Which one is meant. Throws CommandError: Usage, Unreachable.
std::string name_of(const Config& config, const OpenBucket& open, const Fetch& fetch,
                    const OperationOptions& options) {
    std::optional<Running> running;
    try {
        running = find_running(config, open);
    } catch (const CommandError&) {
        // The journals say it, too.
    }
    if (running && (options.operation.empty() || options.operation == running->operation())) {
        return running->operation();
    }
    const History history = history_of(config, fetch);
    if (const Operation* const found = history.find(options.operation)) {
        return found->id;
    }
    throw CommandError(ExitCode::Usage,
                       options.operation.empty() ? "the sites remember no operation"
                                                 : "no site remembers " + options.operation,
                       "antipode history");
}

/// nullopt: no daemon answers.
std::optional<History> try_history(const Config& config, const Fetch& fetch) {
    try {
        return history_of(config, fetch);
    } catch (const CommandError& error) {
        if (error.code() != ExitCode::Unreachable) {
            throw;
        }
        return std::nullopt;
    }
}

ExitCode watch_to_end(const Config& config, const Fetch& fetch, const Clock& clock,
                      const Output& output, const OperationOptions& options,
                      const std::string& operation) {
    ProgressWatch watch(config, fetch, output);
    const SteadyTime end = clock.steady_now() + patience_of(options);
    while (true) {
        watch.look(all_sites(config));
        const auto history = try_history(config, fetch);
        const Operation* const now = history ? history->find(operation) : nullptr;
        if (now != nullptr && is_over(*now, *history)) {
            if (now->outcome != OperationOutcome::Done) {
                conclude_badly(*now, *history, output);
            }
            conclude(*now, *history, output);
            return ExitCode::Ok;
        }
        if (clock.steady_now() >= end) {
            time_out(watch, config, operation, operation + " is not done yet");
        }
        options.pause();
    }
}

/// Those that stand at a failed step of it. A server that does not answer is no matter: the step is
/// tried again within seconds all the same.
void tell_to_go_on(const Config& config, const OpenBucket& open, const Fetch& fetch,
                   const Clock& clock, const std::string& operation) {
    for (const Config::Site& site : config.sites) {
        try {
            const Standing now = standing_of(config, fetch, site);
            if (now.operation == operation && !now.problem.empty()) {
                open(site, false)
                    ->put(failover::resume_key, std::to_string(now.epoch) + " " +
                                                    std::to_string(to_microseconds(clock.now())));
            }
        } catch (const CommandError&) {
            continue;
        } catch (const Error&) {
            continue;
        }
    }
}

/// The record says it first. Throws when the word came too late.
bool is_put_back(const Running& asked, const Config& config) {
    const auto now = try_read_record(*asked.bucket, config);
    if (now && now->record.epoch() > asked.record().epoch()) {
        throw CommandError(ExitCode::Blocked,
                           "the word came too late: " + asked.operation() +
                               " has passed the point of no return, " + now->record.primary() +
                               " becomes the primary",
                           way_back(asked));
    }
    return now && now->record.state() == record_state::serving;
}

bool nobody_is_in(const std::string& operation, const ProgressWatch& watch, const Config& config) {
    for (const std::string& site : all_sites(config)) {
        const Standing* const at = watch.at(site);
        if (at != nullptr && at->operation == operation && at->state &&
            failover::is_busy(*at->state)) {
            return false;
        }
    }
    return true;
}

void print_abort(const Output& output, const std::string& operation, const std::string& primary,
                 double seconds) {
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.operation-abort/1"},
                                             {"operation", operation},
                                             {"primary", primary},
                                             {"seconds", seconds}}
                          .dump()
                   << "\n";
    } else {
        output.out << harmless(operation + " is given up; " + primary +
                               " is the primary as before; ")
                   << format_seconds(seconds) << "\n";
    }
}

}  // namespace

std::string ask_to_abort(const Config& config, const OpenBucket& open, const Clock& clock,
                         const std::string& operation) {
    for (int i = 0; i < tries; ++i) {
        const Running running = require_running(config, open, operation);
        if (running.record().state() == record_state::aborting || give_up(running, config, clock)) {
            return running.operation();
        }
    }
    throw CommandError(ExitCode::Conflict, "others have changed the epoch record meanwhile",
                       "the same command again");
}

std::string ask_to_abort_switchover(const Config& config, const OpenBucket& open,
                                    const Clock& clock) {
    const Running running = require_running(config, open, {});
    if (running.is_promotion()) {
        throw CommandError(ExitCode::Conflict,
                           running.operation() + " runs, which is no switchover; it goes on",
                           "antipode op abort " + running.operation());
    }
    return ask_to_abort(config, open, clock, running.operation());
}

ExitCode abort_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                         const Clock& clock, const Output& output,
                         const OperationOptions& options) {
    const Running running = require_running(config, open, options.operation);
    const std::string operation = ask_to_abort(config, open, clock, running.operation());
    ProgressWatch watch(config, fetch, output);
    const SteadyTime begun = clock.steady_now();
    do {
        watch.look(all_sites(config));
        if (is_put_back(running, config) && nobody_is_in(operation, watch, config)) {
            const std::string& primary = running.record().primary();
            const double seconds =
                std::chrono::duration<double>(clock.steady_now() - begun).count();
            print_abort(output, operation, primary, seconds);
            return ExitCode::Ok;
        }
        options.pause();
    } while (clock.steady_now() - begun < patience_of(options));
    time_out(watch, config, operation, operation + " is asked to be given up");
}

ExitCode wait_for_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                            const Clock& clock, const Output& output,
                            const OperationOptions& options) {
    return watch_to_end(config, fetch, clock, output, options,
                        name_of(config, open, fetch, options));
}

ExitCode resume_operation(const Config& config, const OpenBucket& open, const Fetch& fetch,
                          const Clock& clock, const Output& output,
                          const OperationOptions& options) {
    const std::string operation = name_of(config, open, fetch, options);
    tell_to_go_on(config, open, fetch, clock, operation);
    return watch_to_end(config, fetch, clock, output, options, operation);
}

}  // namespace antipode::cli
