#include "failover/machine.hpp"

#include <set>

#include <gtest/gtest.h>

namespace antipode::failover {
namespace {

std::vector<State> all_states() {
    std::vector<State> all;
    for (size_t i = 0; i < states; ++i) {
        all.push_back(static_cast<State>(i));
    }
    return all;
}

std::vector<Event> all_events() {
    std::vector<Event> all;
    for (size_t i = 0; i < events; ++i) {
        all.push_back(static_cast<Event>(i));
    }
    return all;
}

/// Every state that can be reached, by any events that `allowed` lets through.
template <typename Allowed>
std::set<State> reachable(State from, Allowed allowed) {
    std::set<State> seen = {from};
    std::vector<State> todo = {from};
    while (!todo.empty()) {
        const State state = todo.back();
        todo.pop_back();
        for (const Event event : all_events()) {
            const State after = next(state, event);
            if (allowed(state, event) && seen.insert(after).second) {
                todo.push_back(after);
            }
        }
    }
    return seen;
}

/// What each pair must lead to, written a second time as rules instead of a table.
State expected(State state, Event event) {
    const bool target = state >= State::Following && state <= State::Cutting;
    const bool waits = state >= State::Following && state <= State::Refused;
    const bool before = state >= State::Fencing && state <= State::Confirming;
    const bool follows = state == State::Finishing || state == State::Crossing;
    const bool stands = state == State::Yielding || state == State::Fenced ||
                        state == State::Quarantining || state == State::Quarantined;
    switch (event) {
        case Event::Restarted:
            if (before) {
                return State::Fencing;
            }
            return state == State::Ready || state == State::Refused ? State::CatchingUp : state;
        case Event::Asked:
            return state == State::Serving ? State::Fencing : state;
        case Event::AskedClaim:
            if (waits || state == State::Finishing) {
                return State::Cutting;
            }
            return stands ? State::Claiming : state;
        case Event::Done:
            switch (state) {
                case State::Fencing:
                    return State::Capturing;
                case State::Capturing:
                    return State::HandedOff;
                case State::Confirming:
                    return State::Committing;
                case State::Committing:
                    return State::Yielding;
                case State::Yielding:
                    return State::Following;
                case State::RollingBack:
                case State::Opening:
                    return State::Serving;
                case State::CatchingUp:
                    return State::Ready;
                case State::Cutting:
                    return State::Claiming;
                case State::Claiming:
                    return State::Preparing;
                case State::Preparing:
                    return State::Opening;
                case State::Quarantining:
                    return State::Quarantined;
                case State::Quarantined:
                    return State::Rewinding;
                case State::Rewinding:
                case State::Crossing:
                    return State::Following;
                case State::Finishing:
                    return State::Crossing;
                default:
                    return state;
            }
        case Event::Failed:
            if (before) {
                return State::RollingBack;
            }
            return state == State::CatchingUp  ? State::Refused
                   : state == State::Cutting   ? State::Following
                   : state == State::Finishing ? State::Fenced
                                               : state;
        case Event::Changed:
            if (state == State::Quarantined) {
                return State::Quarantining;
            }
            return state == State::HandedOff || state == State::Confirming ? State::Capturing
                                                                           : state;
        case Event::Aborted:
            if (before || state == State::Serving) {
                return State::RollingBack;
            }
            return state == State::Cutting ? State::Following : state;
        case Event::HandoffSeen:
            return waits ? State::CatchingUp : state;
        case Event::HandoffGone:
            return waits ? State::Following : state;
        case Event::PeerReady:
            return state == State::HandedOff ? State::Confirming : state;
        case Event::Named:
            if (follows) {
                return State::Fenced;
            }
            return target || state == State::Claiming ? State::Preparing : state;
        case Event::Superseded:
            return follows ? state : target ? State::Finishing : State::Fenced;
        case Event::Contradicted:
            return State::Fenced;
        case Event::Returned:
            return state == State::Fenced ? State::Quarantining : state;
    }
    return state;
}

TEST(Machine, EveryStateAndEventLeadsWhereTheRulesSay) {
    size_t pairs = 0;
    for (const State state : all_states()) {
        for (const Event event : all_events()) {
            EXPECT_EQ(to_string(next(state, event)), to_string(expected(state, event)))
                << to_string(state) << ", " << to_string(event);
            ++pairs;
        }
    }
    EXPECT_EQ(pairs, states * events);
}

TEST(Machine, NamesAreDistinctAndReadBack) {
    std::set<std::string_view> names;
    for (const State state : all_states()) {
        EXPECT_EQ(parse_state(to_string(state)), state);
        names.insert(to_string(state));
    }
    EXPECT_EQ(names.size(), states);
    EXPECT_FALSE(parse_state("sleeping"));
}

TEST(Machine, BehindThePointOfNoReturnNothingLeadsBack) {
    const auto any = [](State, Event event) { return event != Event::Named; };
    for (const State state : {State::Committing, State::Yielding}) {
        const auto reached = reachable(state, [](State from, Event event) {
            // A new operation begins from the resting states, or on the operator's word.
            return is_busy(from) && event != Event::Named && event != Event::AskedClaim;
        });
        EXPECT_FALSE(reached.contains(State::Serving)) << to_string(state);
        EXPECT_FALSE(reached.contains(State::RollingBack)) << to_string(state);
    }
    for (const State state : {State::Claiming, State::Preparing, State::Opening}) {
        const auto reached = reachable(
            state, [&](State from, Event event) { return is_busy(from) && any(from, event); });
        EXPECT_FALSE(reached.contains(State::Following)) << to_string(state);
        EXPECT_FALSE(reached.contains(State::RollingBack)) << to_string(state);
    }
}

TEST(Machine, AFencedSiteNeverServesUnlessAnOperatorPromotesIt) {
    // It comes back only as a secondary, once what it alone has is kept, and nothing else runs
    // before that.
    const auto reached = reachable(State::Fenced, [](State from, Event event) {
        return from != State::Following && event != Event::AskedClaim;
    });
    EXPECT_EQ(reached, (std::set<State>{State::Fenced, State::Quarantining, State::Quarantined,
                                        State::Rewinding, State::Following}));
    for (const State state : reached) {
        EXPECT_NE(half_in(state), Half::Primary) << to_string(state);
    }
    const auto without_word = reachable(State::Fenced, [](State from, Event event) {
        return from != State::Quarantined && event != Event::AskedClaim;
    });
    EXPECT_FALSE(without_word.contains(State::Rewinding));
    for (const State state : all_states()) {
        if (half_in(state) == Half::Primary) {
            EXPECT_EQ(next(state, Event::Superseded), State::Fenced) << to_string(state);
        }
    }
}

TEST(Machine, AFailureBeforeThePointOfNoReturnEndsWhereItBegan) {
    for (const State state : all_states()) {
        if (!is_busy(state) || !may_roll_back(state)) {
            continue;
        }
        const auto reached = reachable(state, [](State from, Event event) {
            return is_busy(from) && (event == Event::Failed || from == State::RollingBack ||
                                     event == Event::HandoffGone);
        });
        const bool rests = reached.contains(State::Serving) || reached.contains(State::Following);
        EXPECT_TRUE(rests) << to_string(state);
        EXPECT_FALSE(reached.contains(State::Committing)) << to_string(state);
        EXPECT_FALSE(reached.contains(State::Claiming)) << to_string(state);
    }
}

/// Its stores are of one position: neither half copied nor half rewound.
TEST(Machine, OnlyASiteThatIsWholeCanBePromoted) {
    for (const State state : all_states()) {
        const State after = next(state, Event::AskedClaim);
        if (after == state) {
            continue;
        }
        EXPECT_TRUE(after == State::Cutting || after == State::Claiming) << to_string(state);
        EXPECT_NE(half_in(state), Half::Primary) << to_string(state);
        EXPECT_NE(form_in(state, Form::Primary), Form::Neither) << to_string(state);
        EXPECT_EQ(claims_where_it_stands(state), after == State::Claiming) << to_string(state);
        EXPECT_NE(next(state, Event::Superseded), State::Cutting) << to_string(state);
    }
    for (const State state : {State::Rewinding, State::Crossing}) {
        EXPECT_EQ(next(state, Event::AskedClaim), state) << to_string(state);
        EXPECT_EQ(form_in(state, Form::Secondary), Form::Neither) << to_string(state);
        EXPECT_EQ(form_in(State::Fenced, form_in(state, Form::Secondary)), Form::Neither);
    }
}

TEST(Machine, WritesOpenOnlyByServing) {
    for (const State state : all_states()) {
        for (const Event event : all_events()) {
            if (next(state, event) == State::Serving && state != State::Serving) {
                EXPECT_EQ(event, Event::Done);
                EXPECT_TRUE(state == State::Opening || state == State::RollingBack);
            }
        }
    }
}

}  // namespace
}  // namespace antipode::failover
