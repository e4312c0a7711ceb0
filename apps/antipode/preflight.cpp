#include "apps/antipode/preflight.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/members.hpp"
#include "apps/antipode/status.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr double most_lag_seconds = 10;
constexpr double most_accepted_seconds = 86400.0 * 365;

std::optional<TimePoint> time_at(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number_integer()
               ? std::optional(from_microseconds(found->get<int64_t>()))
               : std::nullopt;
}

/// What a daemon says of itself; null and a problem when it says nothing.
struct Daemon {
    std::string site;
    Json status;
    std::string problem;

    bool answers() const { return status.is_object(); }
    const Json& change() const {
        static const Json none = Json::object();
        return answers() && status.contains("failover") ? status["failover"] : none;
    }
    /// It is whole, though it neither serves nor follows.
    bool may_claim() const { return change().value("may_claim", Json()) == true; }
    /// Its own row in "sites".
    const Json& row() const { return row_of(site); }
    const Json& row_of(const std::string& name) const {
        static const Json none = Json::object();
        if (answers()) {
            for (const Json& candidate : status["sites"]) {
                if (text_at(candidate, "site") == name) {
                    return candidate;
                }
            }
        }
        return none;
    }
};

Daemon ask(const Config& config, const Fetch& fetch, const Config::Site& site) {
    Daemon daemon{site.name, {}, {}};
    try {
        daemon.status = Json::parse(get_status(fetch, daemon_of(config, site)).json);
    } catch (const CommandError& error) {
        daemon.problem = error.what();
    }
    return daemon;
}

bool is_of_a_promotion(const std::string& state) {
    return state == "cutting" || state == "claiming" || state == "preparing" || state == "opening";
}

/// What only it has is being kept, and it comes back to the primary that there is now.
bool is_returning(const std::string& state) {
    return state == "quarantining" || state == "quarantined" || state == "rewinding";
}

class Look {
  public:
    explicit Look(Preflight& found) : found_(found) {}

    /// One that is no part of the change: it follows, now or later.
    void at_other(const Daemon& other) {
        if (!other.answers()) {
            warn(other.site + " does not answer; it follows once it is back",
                 "start antipoded there");
            return;
        }
        const std::string state = text_at(other.change(), "state");
        if (found_.mode == PreflightMode::Failover && is_of_a_promotion(state)) {
            block(other.site + " is being promoted: it is " + state,
                  "antipode op show on " + other.site);
        } else if (found_.mode == PreflightMode::Switchover && is_returning(state)) {
            block(other.site + " is " + state +
                      ": behind a second change of the primary it could only be made new",
                  next_step_of(other.change()));
        } else if (text_at(other.status, "role") != "secondary") {
            warn(other.site + " is " + (state.empty() ? std::string(unknown) : state) +
                     ", and has not followed the primary yet" +
                     with_reason(text_at(other.change(), "problem")),
                 "wait until it has: antipode status " + other.site);
        }
        for (const Json& store : other.status.value("stores", Json::array())) {
            if (text_at(store, "state") == "paused") {
                warn(other.site + " " + text_at(store, "store") +
                         " is paused; it follows once that goes on",
                     next_step_of(store));
            }
        }
        if (found_.mode == PreflightMode::Failover && time_at(other.change(), "handed_over_us")) {
            warn(other.site + " has all that was written before " + found_.from + " took its place",
                 "antipode promote " + other.site);
        }
        const auto theirs = time_at(other.row(), "recovery_point_us");
        if (found_.mode == PreflightMode::Failover && theirs && found_.recovery_point &&
            *theirs > *found_.recovery_point) {
            warn(other.site + " has more than " + found_.to + ": everything up to " +
                     to_iso8601(*theirs),
                 "antipode promote " + other.site);
        }
    }
    void at_primary(const Daemon& from) {
        if (!from.answers()) {
            block("the primary does not answer: " + from.problem,
                  "if it is off: antipode promote " + found_.to + " --fenced-by TEXT");
            return;
        }
        at_change(from);
        const std::string state = text_at(from.row(), "state");
        if (state == "degraded" && is_of_a_disk(from)) {
            warn(text_at(from.row(), "reason"), next_step_of(from.row()));
        } else if (state != "serving") {
            block(from.site + " is " + state + ": " + text_at(from.row(), "reason"),
                  next_step_of(from.row()));
        }
        at_readiness(from);
    }
    void at_target(const Daemon& to) {
        if (!to.answers()) {
            block(to.site + " does not answer: " + to.problem, "start antipoded there");
            return;
        }
        if (found_.mode == PreflightMode::Failover && to.may_claim()) {
            return at_stand(to);
        }
        at_change(to);
        if (text_at(to.status, "role") != "secondary") {
            block(to.site + " is no secondary, but \"" + text_at(to.status, "role") + "\"",
                  "antipode status " + to.site);
            return;
        }
        const Json& row = to.row();
        found_.recovery_point = time_at(row, "recovery_point_us");
        found_.lag_seconds = number_at(row, "lag_seconds");
        at_readiness(to);
        at_lease(to);
        if (found_.mode != PreflightMode::Switchover) {
            return;
        }
        if (!found_.recovery_point) {
            block(to.site + " does not know its recovery point: " + text_at(row, "reason"),
                  next_step_of(row));
        } else if (found_.lag_seconds.value_or(0) > most_lag_seconds) {
            block(to.site + " is " + format_seconds(found_.lag_seconds) +
                      " behind, or its clock is ahead",
                  "antipode lag " + to.site + "; compare both machines' clocks");
        }
        for (const Json& store : to.status.value("stores", Json::array())) {
            if (text_at(store, "state") == "paused") {
                block(to.site + " " + text_at(store, "store") + ": " + text_at(store, "reason"),
                      next_step_of(store));
            }
            at_unproven(to, store);
        }
        if (const auto parked = number_at(row, "parked"); parked.value_or(0) > 0) {
            block(
                counted(static_cast<uint64_t>(*parked), "item", "items") + " failed on " + to.site,
                "antipode failures " + to.site);
            found_.blockers.back().may_pass = true;  // it is sent again
        }
    }
    /// Where one captures changes of the structure and the other would not.
    void at_structure(const Daemon& from, const Daemon& to) {
        const auto captured = [](const Daemon& daemon) {
            const Json& said = daemon.change();
            return said.contains("ddl_captured") && said["ddl_captured"].is_boolean()
                       ? std::optional(said["ddl_captured"].get<bool>())
                       : std::nullopt;
        };
        if (captured(from).value_or(false) && captured(to) == false) {
            block("changes of the structure (DDL) would not be captured on " + to.site,
                  "antipode database setup, on " + to.site);
        }
    }
    /// Of a drill: whether the primary could be fenced when it comes back.
    void at_fences(const Daemon& from) {
        const Json& change = from.change();
        if (!change.contains("blockers") || !change["blockers"].is_array()) {
            warn("whether " + from.site + " can be fenced is not known" + with_reason(from.problem),
                 "antipode status " + from.site);
            return;
        }
        for (const char* const key : {"blockers", "warnings"}) {
            for (const Json& finding : change[key]) {
                warn(from.site + ": " + text_at(finding, "what"), text_at(finding, "next_step"));
            }
        }
    }
    void at_old_primary(const Daemon& from, const Daemon& to) {
        found_.primary_seen = time_at(to.row_of(found_.from), "report_at_us");
        const Json lease = from.answers() ? from.status.value("lease", Json()) : Json();
        if (lease.is_object() && lease.value("holds", Json()) == false) {
            at_lost_lease(from, lease);
        } else if (from.answers() && is_of_a_promotion(text_at(from.change(), "state"))) {
            block(found_.from + " answers, and is " + text_at(from.change(), "state") +
                      ": it may open for writes",
                  "mend it: antipode op wait; if it cannot be: stop antipoded there for good");
        } else if (from.answers() && text_at(from.status, "role") == "primary") {
            block(found_.from + " answers, and is the primary",
                  "antipode switchover --to " + found_.to + " loses nothing");
        } else if (from.answers() && text_at(from.status, "role") == "fenced") {
            warn(found_.from + " is fenced already", "");
        }
    }

    /// Behind a switchover the target takes writes as long as it holds the lease, at the witness or
    /// at all other sites.
    void at_next_lease(const Daemon& from, const Daemon& to) {
        const Json lease = to.answers() ? to.status.value("lease", Json()) : Json();
        if (!lease.is_object()) {
            if (to.answers() && from.answers() && from.status.value("lease", Json()).is_object()) {
                warn(to.site + " would hold no lease: its configuration names no [witness]",
                     "the same [witness] on all sites, then restart antipoded there");
            }
            return;
        }
        LeaseWays ways;
        for (const Json& place : lease.value("places", Json::array())) {
            ways.add(place, to.site, found_.epoch);
        }
        at_ways(to.site, ways);
        const Json fencer = lease.value("fencer", Json::object());
        if (fencer.value("runs", Json()) == false) {
            warn("antipode-fencer does not run on " + to.site +
                     ": nothing would stop its writes when its lease ends",
                 "systemctl enable --now antipode-fencer, on " + to.site);
        } else if (!text_at(fencer, "problem").empty()) {
            warn("antipode-fencer on " + to.site + ": " + text_at(fencer, "problem"),
                 "antipode status " + to.site);
        }
    }

  private:
    /// Why the target could not hold the lease; empty: it could.
    struct LeaseWays {
        std::string at_witness;
        std::string at_sites;
        std::string next_step;    ///< of the first of both
        bool sees_sites = false;  ///< the daemon says how it sees the other sites

        void add(const Json& place, const std::string& target, uint64_t epoch) {
            const std::string site = text_at(place, "site");
            if (site == target) {
                return;
            }
            sees_sites = sees_sites || !site.empty();
            std::string why = text_at(place, "problem");
            std::string step = text_at(place, "next_step");
            const std::string holder = text_at(place, "holder");
            if (why.empty() && holder != target &&
                number_at(place, "epoch").value_or(0) > static_cast<double>(epoch)) {
                why = holder + " has claimed the lease";
                step = "antipode op show, on " + holder;
            }
            if (why.empty()) {
                return;
            }
            std::string& all = site.empty() ? at_witness : at_sites;
            all += (all.empty() ? "" : "; ") + text_at(place, "place") + ": " + why;
            next_step = next_step.empty() ? step : next_step;
        }
    };
    void at_ways(const std::string& site, const LeaseWays& ways) {
        const std::string step =
            ways.next_step.empty() ? "antipode status " + site : ways.next_step;
        if (!ways.at_witness.empty() && !ways.at_sites.empty()) {
            block(site + " could not hold the lease, and would take no writes: " + ways.at_witness +
                      "; " + ways.at_sites,
                  step);
        } else if (!ways.at_witness.empty()) {
            warn(site + " could hold the lease by the promises of all other sites alone" +
                     (ways.sees_sites ? "" : ", and does not say whether it reaches them") + ": " +
                     ways.at_witness,
                 step);
        } else if (!ways.at_sites.empty()) {
            warn(site + " could hold the lease at the witness alone: " + ways.at_sites, step);
        }
    }
    /// It is promoted as it stands: nothing is applied before.
    void at_stand(const Daemon& to) {
        const std::string state = text_at(to.change(), "state");
        const std::string from = found_.from.empty() ? "the other site" : found_.from;
        found_.recovery_point = time_at(to.change(), "handed_over_us");
        at_lease(to);
        if (found_.recovery_point) {
            warn(to.site + " has handed over to " + from + ": if " + from +
                     " took writes since then, they are lost",
                 "if " + from + " can be brought back, start it: then nothing is");
        } else if (state == "finishing") {
            warn(to.site + " has not followed " + from + " yet: all that " + from +
                     " wrote as the primary is lost",
                 "if " + from + " can be brought back, start it");
        } else {
            warn(to.site + " is " + state + ": all that " + from +
                     " wrote as the primary is lost, and what only " + to.site + " has stays",
                 "if " + from + " can be brought back, start it");
        }
    }
    /// That it holds no lease is no more than its word: what counts is what closed the fences.
    void at_lost_lease(const Daemon& from, const Json& lease) {
        const Json fencer = lease.value("fencer", Json::object());
        std::string problem = text_at(fencer, "problem");
        for (const Json& worker : from.status.value("workers", Json::array())) {
            if (text_at(worker, "name") == "lease guard" && problem.empty()) {
                problem = text_at(worker, "problem");
            }
        }
        const bool closed = text_at(fencer, "state") == "closed" && problem.empty();
        if (closed || lease.value("closed", Json()) == true) {
            warn(found_.from + " answers, but holds no lease and takes no writes: it is cut off",
                 "mend its connections to the witness and the other sites, and nothing is lost");
        } else if (!problem.empty()) {
            block(found_.from + " answers, holds no lease, and its fences do not close: " + problem,
                  "close them there, or switch that machine off and name it: antipode promote " +
                      found_.to + " --fenced-by TEXT");
        } else {
            const bool dead = fencer.value("runs", Json()) == false;
            warn(found_.from +
                     " answers, but holds no lease; whether it takes no writes is not "
                     "known" +
                     (dead ? ": antipode-fencer does not run there" : ""),
                 "antipode status " + found_.from);
        }
    }
    void at_lease(const Daemon& to) {
        const Json lease = to.status.value("lease", Json());
        if (lease.is_object()) {
            found_.lease_seconds = number_at(lease, "wait_seconds");
            found_.lease_obstacle = text_at(lease, "obstacle");
        }
    }
    void at_change(const Daemon& daemon) {
        const std::string state = text_at(daemon.change(), "state");
        if (state != "serving" && state != "following" && !state.empty()) {
            block(daemon.site + " is in the middle of " + text_at(daemon.change(), "operation") +
                      " (" + state + ")" + with_reason(text_at(daemon.change(), "problem")),
                  next_step_of(daemon.change()));
        }
    }
    void at_readiness(const Daemon& daemon) {
        const Json& change = daemon.change();
        if (!change.contains("blockers") || !change["blockers"].is_array()) {
            block(daemon.site + " has not looked yet whether it is ready",
                  "antipode preflight, again, in some seconds");
            return;
        }
        for (const Json& blocker : change["blockers"]) {
            block(daemon.site + ": " + text_at(blocker, "what"), text_at(blocker, "next_step"));
        }
        for (const Json& warning : change["warnings"]) {
            warn(daemon.site + ": " + text_at(warning, "what"), text_at(warning, "next_step"));
        }
    }
    static std::string with_reason(const std::string& reason) {
        return reason.empty() ? "" : ": " + reason;
    }
    static std::string next_step_of(const Json& json) {
        const std::string step = text_at(json, "next_step");
        return step.empty() ? "antipode status" : step;
    }
    /// All that is wrong is a file system that is nearly full: a reason to leave.
    static bool is_of_a_disk(const Daemon& from) {
        const Json disks = from.status.value("disks", Json::array());
        return std::any_of(disks.begin(), disks.end(), [&](const Json& disk) {
            return text_at(disk, "problem") == text_at(from.row(), "reason");
        });
    }
    void at_unproven(const Daemon& to, const Json& store) {
        const Json check = store.value("content_check", Json());
        const auto unproven = check.is_object() ? number_at(check, "unproven") : std::nullopt;
        if (unproven.value_or(0) > 0) {
            warn(std::to_string(static_cast<int64_t>(*unproven)) + " repositories of " +
                     text_at(store, "store") + " on " + to.site + " are still to be read there",
                 "wait until they are: antipode lag " + to.site);
        }
    }
    void block(std::string what, std::string next_step) {
        found_.blockers.push_back({std::move(what), std::move(next_step)});
    }
    void warn(std::string what, std::string next_step) {
        found_.warnings.push_back({std::move(what), std::move(next_step)});
    }

    Preflight& found_;
};

/// Who is the primary, as the daemons say: of those that answer, the one that knows the latest
/// epoch.
void find_primary(Preflight& found, const std::vector<Daemon>& daemons) {
    for (const Daemon& daemon : daemons) {
        const auto epoch = number_at(daemon.change(), "epoch");
        const std::string primary = text_at(daemon.change(), "primary");
        if (epoch && !primary.empty() && *epoch >= static_cast<double>(found.epoch)) {
            found.epoch = static_cast<uint64_t>(*epoch);
            found.from = primary;
        }
    }
}

/// Of two sites that claim one epoch each names itself. Empty: the other one does not answer.
std::string rival_of(const std::string& site, const std::vector<Daemon>& daemons, uint64_t epoch) {
    std::string rival;
    for (const Daemon& daemon : daemons) {
        const std::string primary = text_at(daemon.change(), "primary");
        const auto at = number_at(daemon.change(), "epoch");
        if (primary != site && at && static_cast<uint64_t>(*at) == epoch) {
            rival = primary;
        }
    }
    return rival;
}

/// All stores' that wait on a site; nullopt: one does not say.
std::optional<uint64_t> waiting_on(const Daemon& daemon) {
    uint64_t all = 0;
    for (const Json& store : daemon.status.value("stores", Json::array())) {
        const auto waiting = number_at(store, "backlog_events");
        if (!waiting) {
            return std::nullopt;
        }
        all += static_cast<uint64_t>(*waiting);
    }
    return all;
}

/// Of a promotion: what is lost, and what must prove that the old primary is off.
void look_at_promotion(Preflight& found, const Config& config, const Fetch& fetch,
                       const Daemon& target) {
    if (target.answers()) {
        found.events_to_apply = waiting_on(target);
        found.loss = ask_expected_loss(config, fetch, *config.find_site(target.site));
    } else {
        found.loss.problem = target.site + " does not answer";
    }
    found.needs_word = !config.witness || !found.lease_seconds || !found.lease_obstacle.empty();
}

}  // namespace

std::string Preflight::command() const {
    if (mode != PreflightMode::Failover) {
        return "antipode switchover --to " + to + " --confirm " + to;
    }
    std::string text = "antipode promote " + to;
    if (needs_word) {
        text += " --fenced-by \"how you know that " + (from.empty() ? "it" : from) +
                " takes no writes\"";
    }
    if (lag_seconds && *lag_seconds < most_accepted_seconds) {
        // What the operator takes to read and type is lost, too.
        const auto minutes = static_cast<int64_t>(std::max(*lag_seconds, 0.0) / 60) + 2;
        text += " --accept-loss " + std::to_string(minutes) + "m";
    }
    return text + " --confirm " + to;
}

bool Preflight::may_clear() const {
    return !clear() && std::all_of(blockers.begin(), blockers.end(),
                                   [](const Obstacle& blocker) { return blocker.may_pass; });
}

Preflight look_before(const Config& config, const Fetch& fetch, const std::string& to,
                      PreflightMode mode) {
    require_site(config, to);
    Preflight found;
    found.mode = mode;
    found.to = to;
    std::vector<Daemon> daemons;
    for (const Config::Site& site : config.sites) {
        daemons.push_back(ask(config, fetch, site));
    }
    find_primary(found, daemons);
    const auto daemon = [&](const std::string& site) -> const Daemon& {
        for (const Daemon& candidate : daemons) {
            if (candidate.site == site) {
                return candidate;
            }
        }
        static const Daemon nobody{"?", {}, "no site says who is the primary"};
        return nobody;
    };
    const Daemon& target = daemon(to);
    if (found.from == to && mode == PreflightMode::Failover && target.may_claim()) {
        found.from = rival_of(to, daemons, found.epoch);
    } else if (found.from == to) {
        found.blockers.push_back({to + " is the primary already", "antipode status"});
        return found;
    }
    Look look(found);
    if (mode == PreflightMode::Drill) {
        look.at_target(target);
        look.at_fences(daemon(found.from));
        return found;
    }
    const Daemon& primary = daemon(found.from);
    if (mode == PreflightMode::Switchover) {
        look.at_primary(primary);
        look.at_target(target);
        look.at_structure(primary, target);
        look.at_next_lease(primary, target);
    } else {
        look.at_old_primary(primary, target);
        look.at_target(target);
        look_at_promotion(found, config, fetch, target);
    }
    for (const Daemon& other : daemons) {
        if (other.site != found.from && other.site != to) {
            look.at_other(other);
        }
    }
    return found;
}

ExitCode show_preflight(const Config& config, const Fetch& fetch, const Output& output,
                        const std::string& to, PreflightMode mode) {
    const Preflight preflight = look_before(config, fetch, to, mode);
    if (output.json()) {
        output.out << to_json(preflight).dump(-1, ' ', false, Json::error_handler_t::replace)
                   << "\n";
    } else {
        output.out << render(preflight, output.coloured);
    }
    return preflight.clear() ? ExitCode::Ok : ExitCode::Blocked;
}

}  // namespace antipode::cli
