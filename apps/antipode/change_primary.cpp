#include "apps/antipode/change_primary.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/epoch_view.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/operation.hpp"
#include "apps/antipode/standing.hpp"
#include "apps/antipode/status.hpp"
#include "base/duration.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
namespace record_state = failover::record_state;

constexpr std::chrono::seconds patience_with_failures(15);

void print(const Output& output, const Json& json) {
    output.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

/// Progress is for people; under json only the result is printed.
void say(const Output& output, const std::string& line) {
    if (!output.json()) {
        output.out << harmless(line) << "\n";
        output.out.flush();
    }
}

void confirm(const Output& output, const ChangeOptions& options, const std::string& site) {
    if (options.yes || options.confirmed == site) {
        return;
    }
    output.error << "Type the name of the site that will be primary, " << site << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != site) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was changed",
                           "the same command with --confirm " + site + ", or --yes");
    }
}

/// Whatever a promotion may lose is typed for: no flag of a script that does not name the site
/// answers for it.
void confirm_loss(const Output& output, const ChangeOptions& options) {
    ChangeOptions asked = options;
    asked.yes = false;
    try {
        confirm(output, asked, options.to);
    } catch (const CommandError& error) {
        throw CommandError(error.code(),
                           std::string(error.what()) +
                               (options.yes ? "; --yes does not answer for what may be lost" : ""),
                           "the same command with --confirm " + options.to);
    }
}

void require_clear(const Preflight& preflight, const Output& output) {
    if (!preflight.clear()) {
        if (output.json()) {
            print(output, to_json(preflight));
        }
        const Obstacle& first = preflight.blockers.front();
        throw CommandError(ExitCode::Blocked, first.what, first.next_step);
    }
}

/// An item that failed a moment ago is sent again within seconds; one that goes on to fail is not
/// waited for any longer.
Preflight look_before_switchover(const Config& config, const Fetch& fetch, const Clock& clock,
                                 const Output& output, const ChangeOptions& options) {
    const auto look = [&] {
        return look_before(config, fetch, options.to, PreflightMode::Switchover);
    };
    Preflight found = look();
    if (found.may_clear()) {
        say(output, found.blockers.front().what + ": waits until it is sent again");
    }
    const SteadyTime end = clock.steady_now() + patience_with_failures;
    while (found.may_clear() && clock.steady_now() < end) {
        options.pause();
        found = look();
    }
    return found;
}

[[noreturn]] void time_out(const std::string& operation) {
    throw CommandError(ExitCode::TimedOut,
                       operation + " is not done yet; the daemons go on with it",
                       "antipode op show; antipode op wait watches it");
}

std::string new_operation(const char* kind, const Clock& clock) {
    return std::string(kind) + "-" + std::to_string(to_microseconds(clock.now()));
}

/// Until the new primary serves, and the old one follows it.
void watch_switchover(const Config& config, const OpenBucket& open, const Fetch& fetch,
                      const Clock& clock, const Output& output, const ChangeOptions& options,
                      KeyValue& old_bucket, const failover::Epoch& asked) {
    const std::string from = asked.record.primary();
    const std::string operation = asked.record.operation_id();
    const auto new_bucket = open(*config.find_site(options.to), false);
    const SteadyTime end = clock.steady_now() + options.patience;
    ProgressWatch watch(config, fetch, output);
    while (clock.steady_now() < end) {
        watch.look({from, options.to});
        const auto old = try_read_record(old_bucket, config);
        if (old && old->record.epoch() == asked.record.epoch() &&
            old->record.state() == record_state::serving) {
            const std::string why = old->record.operation_id() == operation
                                        ? old->record.problem()
                                        : "another operation has taken its place";
            throw CommandError(ExitCode::Failed,
                               "given up: " + why + "; " + from + " serves on as before",
                               "antipode preflight --to " + options.to);
        }
        const auto fresh = try_read_record(*new_bucket, config);
        if (fresh && fresh->record.epoch() > asked.record.epoch() &&
            fresh->record.state() == record_state::serving && watch.at(from) != nullptr &&
            watch.at(from)->state == failover::State::Following) {
            return;
        }
        options.pause();
    }
    time_out(operation);
}

/// The intent, by compare-and-set: of two operators one loses here.
failover::Epoch ask_for_switchover(KeyValue& bucket, const failover::Epoch& seen,
                                   const Config& config, const Clock& clock,
                                   const std::string& to) {
    v1::EpochRecord record =
        failover::successor(seen.record, "antipode switchover on " + config.site, clock.now());
    record.set_state(record_state::switchover);
    record.set_target(to);
    record.set_operation_id(new_operation("switchover", clock));
    record.clear_problem();
    record.clear_fenced_by();
    const auto asked = change_record(bucket, seen, record);
    if (!asked) {
        throw CommandError(ExitCode::Conflict, "somebody else was faster", "antipode status");
    }
    return *asked;
}

Json fetch_json(const Config& config, const Fetch& fetch, const std::string& site,
                const std::string& path) {
    return Json::parse(get(fetch, daemon_of(config, *config.find_site(site)), path), nullptr,
                       false);
}

/// What was written since the recovery point may be lost, all of it.
void require_acceptable_loss(const Preflight& preflight, const Clock& clock,
                             const ChangeOptions& options) {
    if (options.accepted_loss.empty()) {
        return;
    }
    const auto accepted = parse_duration(options.accepted_loss);
    if (!accepted) {
        throw CommandError(ExitCode::Usage,
                           "\"" + options.accepted_loss + "\" is no duration: 30s, 5m, 8d",
                           "antipode promote " + options.to + " --accept-loss 5m");
    }
    const std::string again = "antipode preflight --mode failover --to " + options.to;
    if (!preflight.recovery_point) {
        throw CommandError(ExitCode::Blocked,
                           "how much would be lost is not known, so that it cannot be accepted",
                           again);
    }
    const auto lost = clock.now() - *preflight.recovery_point;
    if (lost > *accepted) {
        throw CommandError(ExitCode::Blocked,
                           "what " + preflight.from + " wrote in the last " + format_age(lost) +
                               " may be lost, and " + options.accepted_loss + " was accepted",
                           again);
    }
}

std::string word_of(const ChangeOptions& options) {
    return options.fenced_by +
           (options.accepted_loss.empty()
                ? ""
                : "; a loss of up to " + options.accepted_loss + " was accepted");
}

/// A promotion that waits for the lease goes on at once on an operator's word.
failover::Epoch add_word(KeyValue& bucket, const failover::Epoch& seen, const Config& config,
                         const Clock& clock, const ChangeOptions& options) {
    v1::EpochRecord record =
        failover::successor(seen.record, "antipode promote on " + config.site, clock.now());
    record.set_fenced_by(word_of(options));
    const auto changed = change_record(bucket, seen, record);
    if (!changed) {
        throw CommandError(ExitCode::Conflict, "it went on meanwhile",
                           "antipode op wait " + seen.record.operation_id());
    }
    return *changed;
}

/// Without a witness, or when it cannot say so, only the operator can.
void require_proof(const Config& config, const Preflight& preflight, const ChangeOptions& options) {
    const bool watched = config.witness && preflight.lease_seconds;
    if (!options.fenced_by.empty() || (watched && preflight.lease_obstacle.empty())) {
        return;
    }
    const std::string why = !config.witness ? "there is no witness"
                            : watched       ? preflight.lease_obstacle
                                            : options.to + " has not seen the lease yet";
    throw CommandError(ExitCode::Usage,
                       "nobody but you can say that " + preflight.from + " is off: " + why,
                       "make sure that it takes no writes, then: antipode promote " + options.to +
                           " --fenced-by \"how you did that\"");
}

failover::Epoch ask_for_promotion(KeyValue& bucket, const failover::Epoch& seen,
                                  const Config& config, const Clock& clock,
                                  const ChangeOptions& options) {
    v1::EpochRecord record =
        failover::successor(seen.record, "antipode promote on " + config.site, clock.now());
    record.set_state(record_state::promoting);
    record.set_target(options.to);
    record.set_operation_id(new_operation("promote", clock));
    // The journal and the loss report quote it. Without a word the lease proves it, in time.
    record.set_fenced_by(options.fenced_by.empty() ? "" : word_of(options));
    record.set_accepted_loss(options.fenced_by.empty() ? options.accepted_loss : "");
    record.clear_problem();
    record.clear_cuts();  // the daemon's word that it passes the point of no return
    const auto asked = change_record(bucket, seen, record);
    if (!asked) {
        throw CommandError(ExitCode::Conflict, "somebody else was faster", "antipode status");
    }
    return *asked;
}

void watch_promotion(const Config& config, const Fetch& fetch, const Clock& clock,
                     const Output& output, const ChangeOptions& options, KeyValue& bucket,
                     const failover::Epoch& asked) {
    const SteadyTime end = clock.steady_now() + options.patience;
    ProgressWatch watch(config, fetch, output);
    while (clock.steady_now() < end) {
        watch.look({options.to});
        const auto now = try_read_record(bucket, config);
        const bool serves = now && now->record.state() == record_state::serving;
        if (serves && now->record.epoch() == asked.record.epoch()) {
            throw CommandError(ExitCode::Failed, "given up: " + now->record.problem(),
                               "antipode status " + options.to);
        }
        const bool over = now && now->record.epoch() > asked.record.epoch();
        if (over && now->record.primary() != options.to) {
            throw CommandError(ExitCode::Conflict,
                               "given up: " + now->record.primary() +
                                   " was promoted meanwhile, and is the primary of epoch " +
                                   std::to_string(now->record.epoch()),
                               "antipode status");
        }
        if (over && serves) {
            return;
        }
        options.pause();
    }
    time_out(asked.record.operation_id());
}

/// The site serves, whatever becomes of its answer; its daemon may start again just now.
Json await_loss(const Config& config, const Fetch& fetch, const Clock& clock,
                const ChangeOptions& options, const std::string& operation) {
    const SteadyTime end = clock.steady_now() + options.patience;
    for (;; options.pause()) {
        try {
            return fetch_json(config, fetch, options.to, "/v1/loss?operation=" + operation);
        } catch (const CommandError& error) {
            if (error.code() != ExitCode::Unreachable) {
                throw;
            }
            if (clock.steady_now() >= end) {
                throw CommandError(error.code(),
                                   options.to + " is the primary and open for writes, but what " +
                                       "was lost is not known: " + error.what(),
                                   "antipode loss " + operation);
            }
        }
    }
}

}  // namespace

ExitCode switchover(const Config& config, const OpenBucket& open, const Fetch& fetch,
                    const Clock& clock, const Output& output, const ChangeOptions& options) {
    require_site(config, options.to);
    if (options.abort) {
        ask_to_abort_switchover(config, open, clock);
        say(output, newest_record(config, open).primary() +
                        " is asked to serve on; antipode op wait tells when it does");
        return ExitCode::Ok;
    }
    const std::string from = newest_record(config, open).primary();
    const auto bucket = open(*config.find_site(from), false);
    failover::Epoch seen = read_record(*bucket, config, from);
    const auto& record = seen.record;
    const bool runs =
        record.state() == record_state::switchover || record.state() == record_state::handoff;
    if (runs && record.target() != options.to) {
        throw CommandError(ExitCode::Conflict,
                           record.operation_id() + " to " + record.target() + " runs already",
                           "antipode switchover --to " + record.target() + " watches it");
    }
    if (!runs) {
        const Preflight preflight = look_before_switchover(config, fetch, clock, output, options);
        if (!output.json()) {
            output.out << render(preflight, output.coloured);
        }
        require_clear(preflight, output);
        if (options.dry_run) {
            if (output.json()) {
                print(output, to_json(preflight));
            }
            return ExitCode::Ok;
        }
        confirm(output, options, options.to);
        seen = ask_for_switchover(*bucket, seen, config, clock, options.to);
    }
    const SteadyTime begun = clock.steady_now();
    watch_switchover(config, open, fetch, clock, output, options, *bucket, seen);
    const double seconds = std::chrono::duration<double>(clock.steady_now() - begun).count();
    if (output.json()) {
        print(output, {{"schema", "antipode.switchover/1"},
                       {"operation", seen.record.operation_id()},
                       {"from", from},
                       {"to", options.to},
                       {"epoch", seen.record.epoch() + 1},
                       {"lost", 0},
                       {"seconds", seconds}});
    } else {
        say(output, options.to + " is the primary of epoch " +
                        std::to_string(seen.record.epoch() + 1) + ", " + from +
                        " follows it; nothing was lost; " + format_seconds(seconds));
    }
    return ExitCode::Ok;
}

ExitCode promote(const Config& config, const OpenBucket& open, const Fetch& fetch,
                 const Clock& clock, const Output& output, const ChangeOptions& options) {
    const Config::Site& site = require_site(config, options.to);
    const auto bucket = open(site, false);
    failover::Epoch seen = read_record(*bucket, config, options.to);
    if (seen.record.state() != record_state::promoting) {
        const Preflight preflight = look_before(config, fetch, options.to, PreflightMode::Failover);
        if (!output.json()) {
            output.out << render(preflight, output.coloured);
        }
        require_clear(preflight, output);
        if (options.dry_run) {
            require_acceptable_loss(preflight, clock, options);
            if (output.json()) {
                print(output, to_json(preflight));
            }
            return ExitCode::Ok;
        }
        require_proof(config, preflight, options);
        require_acceptable_loss(preflight, clock, options);
        confirm_loss(output, options);
        require_acceptable_loss(preflight, clock, options);  // that took as long as it took
        seen = ask_for_promotion(*bucket, seen, config, clock, options);
    } else if (seen.record.fenced_by().empty() && !options.fenced_by.empty()) {
        confirm_loss(output, options);
        seen = add_word(*bucket, seen, config, clock, options);
    }
    const SteadyTime begun = clock.steady_now();
    watch_promotion(config, fetch, clock, output, options, *bucket, seen);
    const double seconds = std::chrono::duration<double>(clock.steady_now() - begun).count();
    const uint64_t epoch = seen.record.epoch() + 1;
    const Json loss = await_loss(config, fetch, clock, options, seen.record.operation_id());
    if (output.json()) {
        print(output, {{"schema", "antipode.promote/1"},
                       {"operation", seen.record.operation_id()},
                       {"to", options.to},
                       {"epoch", epoch},
                       {"seconds", seconds},
                       {"loss", loss}});
        return ExitCode::Ok;
    }
    say(output, options.to + " is the primary of epoch " + std::to_string(epoch) +
                    " and open for writes; " + format_seconds(seconds));
    output.out << render_loss(loss);
    return ExitCode::Ok;
}

}  // namespace antipode::cli
