#include "failover/machine.hpp"

#include <stdexcept>

namespace antipode::failover {
namespace {

constexpr std::array<std::string_view, states> state_names = {
    "serving",  "fencing",      "capturing", "handed-off",  "confirming", "committing",
    "yielding", "rolling-back", "following", "catching-up", "ready",      "refused",
    "cutting",  "claiming",     "preparing", "opening",     "fenced"};
constexpr std::array<std::string_view, events> event_names = {
    "restarted", "asked",        "asked-claim",  "done",       "failed", "changed",
    "aborted",   "handoff-seen", "handoff-gone", "peer-ready", "named",  "superseded"};

using enum State;
using Row = std::array<State, events>;

/// Columns: restarted, asked, asked-claim, done, failed, changed, aborted, handoff-seen,
/// handoff-gone, peer-ready, named, superseded.
///
/// A restart before the point of no return fences anew and captures anew: whether something was
/// written meanwhile need not be known. Behind it there is no way but forward.
// clang-format off
constexpr std::array<Row, states> table = {{
/* Serving     */ {Serving, Fencing, Serving, Serving, Serving, Serving, RollingBack, Serving, Serving, Serving, Serving, Fenced},
/* Fencing     */ {Fencing, Fencing, Fencing, Capturing, RollingBack, Fencing, RollingBack, Fencing, Fencing, Fencing, Fencing, Fenced},
/* Capturing   */ {Fencing, Capturing, Capturing, HandedOff, RollingBack, Capturing, RollingBack, Capturing, Capturing, Capturing, Capturing, Fenced},
/* HandedOff   */ {Fencing, HandedOff, HandedOff, HandedOff, RollingBack, Capturing, RollingBack, HandedOff, HandedOff, Confirming, HandedOff, Fenced},
/* Confirming  */ {Fencing, Confirming, Confirming, Committing, RollingBack, Capturing, RollingBack, Confirming, Confirming, Confirming, Confirming, Fenced},
/* Committing  */ {Committing, Committing, Committing, Yielding, Committing, Committing, Committing, Committing, Committing, Committing, Committing, Fenced},
/* Yielding    */ {Yielding, Yielding, Yielding, Following, Yielding, Yielding, Yielding, Yielding, Yielding, Yielding, Yielding, Fenced},
/* RollingBack */ {RollingBack, RollingBack, RollingBack, Serving, RollingBack, RollingBack, RollingBack, RollingBack, RollingBack, RollingBack, RollingBack, Fenced},
/* Following   */ {Following, Following, Cutting, Following, Following, Following, Following, CatchingUp, Following, Following, Preparing, Fenced},
/* CatchingUp  */ {CatchingUp, CatchingUp, Cutting, Ready, Refused, CatchingUp, CatchingUp, CatchingUp, Following, CatchingUp, Preparing, Fenced},
/* Ready       */ {CatchingUp, Ready, Cutting, Ready, Ready, Ready, Ready, CatchingUp, Following, Ready, Preparing, Fenced},
/* Refused     */ {CatchingUp, Refused, Cutting, Refused, Refused, Refused, Refused, CatchingUp, Following, Refused, Preparing, Fenced},
/* Cutting     */ {Cutting, Cutting, Cutting, Claiming, Following, Cutting, Following, Cutting, Cutting, Cutting, Preparing, Fenced},
/* Claiming    */ {Claiming, Claiming, Claiming, Preparing, Claiming, Claiming, Claiming, Claiming, Claiming, Claiming, Preparing, Fenced},
/* Preparing   */ {Preparing, Preparing, Preparing, Opening, Preparing, Preparing, Preparing, Preparing, Preparing, Preparing, Preparing, Fenced},
/* Opening     */ {Opening, Opening, Opening, Serving, Opening, Opening, Opening, Opening, Opening, Opening, Opening, Fenced},
/* Fenced      */ {Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced, Fenced},
}};
// clang-format on

}  // namespace

std::string_view to_string(State state) {
    return state_names.at(static_cast<size_t>(state));
}

std::string_view to_string(Event event) {
    return event_names.at(static_cast<size_t>(event));
}

std::optional<State> parse_state(std::string_view text) {
    for (size_t i = 0; i < states; ++i) {
        if (state_names.at(i) == text) {
            return static_cast<State>(i);
        }
    }
    return std::nullopt;
}

State next(State state, Event event) {
    return table.at(static_cast<size_t>(state)).at(static_cast<size_t>(event));
}

Half half_in(State state) {
    switch (state) {
        case Serving:
        case Fencing:
        case Capturing:
        case HandedOff:
        case Confirming:
        case Committing:
        case RollingBack:
        case Opening:
            return Half::Primary;
        case Following:
        case CatchingUp:
        case Ready:
        case Refused:
        case Cutting:
            return Half::Secondary;
        case Yielding:
        case Claiming:
        case Preparing:
        case Fenced:
            return Half::None;
    }
    return Half::None;
}

bool may_roll_back(State state) {
    return next(state, Event::Failed) == RollingBack || state == Cutting || state == CatchingUp;
}

bool is_busy(State state) {
    return state != Serving && state != Following && state != Fenced;
}

}  // namespace antipode::failover
