// What is said of the lease: to the conductor, which waits for it, and to people.
#include <algorithm>

#include "failover/lease.hpp"
#include "failover/lease_file.hpp"

namespace antipode::failover {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds seen_late(2);

std::string in_seconds(milliseconds time) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

milliseconds not_negative(BootClock::duration time) {
    return std::max(std::chrono::duration_cast<milliseconds>(time), milliseconds(0));
}

}  // namespace

/// Empty: it does what this site wants of it.
std::string Lease::problem_at(Kind kind) const {
    std::string text;
    for (const auto& place : places_) {
        const Seen& seen = place->seen;
        if (place->kind != kind || (kind == Kind::Other && !needs(place->site))) {
            continue;
        }
        const bool is_known = seen.wish == wish_;
        if (!is_known || !seen.problem.empty()) {
            text += (text.empty() ? "" : "; ") + place->name + ": " +
                    (is_known ? seen.problem : "it has not answered yet");
        }
    }
    return text;
}

bool Lease::is_held() const {
    std::scoped_lock lock(mutex_);
    return is_held(until());
}

void Lease::must_hold() const {
    std::scoped_lock lock(mutex_);
    if (is_held(until())) {
        return;
    }
    const std::string sites = problem_at(Kind::Other);
    throw Error(Reaction::Retry,
                "writes stay closed until this site holds the lease. " + problem_at(Kind::Witness) +
                    (sites.empty() ? "" : "; " + sites),
                "start the witness, or all other sites' nats-servers");
}

/// Why nobody can tell when the primary's lease ends, though the witness answers.
std::string Lease::obstacle() const {
    const auto& own = seen_at(Kind::Own).record;
    const auto& witness = seen_at(Kind::Witness).record;
    const auto is_theirs = [&](const std::optional<v1::Lease>& record) {
        return record && record->holder() == wish_.primary && record->epoch() == wish_.of_record;
    };
    const bool is_own_claim =
        own && own->holder() == options_.site && own->epoch() == wish_.of_record + 1;
    const std::string& primary = wish_.primary;
    if (!seen_at(Kind::Own).has_looked) {
        return "the lease of " + primary + " was not looked at yet";
    }
    if (!is_theirs(own) && !is_own_claim) {
        return primary + " has never asked this site for its lease in epoch " +
               std::to_string(wish_.of_record) + ": it may write without one";
    }
    if (!own->enforced() || (is_theirs(witness) && !witness->enforced())) {
        return "nothing stops writes on " + primary +
               " when its lease runs out: there was no antipode-fencer that could when it was "
               "renewed last";
    }
    return {};
}

LeasePassage Lease::passage(const v1::EpochRecord& record) const {
    if (!record.fenced_by().empty()) {
        return {};
    }
    std::scoped_lock lock(mutex_);
    const Seen& witness = seen_at(Kind::Witness);
    const Seen& own = seen_at(Kind::Own);
    const std::string by_hand = "make sure that " + record.primary() +
                                " takes no writes, then: antipode promote " + options_.site +
                                " --fenced-by \"how you did that\"";
    if (wish_.kind != LeaseWish::Kind::Claim || witness.wish != wish_ || own.wish != wish_) {
        return {false, "looks at the lease of " + record.primary(), by_hand};
    }
    if (const std::string why = obstacle(); !why.empty()) {
        return {false, why, by_hand};
    }
    if (witness.taken && own.taken) {
        return {true,
                "the lease of " + record.primary() + " ran out: it was not renewed for " +
                    in_seconds(options_.times.lifetime + options_.times.margin) + ", neither at " +
                    options_.witness + " (the witness) nor on " + options_.site,
                {}};
    }
    for (const Seen* const seen : {&witness, &own}) {
        if (!seen->problem.empty()) {
            return {false,
                    "the lease cannot be taken at " +
                        std::string(seen == &witness ? "the witness" : options_.site) + ": " +
                        seen->problem,
                    by_hand};
        }
    }
    const BootTime end = std::max(*witness.runs_out, *own.runs_out);
    // What was renewed before may be seen a moment later.
    const bool renewed =
        end > claimed_at_ + options_.times.lifetime + options_.times.margin + seen_late;
    return {false,
            "waits for " + record.primary() +
                "'s lease to run out: " + in_seconds(not_negative(end - clock_.boot_now())),
            renewed ? record.primary() +
                          " is alive and renews it: antipode op abort, then antipode "
                          "switchover --to " +
                          options_.site
                    : std::string()};
}

void Lease::show_primary(LeaseStatus& status, bool is_closed) const {
    const auto end = until();
    status.holds = is_held(end);
    if (end) {
        status.remaining = not_negative(*end - fence_before - clock_.boot_now());
    }
    status.at_witness = is_held(until_at_witness());
    status.at_sites = is_held(until_at_sites());
    const std::string at_witness = problem_at(Kind::Witness);
    const std::string at_sites = problem_at(Kind::Other);
    if (!status.holds) {
        status.problem = "this site holds no lease, and takes no writes: " + at_witness +
                         (at_witness.empty() || at_sites.empty() ? "" : "; ") + at_sites;
        status.next_step = "start the witness, or all other sites' nats-servers";
    } else if (is_closed && fencer_.state.empty()) {
        status.problem =
            "the fences were closed when the lease had ended, and antipode-fencer, which opens "
            "them again, does not run here";
        status.next_step = "systemctl enable --now antipode-fencer";
    } else if (!status.at_witness) {
        status.problem =
            "the lease is held by the promises of all other sites alone: " + at_witness;
        status.next_step = "start the nats-server of the witness";
    } else if (!status.at_sites) {
        status.problem = "the lease is held at the witness alone: " + at_sites;
        status.next_step = "antipode status there";
    }
    if (status.problem.empty() && !enforced_) {
        const std::string& why = fencer_.problem;
        status.problem = "when this site is cut off nothing stops its writes: " +
                         (why.empty() ? "antipode-fencer does not run here" : why);
        status.next_step = why.empty() ? "systemctl enable --now antipode-fencer" : "";
    }
}

void Lease::show_secondary(LeaseStatus& status) const {
    const Seen& witness = seen_at(Kind::Witness);
    const Seen& own = seen_at(Kind::Own);
    status.obstacle = obstacle();
    if (status.obstacle.empty() && !witness.problem.empty()) {
        status.obstacle = "the witness does not answer: " + witness.problem;
    }
    if (!status.obstacle.empty()) {
        status.obstacle_step = "make sure that " + wish_.primary +
                               " takes no writes, then: antipode promote " + options_.site +
                               " --fenced-by \"how you did that\"";
    }
    if (witness.runs_out && own.runs_out) {
        status.wait = not_negative(std::max(*witness.runs_out, *own.runs_out) - clock_.boot_now());
    }
}

LeaseStatus Lease::status() const {
    // A disk that hangs must not hold up who renews the lease.
    const bool is_closed = has_closed_file(options_.state_dir);
    std::scoped_lock lock(mutex_);
    LeaseStatus status;
    status.wish = wish_;
    status.meant_open = meant_open_;
    status.enforced = enforced_;
    status.fencer = fencer_;
    for (const auto& place : places_) {
        if (!concerns(*place, wish_)) {
            continue;
        }
        const Seen& seen = place->seen;
        LeaseStatus::Place row{place->name, place->site,  seen.record,
                               {},          seen.problem, seen.next_step};
        if (seen.until) {
            row.remaining = not_negative(*seen.until - clock_.boot_now());
        }
        status.places.push_back(std::move(row));
    }
    if (wish_.kind == LeaseWish::Kind::Hold) {
        show_primary(status, is_closed);
    } else if (wish_.kind != LeaseWish::Kind::Nothing) {
        show_secondary(status);
    }
    return status;
}

}  // namespace antipode::failover
