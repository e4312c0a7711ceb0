#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace antipode::failover {

/// Where a site stands. Each state but the resting ones (Serving, Following, Fenced, Quarantined)
/// is a step of an operation, with one action that may be run twice.
enum class State {
    // The primary.
    Serving,
    Fencing,      ///< makes writes impossible, and tries to write
    Capturing,    ///< publishes everything that was written; says where that ends: the handoff
    HandedOff,    ///< waits until the target has applied exactly that
    Confirming,   ///< looks once more that nothing was written behind the handoff
    Committing,   ///< writes epoch + 1: the point of no return is behind it once this is journaled
    Yielding,     ///< becomes a secondary from the handoff on
    RollingBack,  ///< lifts the fences; serves on
    // A secondary.
    Following,
    CatchingUp,  ///< applies up to the handoff, then compares
    Ready,       ///< has exactly what the primary had
    Refused,     ///< has not, and says so
    Cutting,     ///< the primary is off: applies all that is safe here, finds what is lost
    Claiming,    ///< writes epoch + 1: the point of no return
    // The primary to be, behind the point of no return.
    Preparing,  ///< slot, publication, hooks: what captures must be there before writes are
    Opening,    ///< lets writes in
    // A site that was told of a later epoch without having been handed over to it. Its data may
    // differ from the new primary's: it neither serves nor follows.
    Fenced,
    Quarantining,  ///< keeps what only this site has; changes nothing
    Quarantined,   ///< has kept it; waits for the operator's word
    Rewinding,     ///< becomes a secondary that compares all it has with the new primary
    // A secondary that was no part of the change of the primary.
    Finishing,  ///< applies what is left of the epoch that has ended, from the new primary's stream
    Crossing,   ///< takes up the new epoch where the old one ended
};
inline constexpr size_t states = 22;

/// What a site notices.
enum class Event {
    Restarted,   ///< the process is a new one: connections and what was not journaled are gone
    Asked,       ///< the operator wants another site to be primary
    AskedClaim,  ///< the operator says that the primary is off, and wants this site to be primary;
                 ///< of one that is no secondary: and its word and its end are in the record
    Done,        ///< the state's action has worked
    Failed,      ///< the state's action cannot work, or took too long
    Changed,     ///< something was written behind the handoff
    Aborted,     ///< the operator gives up
    HandoffSeen,
    HandoffGone,
    PeerReady,
    Named,         ///< a later epoch names this site
    Superseded,    ///< a later epoch names another site
    Contradicted,  ///< two sites claim one epoch
    Returned,      ///< the site of the later epoch serves, and knows where this one's ended
};
inline constexpr size_t events = 14;

std::string_view to_string(State state);
std::string_view to_string(Event event);
std::optional<State> parse_state(std::string_view text);

/// The whole machine: every (state, event) has an entry; an event that means nothing in a state
/// leads to the state itself.
State next(State state, Event event);

/// Which half of the daemon runs in a state.
enum class Half { None, Primary, Secondary };
Half half_in(State state);

/// How a site keeps what it knows of its stores. Both are of one position, and lead to each other
/// in one journaled step; in between a site is neither, and cannot be promoted.
enum class Form { Primary, Secondary, Neither };
/// Behind the journal's step to `state` of a site that was in the form `before`.
Form form_in(State state, Form before);
/// A site that neither serves nor follows is asked to become primary as it stands.
bool claims_where_it_stands(State state);

/// A failure leads back to where writes are served as before.
bool may_roll_back(State state);
/// An operation runs.
bool is_busy(State state);

}  // namespace antipode::failover
