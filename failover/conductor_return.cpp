// A site that was no part of a change of the primary, or lost it, follows the new one.
#include "failover/conductor.hpp"

namespace antipode::failover {
namespace {

constexpr std::chrono::seconds shut_interval(5);

}  // namespace

/// What the primary of the epoch that fenced this site says of it, once it serves.
std::optional<v1::EpochRecord> Conductor::serving_here() const {
    const auto said = records_.of(primary());
    const auto theirs = said ? std::optional(as_begun(*said)) : std::nullopt;
    const bool serves = theirs && theirs->epoch() == epoch_ && theirs->primary() == primary() &&
                        theirs->state() == record_state::serving && theirs->starts_size() > 0;
    return serves ? theirs : std::nullopt;
}

/// On somebody's word: a site that was handed over to is no successor of one that was fenced.
std::optional<v1::EpochRecord> Conductor::successor_here() const {
    const auto theirs = serving_here();
    return theirs && !theirs->fenced_by().empty() ? theirs : std::nullopt;
}

/// Who serves was handed over to by one whose epoch this site has not come back to.
bool Conductor::has_missed_one() const {
    const auto theirs = serving_here();
    return theirs && theirs->fenced_by().empty();
}

/// Before it was fenced: nobody writes to it anyway.
bool Conductor::was_secondary() const {
    constexpr size_t steps = 1000;
    std::optional<State> before;
    for (const JournalEntry& entry : journal_.tail(steps)) {
        const bool fenced = half_in(entry.state) == Half::None && entry.state != State::Yielding &&
                            entry.state != State::Crossing;
        before = fenced ? before : std::optional(entry.state);
    }
    return before == State::Finishing;
}

v1::EpochRecord Conductor::must_know_successor() const {
    const auto theirs = successor_here();
    if (!theirs) {
        throw Error(Reaction::Retry, "waiting for " + primary() + " to answer, and to serve",
                    "antipode status " + primary());
    }
    return *theirs;
}

/// What the primary of the epoch that left this secondary behind says, once it can be followed.
std::optional<v1::EpochRecord> Conductor::next_here() const {
    const auto theirs = records_.of(primary());
    const bool usable = theirs && theirs->epoch() == record().epoch() &&
                        theirs->primary() == primary() &&
                        theirs->state() != record_state::opening && theirs->starts_size() > 0;
    return usable && !records_.contradiction() ? theirs : std::nullopt;
}

v1::EpochRecord Conductor::must_know_next() const {
    if (const auto other = records_.contradiction()) {
        throw Error(Reaction::Retry,
                    other->primary() + " and " + primary() + " both claim epoch " +
                        std::to_string(other->epoch()),
                    "docs/runbooks/disaster.md, \"Two sites claim one epoch\"");
    }
    const auto theirs = next_here();
    if (!theirs) {
        throw Error(Reaction::Retry, "waiting for " + primary() + " to answer, and to serve",
                    "antipode status " + primary());
    }
    return *theirs;
}

void Conductor::look_at_return() {
    if (const auto theirs = successor_here()) {
        operation_ = theirs->operation_id();
        feed(Event::Returned, primary() + " serves");
    }
}

/// Again and again: a service that somebody starts must not write.
void Conductor::shut() {
    if (clock_.steady_now() >= shut_again_ && !was_secondary()) {
        hands_.shut(record());
        shut_again_ = clock_.steady_now() + shut_interval;
    }
}

void Conductor::quarantine() {
    shut();
    const std::string without = records_.asked_for(without_unreadable_key, epoch_);
    if (const auto kept = hands_.quarantine(must_know_successor(), stand().form, without)) {
        feed(Event::Done, *kept);
    }
}

/// What was written since the quarantine was made would be lost: then it is made anew.
void Conductor::await_word() {
    shut();
    if (!options_.rejoins_by_itself && !records_.is_asked(rejoin_key, epoch_)) {
        return;
    }
    if (const auto kept = hands_.is_kept(must_know_successor(), stand().form)) {
        feed(*kept ? Event::Done : Event::Changed,
             *kept ? detail_ : "something was written behind the fence");
    }
}

void Conductor::rewind() {
    shut();
    hands_.rewind(must_know_successor());
    feed(Event::Done, detail_);
}

Half Conductor::half() const {
    if (state_ == State::Finishing && !ending()) {
        return Half::None;
    }
    return state_ ? half_in(*state_) : Half::None;
}

std::optional<v1::EpochStart> Conductor::ending() const {
    // Before it serves nobody can pull from it. Of several epochs only the last one's stream is
    // there.
    const auto end =
        state_ == State::Finishing && may_finish_ ? end_of(record(), epoch_) : std::nullopt;
    return end && end->epoch() == record().epoch() ? end : std::nullopt;
}

void Conductor::finish() {
    const v1::EpochRecord theirs = must_know_next();
    const auto ended = end_of(theirs, epoch_);
    if (!ended) {
        return feed(Event::Failed, primary() + " does not say where epoch " +
                                       std::to_string(epoch_) + " has ended");
    }
    if (const auto finished = hands_.finish(theirs, *ended)) {
        feed(finished->beyond ? Event::Failed : Event::Done, finished->detail);
    }
}

void Conductor::cross() {
    const v1::EpochRecord theirs = must_know_next();
    const auto ended = end_of(theirs, epoch_);
    if (!ended) {
        throw Error(
            Reaction::Stop,
            primary() + " does not say where epoch " + std::to_string(epoch_) + " has ended",
            "docs/runbooks/third-site.md");
    }
    hands_.cross(theirs, *ended, detail_);
    feed(Event::Done, detail_);
}

}  // namespace antipode::failover
