#include "failover/conductor.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

namespace antipode::failover {
namespace {

constexpr size_t journal_shown = 50;
/// Of a step that fails while it may be the reason why nobody can write.
constexpr std::chrono::milliseconds slowest_before_return(1000);
/// Others are still to see, and to show, how a change went.
constexpr std::chrono::seconds quiet_after(10);
constexpr const char* fenced_remedy =
    "leave it fenced: it may hold writes that nobody else has. They are looked for once the new "
    "primary serves (docs/runbooks/old-primary.md)";
constexpr const char* missed_remedy =
    "it missed a second change of the primary: keep a copy of what only it may have, and make it "
    "new (docs/runbooks/old-primary.md, \"Make it new\")";
constexpr const char* claimed_remedy =
    "decide which of both is to be the primary, make sure that no other site takes writes, then: "
    "antipode promote SITE --fenced-by TEXT (docs/runbooks/disaster.md, \"Two sites claim one "
    "epoch\")";
constexpr const char* refused_remedy = "the primary serves on; mend what differs, then try again";

bool waits_for_handoff(State state) {
    return state == State::Following || state == State::CatchingUp || state == State::Ready ||
           state == State::Refused;
}

bool has_deadline(State state) {
    return state == State::Fencing || state == State::Capturing || state == State::HandedOff ||
           state == State::Confirming;
}

/// Of a promotion.
std::string proof_of(const v1::EpochRecord& record) {
    return record.fenced_by().empty() ? "once the lease of " + record.primary() + " has run out"
                                      : "fenced by: " + record.fenced_by();
}

std::string listed(const std::vector<std::string>& lines) {
    constexpr size_t shown = 10;
    std::string text;
    for (size_t i = 0; i < std::min(lines.size(), shown); ++i) {
        text += (i == 0 ? "" : "; ") + lines[i];
    }
    return lines.size() > shown ? text + "; and " + std::to_string(lines.size() - shown) + " more"
                                : text;
}

}  // namespace

Conductor::Conductor(Options options, Records& records, Journal& journal, Hands& hands,
                     const Clock& clock)
    : options_(std::move(options)),
      records_(records),
      journal_(journal),
      hands_(hands),
      clock_(clock) {}

std::string Conductor::primary() const {
    return records_.own() ? record().primary() : std::string();
}

bool Conductor::is_hurried() const {
    if (!state_ || !records_.own()) {
        return false;
    }
    const auto theirs = records_.of(primary());
    return is_busy(*state_) || (theirs && theirs->state() != record_state::serving);
}

bool Conductor::is_quiet() const {
    return (state_ == State::Serving || state_ == State::Following) && !is_hurried() &&
           records_.are_complete() && clock_.now() - since_ > quiet_after;
}

void Conductor::look() {
    try {
        records_.refresh();
    } catch (const Error&) {
        look_alone();
        throw;
    }
    if (!records_.own()) {
        show();
        return;
    }
    if (!state_) {
        begin();
    }
    look_for_epoch(record());
    look_at_own(record());
    if (waits_for_handoff(*state_)) {
        look_at_handoff();
    }
    if (*state_ == State::HandedOff) {
        look_at_target();
    }
    if (*state_ == State::Fenced) {
        look_at_return();
    }
    if (*state_ == State::Finishing) {
        may_finish_ = may_finish_ || next_here();
    }
    look_at_time();
    show();
}

/// This site's nats-server is away. Only this site can pass the point of no return, so before it
/// writes need not wait until that server is back.
void Conductor::look_alone() {
    const auto& last = journal_.last();
    if (!state_ && last && (has_deadline(last->state) || last->state == State::RollingBack)) {
        begin();
    }
    if (state_) {
        look_at_time();
    }
    show();
}

void Conductor::begin() {
    const auto& last = journal_.last();
    if (!last) {
        epoch_ = record().epoch();
        const bool opening = record().state() == record_state::opening;
        enter(record().primary() != options_.site ? State::Following
              : opening                           ? State::Preparing
                                                  : State::Serving,
              "began", {});
        return;
    }
    state_ = last->state;
    epoch_ = last->epoch;
    operation_ = last->operation;
    detail_ = last->detail;
    since_ = last->at;
    deadline_ = clock_.steady_now() + options_.timeout;
    feed(Event::Restarted);
}

/// A later epoch, or another claim to this one.
void Conductor::look_for_epoch(const v1::EpochRecord& record) {
    if (const auto other = records_.contradiction(); other && *state_ != State::Fenced &&
                                                     *state_ != State::Claiming &&
                                                     other->epoch() == epoch_) {
        feed(Event::Contradicted,
             other->primary() + " claims epoch " + std::to_string(other->epoch()) + " too");
        return;
    }
    const bool own_doing =
        record.operation_id() == operation_ &&
        (*state_ == State::Committing || *state_ == State::Yielding || *state_ == State::Claiming ||
         (*state_ == State::Cutting && is_asked_to_claim()));
    if (record.epoch() <= epoch_ || own_doing) {
        return;
    }
    if (record.primary() == options_.site) {
        operation_ = record.operation_id();
        feed(Event::Named, "epoch " + std::to_string(record.epoch()));
    } else {
        if (half_in(*state_) == Half::Secondary) {
            operation_ = record.operation_id();
        }
        feed(Event::Superseded,
             record.primary() + " is the primary of epoch " + std::to_string(record.epoch()));
    }
}

/// What an operator has written.
void Conductor::look_at_own(const v1::EpochRecord& record) {
    if (*state_ == State::Finishing && is_asked_to_claim()) {
        operation_ = record.operation_id();
        return feed(Event::AskedClaim, proof_of(record));
    }
    if (record.epoch() != epoch_) {
        return;
    }
    const std::string& said = record.state();
    if (*state_ == State::Serving && said == record_state::switchover) {
        operation_ = record.operation_id();
        deadline_ = clock_.steady_now() + options_.timeout;
        feed(Event::Asked, record.target());
    } else if (*state_ == State::Serving && said == record_state::handoff) {
        feed(Event::Aborted, "it was not finished");
    } else if (said == record_state::aborting) {
        if (*state_ == State::Serving) {
            operation_ = record.operation_id();  // of which this site has not heard before
        }
        feed(Event::Aborted, "the operator has given it up");
    } else if (waits_for_handoff(*state_) && said == record_state::promoting &&
               record.target() == options_.site) {
        operation_ = record.operation_id();
        feed(Event::AskedClaim, proof_of(record));
    } else if (*state_ == State::Cutting && said != record_state::promoting) {
        feed(Event::Aborted, record.problem());
    }
}

void Conductor::look_at_handoff() {
    const auto seen = records_.of(record().primary());
    if (!seen || seen->epoch() != epoch_) {
        return;
    }
    if (seen->state() == record_state::handoff && seen->target() == options_.site) {
        if (!handoff_ || hash_of(*handoff_) != hash_of(*seen)) {
            handoff_ = seen;
            operation_ = seen->operation_id();
            feed(Event::HandoffSeen);
        }
    } else if (*state_ != State::Following) {
        handoff_.reset();
        feed(Event::HandoffGone, seen->problem());
    }
}

void Conductor::look_at_target() {
    const auto report = records_.report_of(record().target());
    if (!report || report->operation().operation_id() != operation_ ||
        report->operation().handoff() != view(hash_of(record()))) {
        return;
    }
    const v1::OperationReport& said = report->operation();
    if (said.state() == to_string(State::Ready)) {
        feed(Event::PeerReady);
    } else if (said.state() == to_string(State::Refused)) {
        feed(Event::Failed, record().target() + " refuses: " + said.problem());
    } else if (!said.problem().empty()) {
        problem_ = Error(Reaction::Retry, record().target() + ": " + said.problem());
    }
}

void Conductor::look_at_time() {
    if (has_deadline(*state_) && clock_.steady_now() > deadline_) {
        feed(Event::Failed, "it took longer than failover.switchover_timeout, in the state " +
                                std::string(to_string(*state_)) +
                                (problem_ ? std::string(": ") + problem_->what() : ""));
    }
}

void Conductor::feed(Event event, const std::string& detail) {
    const State after = next(*state_, event);
    const bool again = event == Event::HandoffSeen || event == Event::Restarted;
    // One that is fenced comes back to the primary of the newest epoch.
    const bool anew = event == Event::Superseded && after == State::Fenced;
    if (after != *state_ || anew || (again && is_busy(after))) {
        enter(after, std::string(to_string(event)), detail);
    }
}

void Conductor::enter(State state, const std::string& event, const std::string& detail) {
    const bool given_up = state_ == State::Cutting;  // it is where it was
    const bool later = state == State::Yielding || state == State::Preparing ||
                       state == State::Fenced || (state == State::Following && !given_up);
    // A later epoch that began while this process was away is yet to be seen.
    const bool goes_on = event == to_string(Event::Restarted);
    const uint64_t epoch = later && !goes_on && records_.own() ? record().epoch() : epoch_;
    // What a restart needs of the states before, it finds in the record and the detail.
    const std::string kept =
        event == to_string(Event::Restarted) && detail.empty() ? detail_ : detail;
    journal_.append({0, clock_.now(), epoch, operation_, state, event, kept});
    spdlog::info("{}: {} -> {}{}",
                 operation_.empty() ? "epoch " + std::to_string(epoch) : operation_, event,
                 to_string(state), kept.empty() ? "" : ": " + kept);
    state_ = state;
    epoch_ = epoch;
    detail_ = kept;
    unfenced_ = false;
    may_finish_ = false;
    rival_.clear();
    since_ = clock_.now();
    problem_.reset();
    again_at_ = {};
    again_.reset();
    show();
}

void Conductor::act() {
    if (!state_) {
        return;
    }
    const State before = *state_;
    if (is_to_wait()) {
        return;
    }
    try {
        if (before != State::CatchingUp) {
            problem_.reset();
        }
        act_on_state();
        again_.reset();
    } catch (const Error& error) {
        problem_ = error;
        try_again_later(before);
        const bool claims = claims_where_it_stands(before) && is_asked_to_claim();
        if (error.reaction() == Reaction::Stop && (may_roll_back(before) || claims)) {
            if (before == State::Cutting || claims) {
                give_up_promotion(error.describe());
            }
            feed(Event::Failed, error.describe());
        }
    }
    show();
}

/// A step that failed a moment ago, unless an operator has mended what it needs.
bool Conductor::is_to_wait() {
    if (clock_.steady_now() >= again_at_) {
        return false;
    }
    try {
        const std::string word = records_.asked_for(resume_key, epoch_);
        return word.empty() || std::exchange(told_, word) == word;
    } catch (const Error&) {
        return true;  // it is tried again all the same
    }
}

void Conductor::try_again_later(State failed) {
    // Fences of a site that must not serve are looked at at once.
    if (!is_busy(failed) || failed == State::Quarantining) {
        return;
    }
    const auto delay = again_.next();
    again_at_ = clock_.steady_now() +
                (may_roll_back(failed) ? std::min(delay, slowest_before_return) : delay);
}

void Conductor::act_on_state() {
    if (claims_where_it_stands(*state_) && is_asked_to_claim()) {
        return claim_where_it_stands();
    }
    switch (*state_) {
        case State::Serving:
        case State::Following:
        case State::Refused:
        case State::Ready:
        case State::HandedOff:
            return;  // it is for others to do something
        case State::Fencing:
            hands_.fence(record().target());
            return feed(Event::Done);
        case State::Capturing:
            return write_handoff();
        case State::Confirming:
            if (hands_.is_unchanged(record().cuts())) {
                return feed(Event::Done, name_of_handoff(record().cuts()));
            }
            return feed(Event::Changed, "something was written behind the handoff");
        case State::Committing:
            if (record().epoch() == epoch_) {  // else it is there since before a crash
                commit(record().target(), record().cuts());
            }
            return feed(Event::Done, detail_);
        case State::Yielding:
            return yield();
        case State::RollingBack:
            return roll_back();
        case State::CatchingUp:
            return catch_up();
        case State::Cutting:
            return cut();
        case State::Claiming:
            return claim();
        case State::Preparing:
            return prepare();
        case State::Opening:
            return open();
        case State::Fenced:
            return shut();
        case State::Quarantining:
            return quarantine();
        case State::Quarantined:
            return await_word();
        case State::Rewinding:
            return rewind();
        case State::Finishing:
            return finish();
        case State::Crossing:
            return cross();
    }
}

v1::EpochRecord Conductor::following(const char* record_state) const {
    v1::EpochRecord next = successor(record(), "antipoded on " + options_.site, clock_.now());
    next.set_state(record_state);
    return next;
}

void Conductor::change(const v1::EpochRecord& record) {
    if (!records_.change(record)) {
        throw Error(Reaction::Retry, "the epoch record was changed by somebody else meanwhile");
    }
}

void Conductor::write_handoff() {
    const Cuts cuts = hands_.capture();
    v1::EpochRecord handoff = following(record_state::handoff);
    *handoff.mutable_cuts() = cuts;
    change(handoff);
    feed(Event::Done);
}

/// Writes the next epoch. That the state was journaled is the point of no return: when it is not
/// known whether this was written, it is written again.
void Conductor::commit(const std::string& primary, const Cuts& cuts) {
    v1::EpochRecord fresh = following(record_state::opening);
    fresh.set_operation_id(operation_);
    const std::string from = primary == options_.site ? displaced() : record().primary();
    begin_epoch(fresh, record().epoch() + 1, primary, cuts, from);
    change(fresh);
}

void Conductor::yield() {
    const std::string target = record().primary();
    auto theirs = records_.of(target);
    const bool goes_on =
        theirs &&
        (theirs->cuts().empty() ||  // given up
         (theirs->state() != record_state::opening && theirs->state() != record_state::serving));
    if (goes_on) {
        theirs = as_begun(*theirs);
    }
    const bool begun = theirs && theirs->epoch() == epoch_ &&
                       (theirs->starts_size() > 0 || theirs->state() == record_state::serving);
    if (!begun) {
        problem_ =
            Error(Reaction::Retry, "waiting for " + target + " to prepare",
                  "antipode status " + target + "; if it is lost for good: antipode promote " +
                      options_.site + " --fenced-by \"how " + target + " was switched off\"");
        return;
    }
    // It was promoted on somebody's word meanwhile, or what it stood at is not known any more.
    if (name_of_handoff(theirs->cuts()) != detail_) {
        return feed(Event::Superseded, target + " did not begin epoch " + std::to_string(epoch_) +
                                           " where this site has ended");
    }
    hands_.follow(*theirs);
    feed(Event::Done);
}

void Conductor::roll_back() {
    if (!unfenced_) {
        hands_.unfence();
        unfenced_ = true;
    }
    if (!records_.own()) {
        throw Error(Reaction::Retry, "writes go on; the epoch record cannot be read",
                    "start this site's nats-server");
    }
    if (record().epoch() == epoch_ && record().state() != record_state::serving) {
        v1::EpochRecord serving = following(record_state::serving);
        serving.set_operation_id(operation_);
        serving.set_problem(detail_.empty() ? "it was given up" : detail_);
        serving.clear_target();
        serving.clear_cuts();
        change(serving);
    }
    feed(Event::Done, detail_);
}

void Conductor::catch_up() {
    if (!handoff_) {
        return;
    }
    if (!hands_.has_reached(handoff_->cuts())) {
        return;
    }
    const auto different = hands_.differences(handoff_->cuts());
    if (!different.empty()) {
        throw Error(Reaction::Stop, listed(different),
                    "antipode status on " + options_.site + "; what differs must be mended first");
    }
    feed(Event::Done);
}

void Conductor::cut() {
    if (!is_alone() || !has_proof()) {
        return;
    }
    const auto cuts = hands_.cut(record(), epoch_);
    if (!cuts) {
        return;
    }
    v1::EpochRecord kept = following(record_state::promoting);
    *kept.mutable_cuts() = *cuts;
    change(kept);
    feed(Event::Done);
}

void Conductor::prepare() {
    if (record().starts_size() == 0) {
        const Cuts starts = hands_.prepare(record());
        v1::EpochRecord prepared = following(record_state::opening);
        *prepared.mutable_starts() = starts;
        change(prepared);
    }
    feed(Event::Done);
}

void Conductor::open() {
    const std::string written = hands_.open(record());
    if (record().state() != record_state::serving) {
        change(following(record_state::serving));
    }
    feed(Event::Done, written);
}

void Conductor::show() {
    ConductorStatus fresh;
    fresh.known = state_.has_value();
    fresh.state = state_.value_or(State::Following);
    fresh.epoch = epoch_;
    fresh.operation = operation_;
    fresh.since = since_;
    fresh.primary = primary();
    fresh.journal = journal_.tail(journal_shown);
    if (problem_) {
        fresh.problem = problem_->what();
        fresh.next_step = problem_->next_step();
        fresh.unreadable = fresh.state == State::Quarantining ? hands_.unreadable() : std::string();
    } else if (fresh.state == State::Fenced || fresh.state == State::Refused) {
        fresh.problem = detail_;
        fresh.next_step = fresh.state == State::Refused ? refused_remedy
                          : is_contradicted()           ? claimed_remedy
                          : has_missed_one()            ? missed_remedy
                                                        : fenced_remedy;
    } else if (fresh.state == State::Quarantined) {
        fresh.problem = detail_;
        fresh.next_step = "antipode rejoin " + options_.site;
    }
    if (state_ && handoff_ && waits_for_handoff(*state_) && *state_ != State::Following) {
        fresh.report.set_operation_id(handoff_->operation_id());
        fresh.report.set_handoff(std::string(view(hash_of(*handoff_))));
        fresh.report.set_state(std::string(to_string(*state_)));
        fresh.report.set_problem(fresh.problem);
    }
    show_stand(fresh);
    status_.with([&](ConductorStatus& shared) { shared = std::move(fresh); });
}

}  // namespace antipode::failover
