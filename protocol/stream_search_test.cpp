#include "protocol/stream_search.hpp"

#include <gtest/gtest.h>

#include "base/limits.hpp"
#include "protocol/message.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode::protocol {
namespace {

class StreamSearch : public testing::Test {
  protected:
    /// Appends `count` messages of one session.
    void publish(uint64_t session, int count) {
        Sealer sealer("test", 1, session, previous_);
        for (int i = 0; i < count; ++i) {
            v1::Payload payload;
            payload.mutable_reconciled();
            auto sealed = sealer.seal(std::nullopt, TimePoint{}, payload);
            previous_ = sealed.back().hash;
            stream_.put(sealed.front().bytes);
        }
    }
    /// Appends messages that `events` each share.
    void publish_shared(uint64_t session, const std::vector<int>& events) {
        Sealer sealer("test", 1, session, previous_);
        for (const int count : events) {
            v1::Payload payload;
            payload.mutable_reconciled();
            for (int i = 0; i < count; ++i) {
                sealer.add(StoreId{StoreKind::Blobs, "files"}, TimePoint{}, payload);
            }
            for (const Sealer::Sealed& sealed : sealer.take()) {
                previous_ = sealed.hash;
                stream_.put(sealed.bytes);
            }
        }
    }
    Place behind(uint64_t session, uint64_t number) {
        return find_behind(stream_, "test", 1, {1, session, number});
    }

    test::MemoryStream stream_;
    std::optional<Sha256> previous_;
};

TEST_F(StreamSearch, AMessageThatSeveralShareIsReadForAnyOfThem) {
    publish_shared(5, {1, 3, 2});
    EXPECT_EQ(behind(5, 1).sequence, 2U);
    for (const uint64_t number : {2U, 3U}) {
        EXPECT_EQ(behind(5, number).sequence, 2U) << "what comes behind it is in there, too";
        EXPECT_EQ(behind(5, number).last->position, (Position{1, 5, 1}));
    }
    EXPECT_EQ(behind(5, 4).sequence, 3U);
    EXPECT_EQ(behind(5, 4).last->position, (Position{1, 5, 4}));
    EXPECT_EQ(find_newest(stream_, "test", 1, stream_.info())->position, (Position{1, 5, 6}));
}

TEST_F(StreamSearch, WhatIsAppliedGoesButForAMarginInMessagesAndBytes) {
    const std::string large(limits::mib, 'x');
    for (int i = 0; i < 200; ++i) {
        stream_.put(large);  // none of ours: it is passed over
    }
    publish(5, 1);
    purge_through(stream_, "test", 1, {1, 5, 1});
    const uint64_t first = stream_.info().first_sequence;
    EXPECT_GT(first, 100U) << "many bytes in few messages";
    EXPECT_LT(first, 150U);
    purge_through(stream_, "test", 1, {1, 5, 1});
    EXPECT_EQ(stream_.info().first_sequence, first) << "not a few with each look";
}

TEST_F(StreamSearch, OfSmallMessagesTenThousandStay) {
    publish(5, 25'000);
    purge_through(stream_, "test", 1, {1, 5, 15'000});
    EXPECT_EQ(stream_.info().first_sequence, 1U) << "not before it pays";
    purge_through(stream_, "test", 1, {1, 5, 24'000});
    EXPECT_EQ(stream_.info().first_sequence, 14'001U);
}

TEST_F(StreamSearch, FindsNothingInAnEmptyStream) {
    EXPECT_EQ(behind(1, 1).sequence, 1U);
    EXPECT_FALSE(behind(1, 1).last);
    EXPECT_FALSE(find_newest(stream_, "test", 1, stream_.info()));
}

TEST_F(StreamSearch, FindsTheMessageBehindEveryPosition) {
    publish(5, 10);
    publish(7, 10);
    EXPECT_EQ(behind(0, 0).sequence, 1U);
    EXPECT_FALSE(behind(0, 0).last);
    for (uint64_t number = 1; number <= 10; ++number) {
        EXPECT_EQ(behind(5, number).sequence, number + 1);
        EXPECT_EQ(behind(5, number).last->position, (Position{1, 5, number}));
        EXPECT_EQ(behind(7, number).sequence, number + 11);
    }
    EXPECT_EQ(behind(6, 3).sequence, 11U) << "no such session: where it would stand";
    EXPECT_EQ(behind(5, 99).sequence, 11U);
    EXPECT_EQ(behind(9, 0).sequence, 21U);
    EXPECT_EQ(find_newest(stream_, "test", 1, stream_.info())->position, (Position{1, 7, 10}));
}

TEST_F(StreamSearch, BeginsAtTheFirstMessageOfAPurgedStream) {
    publish(5, 20);
    stream_.purge_below(15);
    EXPECT_EQ(behind(5, 3).sequence, 15U);
    EXPECT_FALSE(behind(5, 3).last) << "it is not held any more";
    EXPECT_EQ(behind(5, 16).sequence, 17U);
    stream_.purge_below(21);
    EXPECT_EQ(behind(5, 3).sequence, 21U);
}

TEST_F(StreamSearch, FindsWhatJoinsOnAlthoughSomebodyElseWroteIntoTheStream) {
    publish(5, 20);
    const std::string old = stream_.messages().at(3);
    for (int i = 0; i < 20; ++i) {
        stream_.put(old);
    }
    publish(7, 1);
    const Place misled = behind(5, 10);
    EXPECT_EQ(misled.sequence, 41U)
        << "a search that lands among the old ones passes over the rest";
    const auto opened = open(stream_.messages().at(10), "test", 1);
    const auto& tenth = std::get<Message>(opened);
    const ChainPoint last{tenth.position(), tenth.hash};
    EXPECT_EQ(find_joining(stream_, "test", 1, last, misled.sequence), 11U);
    stream_.lose(11);
    EXPECT_EQ(find_joining(stream_, "test", 1, last, misled.sequence), std::nullopt);
}

TEST_F(StreamSearch, PassesOverHolesOfADamagedStreamAtOnce) {
    publish(5, 10'000);
    for (uint64_t sequence = 2; sequence <= 9000; ++sequence) {
        stream_.lose(sequence);
    }
    int calls = 0;
    stream_.before = [&](const std::string&) { ++calls; };
    EXPECT_EQ(behind(5, 1).sequence, 9001U);
    EXPECT_EQ(behind(5, 4000).last->position, (Position{1, 5, 1}));
    EXPECT_EQ(behind(5, 9000).after, 2U);
    EXPECT_EQ(behind(5, 9001).sequence, 9002U);
    EXPECT_LT(calls, 4 * 70) << "each costs a round trip";
}

TEST_F(StreamSearch, FindsTheNewestBeforeAHoleAtTheEnd) {
    publish(5, 3000);
    for (uint64_t sequence = 101; sequence <= 3000; ++sequence) {
        stream_.lose(sequence);
    }
    EXPECT_EQ(find_newest(stream_, "test", 1, stream_.info())->position, (Position{1, 5, 100}));
    EXPECT_EQ(behind(5, 50).sequence, 51U);
    EXPECT_EQ(behind(5, 100).sequence, 3001U);
}

TEST_F(StreamSearch, PassesOverWhatIsNotOurs) {
    for (int i = 0; i < 5; ++i) {
        stream_.put("not a message of ours");
        publish(static_cast<uint64_t>(i) + 1, 1);
        stream_.put("nor is this");
    }
    stream_.lose(5);
    EXPECT_EQ(find_newest(stream_, "test", 1, stream_.info())->position, (Position{1, 5, 1}));
    const Place place = behind(3, 1);
    EXPECT_GT(place.sequence, 8U);
    EXPECT_LE(place.sequence, 11U);
    EXPECT_EQ(place.last->position, (Position{1, 3, 1}));
}

}  // namespace
}  // namespace antipode::protocol
