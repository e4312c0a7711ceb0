#include "failover/machine.hpp"

#include <stdexcept>

namespace antipode::failover {
namespace {

constexpr std::array<std::string_view, states> state_names = {
    "serving",     "fencing",      "capturing", "handed-off",  "confirming", "committing",
    "yielding",    "rolling-back", "following", "catching-up", "ready",      "refused",
    "cutting",     "claiming",     "preparing", "opening",     "fenced",     "quarantining",
    "quarantined", "rewinding",    "finishing", "crossing"};
constexpr std::array<std::string_view, events> event_names = {
    "restarted", "asked",      "asked-claim",  "done",         "failed",
    "changed",   "aborted",    "handoff-seen", "handoff-gone", "peer-ready",
    "named",     "superseded", "contradicted", "returned"};

using Row = std::array<State, events>;

// Two letters for each state, so that the table fits a screen.
constexpr State sv = State::Serving, fn = State::Fencing, cp = State::Capturing,
                ho = State::HandedOff, cf = State::Confirming, cm = State::Committing,
                yi = State::Yielding, rb = State::RollingBack, fo = State::Following,
                cu = State::CatchingUp, rd = State::Ready, rf = State::Refused, ct = State::Cutting,
                cl = State::Claiming, pr = State::Preparing, op = State::Opening,
                fd = State::Fenced, qg = State::Quarantining, qd = State::Quarantined,
                rw = State::Rewinding, fi = State::Finishing, cr = State::Crossing;

/// A restart before the point of no return fences anew and captures anew: whether something was
/// written meanwhile need not be known. Behind it there is no way but forward. A fenced site comes
/// back only as a secondary, once what it alone has is kept. A secondary whose primary changes
/// follows, unless it has what the new primary never got. The operator's word that whoever claims
/// the epoch is off makes any site primary that is whole: also one that yields or is fenced.
// clang-format off
constexpr std::array<Row, states> table = {{
// Columns: restarted, asked, asked-claim, done, failed, changed, aborted, handoff-seen,
// handoff-gone, peer-ready, named, superseded, contradicted, returned.
/* Serving     */ {sv, fn, sv, sv, sv, sv, rb, sv, sv, sv, sv, fd, fd, sv},
/* Fencing     */ {fn, fn, fn, cp, rb, fn, rb, fn, fn, fn, fn, fd, fd, fn},
/* Capturing   */ {fn, cp, cp, ho, rb, cp, rb, cp, cp, cp, cp, fd, fd, cp},
/* HandedOff   */ {fn, ho, ho, ho, rb, cp, rb, ho, ho, cf, ho, fd, fd, ho},
/* Confirming  */ {fn, cf, cf, cm, rb, cp, rb, cf, cf, cf, cf, fd, fd, cf},
/* Committing  */ {cm, cm, cm, yi, cm, cm, cm, cm, cm, cm, cm, fd, fd, cm},
/* Yielding    */ {yi, yi, cl, fo, yi, yi, yi, yi, yi, yi, yi, fd, fd, yi},
/* RollingBack */ {rb, rb, rb, sv, rb, rb, rb, rb, rb, rb, rb, fd, fd, rb},
/* Following   */ {fo, fo, ct, fo, fo, fo, fo, cu, fo, fo, pr, fi, fd, fo},
/* CatchingUp  */ {cu, cu, ct, rd, rf, cu, cu, cu, fo, cu, pr, fi, fd, cu},
/* Ready       */ {cu, rd, ct, rd, rd, rd, rd, cu, fo, rd, pr, fi, fd, rd},
/* Refused     */ {cu, rf, ct, rf, rf, rf, rf, cu, fo, rf, pr, fi, fd, rf},
/* Cutting     */ {ct, ct, ct, cl, fo, ct, fo, ct, ct, ct, pr, fi, fd, ct},
/* Claiming    */ {cl, cl, cl, pr, cl, cl, cl, cl, cl, cl, pr, fd, fd, cl},
/* Preparing   */ {pr, pr, pr, op, pr, pr, pr, pr, pr, pr, pr, fd, fd, pr},
/* Opening     */ {op, op, op, sv, op, op, op, op, op, op, op, fd, fd, op},
/* Fenced      */ {fd, fd, cl, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, qg},
/* Quarantining*/ {qg, qg, cl, qd, qg, qg, qg, qg, qg, qg, qg, fd, fd, qg},
/* Quarantined */ {qd, qd, cl, rw, qd, qg, qd, qd, qd, qd, qd, fd, fd, qd},
/* Rewinding   */ {rw, rw, rw, fo, rw, rw, rw, rw, rw, rw, rw, fd, fd, rw},
/* Finishing   */ {fi, fi, ct, cr, fd, fi, fi, fi, fi, fi, fd, fi, fd, fi},
/* Crossing    */ {cr, cr, cr, fo, cr, cr, cr, cr, cr, cr, fd, cr, fd, cr},
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
        case State::Serving:
        case State::Fencing:
        case State::Capturing:
        case State::HandedOff:
        case State::Confirming:
        case State::Committing:
        case State::RollingBack:
        case State::Opening:
            return Half::Primary;
        case State::Following:
        case State::CatchingUp:
        case State::Ready:
        case State::Refused:
        case State::Cutting:
        case State::Finishing:
            return Half::Secondary;
        case State::Yielding:
        case State::Claiming:
        case State::Preparing:
        case State::Fenced:
        case State::Quarantining:
        case State::Quarantined:
        case State::Rewinding:
        case State::Crossing:
            return Half::None;
    }
    return Half::None;
}

Form form_in(State state, Form before) {
    switch (state) {
        case State::Serving:
        case State::Fencing:
        case State::Capturing:
        case State::HandedOff:
        case State::Confirming:
        case State::Committing:
        case State::Yielding:
        case State::RollingBack:
        case State::Opening:
            return Form::Primary;
        case State::Following:
        case State::CatchingUp:
        case State::Ready:
        case State::Refused:
        case State::Cutting:
        case State::Preparing:
        case State::Finishing:
            return Form::Secondary;
        case State::Claiming:
        case State::Fenced:
        case State::Quarantining:
        case State::Quarantined:
            return before;
        case State::Rewinding:
        case State::Crossing:
            return Form::Neither;
    }
    return Form::Neither;
}

bool claims_where_it_stands(State state) {
    return state != State::Claiming && next(state, Event::AskedClaim) == State::Claiming;
}

bool may_roll_back(State state) {
    return next(state, Event::Failed) == State::RollingBack || state == State::Cutting ||
           state == State::CatchingUp;
}

bool is_busy(State state) {
    return state != State::Serving && state != State::Following && state != State::Fenced &&
           state != State::Quarantined;
}

}  // namespace antipode::failover
