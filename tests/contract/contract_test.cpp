// What every store promises, each with its real store on both sites: PostgreSQL, git, files. All
// scenarios end with equal digests on A and B; Mirror watches on the way there.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/contract/mirror.hpp"

namespace antipode::contract {
namespace {

constexpr uint64_t seeds = 20;

struct Store {
    const char* name;
    Mirror::Make make;
};

class Contract : public testing::TestWithParam<Store> {
  protected:
    static Mirror::Make make() { return GetParam().make; }

    /// A's events behind `sequence` that carry something of the application.
    static std::multimap<uint64_t, protocol::Event> carriers(Mirror& mirror, uint64_t sequence) {
        std::multimap<uint64_t, protocol::Event> found;
        for (auto& [place, event] : mirror.events()) {
            if (place > sequence && mirror.lane().carried(event.payload) != nullptr) {
                found.emplace(place, event);
            }
        }
        return found;
    }

    /// Loses all of the lane's events behind `sequence`, and what announced them.
    static void lose_events(test::MemoryStream& stream, uint64_t sequence) {
        std::vector<uint64_t> lost;
        for (const auto& [place, bytes] : stream.messages()) {
            auto opened = protocol::open(bytes, cluster, epoch);
            const auto* message = std::get_if<protocol::Message>(&opened);
            if (place > sequence && message != nullptr && message->store) {
                lost.push_back(place);
            }
        }
        ASSERT_FALSE(lost.empty());
        for (const uint64_t place : lost) {
            stream.lose(place);
        }
    }
};

/// True when the store did not take the event.
bool refuses(LaneUnderTest& lane, const protocol::Event& event) {
    if (secondary::ItemApply* const items = lane.item_apply()) {
        const secondary::ItemTask task{&event, {}};
        const secondary::Result result = items->apply({&task, 1}, {}).front();
        return result.kind == secondary::Result::Kind::Failed ||
               result.kind == secondary::Result::Kind::NeedsWhole;
    }
    try {
        const protocol::Event* const one = &event;
        lane.database_apply()->apply({&one, 1});
        return false;
    } catch (const Error&) {
        return true;
    }
}

TEST_P(Contract, WhatChangesOnAIsChangedOnB) {
    Mirror mirror(make(), 1);
    for (int round = 0; round < 3; ++round) {
        mirror.change(5);
        mirror.expect_equal();
    }
    EXPECT_EQ(mirror.wants, 0U) << "something was asked for again, although nothing failed";
}

TEST_P(Contract, WhatIsAppliedTwiceIsAppliedOnce) {
    Mirror mirror(make(), 2);
    mirror.apply_twice = true;
    mirror.restart_b();
    for (int round = 0; round < 3; ++round) {
        mirror.change(5);
        mirror.expect_equal();
    }
}

TEST_P(Contract, AllEventsMayComeAgain) {
    Mirror mirror(make(), 3);
    for (int round = 0; round < 2; ++round) {
        mirror.change(6);
        mirror.expect_equal();
        // B's own state is lost, but not its store: all is read again from A's stream.
        mirror.forget_b();
    }
    mirror.expect_equal();
}

TEST_P(Contract, APrefixIsAppliedThenACrash) {
    Mirror mirror(make(), 4);
    mirror.expect_equal();
    for (int round = 0; round < 4; ++round) {
        mirror.remember_b();
        mirror.change(4);
        mirror.publish_all();
        mirror.wander(mirror.chance().below(40));
        if (round % 2 == 0) {
            mirror.restart_b();
        } else {
            mirror.restart_b_as_remembered();  // applied, but not recorded
        }
    }
    mirror.expect_equal();
}

TEST_P(Contract, LostEventsAreNoticedAndMended) {
    Mirror mirror(make(), 5);
    mirror.change(6);
    mirror.expect_equal();
    // On A, before B has read them, and on B, before they are applied.
    for (const bool on_a : {true, false}) {
        SCOPED_TRACE(on_a ? "lost on A" : "lost on B");
        const uint64_t before = on_a ? mirror.upstream.last() : mirror.local.last();
        const size_t wants = mirror.wants;
        mirror.change(8);
        mirror.publish_all();
        if (!on_a) {
            const auto workers = mirror.b().workers();
            for (int i = 0; i < 3; ++i) {
                workers.front().step();
            }
            ASSERT_EQ(workers.front().name, "relay");
        }
        lose_events(on_a ? mirror.upstream : mirror.local, before);
        bool noticed = false;
        for (int i = 0; i < 200 && !noticed; ++i) {
            mirror.turn_b();
            noticed = mirror.registry().gap(mirror.lane().store()).has_value();
            EXPECT_FALSE(mirror.recovered());
        }
        EXPECT_TRUE(noticed);
        mirror.expect_equal();
        EXPECT_GT(mirror.wants, wants);
    }
}

TEST_P(Contract, EventsThatComeLostRepeatedReorderedOrCutEndEqual) {
    Mirror mirror(make(), 6);
    mirror.expect_equal();
    for (uint64_t seed = 1; seed <= seeds; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        mirror.chance() = Chance(seed);
        for (int round = 0; round < 2; ++round) {
            mirror.change(1 + mirror.chance().below(2));
            mirror.wire.troubles = mirror.chance().below(4);
            mirror.wander(30);
        }
        mirror.wire.troubles = 0;
        mirror.expect_equal();
        if (HasFailure()) {
            return;
        }
    }
}

TEST_P(Contract, StreamsThatAreSpoiltEndEqual) {
    Mirror mirror(make(), 7);
    mirror.expect_equal();
    for (uint64_t seed = 1; seed <= seeds / 4; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        mirror.chance() = Chance(seed);
        mirror.change(3);
        for (int round = 0; round < 3; ++round) {
            mirror.wander(15);
            spoil(mirror.chance().one_in(2) ? mirror.upstream : mirror.local, mirror.chance());
        }
        mirror.expect_equal();
        if (HasFailure()) {
            return;
        }
    }
}

TEST_P(Contract, CutBytesAreRefusedAndChangeNothing) {
    Mirror mirror(make(), 8);
    mirror.change(6);
    mirror.expect_equal();
    const uint64_t before = mirror.upstream.last();
    mirror.change(12);
    mirror.publish_all();
    const Digests digests = mirror.lane().digests_of_b();
    const auto events = carriers(mirror, before);
    ASSERT_FALSE(events.empty());
    mirror.restart_b();  // nothing of the core has begun: events are given to the store alone
    size_t refused = 0;
    for (const auto& [place, event] : events) {
        protocol::Event cut = event;
        std::string& bytes = *mirror.lane().carried(cut.payload);
        for (const size_t size : {size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
            if (bytes.empty() || size >= bytes.size()) {
                continue;
            }
            bytes.resize(size);
            EXPECT_TRUE(refuses(mirror.lane(), cut))
                << protocol::kind_of(event.payload) << " cut to " << size << " bytes";
            EXPECT_EQ(mirror.lane().digests_of_b(), digests);
            bytes = *mirror.lane().carried(const_cast<protocol::Event&>(event).payload);
            ++refused;
        }
    }
    EXPECT_GT(refused, 0U);
    mirror.expect_equal();
}

TEST_P(Contract, SessionsMayEndInTheMiddle) {
    Mirror mirror(make(), 9);
    mirror.change(6);
    for (int round = 0; round < 4; ++round) {
        mirror.wander(mirror.chance().below(60));
        mirror.change(3);
        mirror.wander(mirror.chance().below(30));
        switch (round % 4) {
            case 0:
                mirror.restart_a();
                break;
            case 1:  // A's broker lost what was not synced
                mirror.upstream.lose_tail(mirror.chance().below(20));
                mirror.restart_a();
                break;
            case 2:
                mirror.upstream.make_anew();
                mirror.restart_a();
                break;
            default:
                mirror.forget_a();
        }
    }
    mirror.expect_equal();
}

TEST_P(Contract, AStreamThatDoesNotBringWhatItHoldsIsMadeAnewByItsWriter) {
    Mirror mirror(make(), 12);
    for (int round = 0; round < 4; ++round) {
        mirror.change(6);
        mirror.expect_equal();
    }
    const uint64_t before = mirror.upstream.last();
    bool was_away = false;
    mirror.upstream.fail_append = [&](size_t) -> std::optional<size_t> {
        return std::exchange(was_away, true) ? std::nullopt : std::optional<size_t>(0);
    };
    // Right behind the append that works again it is A that reads.
    bool works_again = false;
    bool has_looked = false;
    mirror.upstream.before = [&](const std::string& operation) {
        works_again = works_again || (was_away && operation == "append");
        if (works_again && operation == "read" && !std::exchange(has_looked, true)) {
            throw DamagedStream(Reaction::Retry, "it does not bring what it holds");
        }
    };
    mirror.change(1);
    mirror.expect_equal();
    EXPECT_TRUE(has_looked);
    EXPECT_LT(mirror.upstream.last(), before) << "it was made anew";
}

TEST_P(Contract, ASiteMayForgetEverythingButItsStore) {
    Mirror mirror(make(), 10);
    mirror.change(10);
    mirror.expect_equal();
    mirror.change(5);
    mirror.upstream.make_anew();
    mirror.forget_a();
    mirror.change(5);
    mirror.expect_equal();
    mirror.change(5);
    mirror.forget_b();
    mirror.change(5);
    mirror.expect_equal();
}

TEST_P(Contract, WhatAForgotAndRemovedIsRemovedOnB) {
    Mirror mirror(make(), 11);
    mirror.change(12);
    mirror.expect_equal();
    for (int round = 0; round < 2; ++round) {
        mirror.change(12);
        mirror.forget_a();
        mirror.expect_equal();
    }
}

INSTANTIATE_TEST_SUITE_P(Stores, Contract,
                         testing::Values(Store{"Database", make_database},
                                         Store{"Repositories", make_repositories},
                                         Store{"Blobs", make_blobs}),
                         [](const auto& store) { return std::string(store.param.name); });

}  // namespace
}  // namespace antipode::contract
