#include "protocol/message.hpp"

#include <random>

#include <gtest/gtest.h>

#include "base/limits.hpp"
#include "protocol/codec.hpp"

namespace antipode::protocol {
namespace {

const TimePoint some_time = from_microseconds(1'700'000'000'000'000);
const StoreId uploads{StoreKind::Blobs, "uploads"};

v1::Payload announcement(const std::string& item) {
    v1::Payload payload;
    payload.mutable_announcement()->add_items(item);
    return payload;
}

v1::Payload pulled(const std::string& item, uint64_t size) {
    v1::Payload payload;
    payload.mutable_blob_put()->set_path(item);
    payload.mutable_blob_put()->mutable_content()->set_size(size);
    payload.mutable_blob_put()->mutable_content()->set_pull(item);
    return payload;
}

Message opened(const std::string& bytes) {
    auto result = open(bytes, "demo", 1);
    EXPECT_TRUE(std::holds_alternative<Message>(result));
    return std::get<Message>(result);
}

Refusal refusal_of(const std::string& bytes) {
    auto result = open(bytes, "demo", 1);
    EXPECT_TRUE(std::holds_alternative<Refusal>(result));
    return std::holds_alternative<Refusal>(result) ? std::get<Refusal>(result) : Refusal{-1};
}

std::string random_bytes(size_t size) {
    std::mt19937 random(7);
    std::string bytes(size, '\0');
    for (char& c : bytes) {
        c = static_cast<char>(random());
    }
    return bytes;
}

TEST(Message, ComesBackAsItWasSealed) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const auto sealed = sealer.seal(uploads, some_time, announcement("a/b"));
    ASSERT_EQ(sealed.size(), 1U);
    const Message message = opened(sealed[0].bytes);
    EXPECT_EQ(message.position(), (Position{1, 5, 1}));
    EXPECT_EQ(message.store, uploads);
    Assembler assembler;
    const auto events = std::get<std::vector<Event>>(assembler.add(message));
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].payload.announcement().items(0), "a/b");
    EXPECT_EQ(events[0].captured_at, some_time);
}

TEST(Message, SmallEventsOfALaneShareOne) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const TimePoint later = some_time + std::chrono::seconds(1);
    EXPECT_EQ(sealer.add(uploads, some_time, announcement("a")), (Position{1, 5, 1}));
    EXPECT_EQ(sealer.add(uploads, later, announcement("b")), (Position{1, 5, 2}));
    EXPECT_EQ(sealer.add(uploads, later, pulled("c", 7)), (Position{1, 5, 3}));
    EXPECT_EQ(sealer.head(), (Position{1, 5, 3}));
    const auto sealed = sealer.take();
    ASSERT_EQ(sealed.size(), 1U);
    EXPECT_TRUE(sealer.take().empty());
    const Message message = opened(sealed[0].bytes);
    EXPECT_EQ(message.hash, sealed[0].hash);
    EXPECT_EQ(sealed[0].store, uploads);
    EXPECT_EQ(message.first(), (Position{1, 5, 1}));
    EXPECT_EQ(message.position(), (Position{1, 5, 3}));
    EXPECT_EQ(message.envelope.pull_bytes(), 7U);
    Assembler assembler;
    const auto events = std::get<std::vector<Event>>(assembler.add(message));
    ASSERT_EQ(events.size(), 3U);
    EXPECT_EQ(events[1].payload.announcement().items(0), "b");
    EXPECT_EQ(*item_of(events[2].payload), "c");
    for (uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(events[i].position, (Position{1, 5, i + 1}));
        EXPECT_EQ(events[i].store, uploads);
        EXPECT_EQ(events[i].captured_at, some_time);
    }
}

TEST(Message, WhatMayNotShareOneHasItsOwn) {
    const StoreId database{StoreKind::Database, "app"};
    const StoreId others{StoreKind::Blobs, "others"};
    Sealer sealer("demo", 1, 5, std::nullopt);
    sealer.add(uploads, some_time, announcement("a"));
    sealer.add(others, some_time, announcement("b"));    // another lane's
    sealer.add(database, some_time, announcement("c"));  // a database's
    sealer.add(database, some_time, announcement("d"));
    sealer.add(std::nullopt, some_time, announcement("e"));
    sealer.add(uploads, some_time, announcement(random_bytes(limits::message_payload_bytes - 100)));
    sealer.add(uploads, some_time, announcement(random_bytes(200)));
    sealer.add(uploads, some_time, announcement(random_bytes(limits::message_payload_bytes + 1)));
    sealer.add(uploads, some_time, announcement("f"));
    std::optional<ChainPoint> last;
    uint64_t number = 0;
    for (const Sealer::Sealed& sealed : sealer.take()) {
        const Message message = opened(sealed.bytes);
        EXPECT_EQ(message.position().number, ++number);
        EXPECT_EQ(message.envelope.version(), 1U) << "who knows no shared messages reads it";
        EXPECT_EQ(continuity(last, message), Continuity::Joins);
        last = ChainPoint{message.position(), message.hash};
    }
    EXPECT_EQ(number, 10U);
}

TEST(Message, NoMoreShareOneThanIsAllowed) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    for (uint32_t i = 0; i < 2 * limits::events_in_message; ++i) {
        sealer.add(uploads, some_time, announcement("a"));
    }
    const auto sealed = sealer.take();
    ASSERT_EQ(sealed.size(), 2U);
    EXPECT_EQ(opened(sealed[0].bytes).envelope.events(), limits::events_in_message);
    Sealer large("demo", 1, 5, std::nullopt);
    for (int i = 0; i < 30; ++i) {
        large.add(uploads, some_time,
                  announcement(random_bytes(limits::message_payload_bytes / 10)));
    }
    for (const Sealer::Sealed& message : large.take()) {
        EXPECT_GE(opened(message.bytes).envelope.events(), 1U);  // it is within the limits
    }
}

TEST(Message, WhatSharesOneIsAsManyAsItSays) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    sealer.add(uploads, some_time, announcement("a"));
    sealer.add(uploads, some_time, announcement("b"));
    const Message genuine = opened(sealer.take()[0].bytes);
    const auto assembled = [](const Message& message) {
        Assembler assembler;
        return std::holds_alternative<std::vector<Event>>(assembler.add(message));
    };
    EXPECT_TRUE(assembled(genuine));
    Message other = genuine;
    other.envelope.set_events(1);
    EXPECT_FALSE(assembled(other));
    other.envelope.set_events(0);
    EXPECT_FALSE(assembled(other));
    v1::Payload nested;
    for (int i = 0; i < 2; ++i) {
        *nested.mutable_shared()->add_events()->mutable_shared()->add_events() = announcement("a");
    }
    other = genuine;
    other.envelope.set_codec(v1::CODEC_NONE);
    other.envelope.set_payload(nested.SerializeAsString());
    other.envelope.set_payload_size(other.envelope.payload().size());
    EXPECT_FALSE(assembled(other)) << "not within one another";
    for (const char* store : {"database/app", ""}) {
        other = genuine;
        other.envelope.set_store(store);
        EXPECT_EQ(refusal_of(other.envelope.SerializeAsString()), Refusal::Malformed)
            << "transactions and control events stand alone";
    }
    other = genuine;
    other.envelope.set_events(3);
    EXPECT_EQ(refusal_of(other.envelope.SerializeAsString()), Refusal::Malformed)
        << "more than there are numbers";
    other.envelope.set_number(limits::events_in_message + 1);
    other.envelope.set_events(limits::events_in_message + 1);
    EXPECT_EQ(refusal_of(other.envelope.SerializeAsString()), Refusal::TooLarge);
}

TEST(Message, LargePayloadsAreCutAndPutTogetherAgain) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string large = random_bytes(2 * limits::message_payload_bytes + 17);
    const auto sealed = sealer.seal(uploads, some_time, announcement(large));
    ASSERT_EQ(sealed.size(), 3U);
    EXPECT_EQ(sealer.head(), (Position{1, 5, 3}));
    Assembler assembler;
    std::vector<Event> events;
    for (const Sealer::Sealed& message : sealed) {
        EXPECT_TRUE(events.empty());
        events = std::get<std::vector<Event>>(assembler.add(opened(message.bytes)));
    }
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].payload.announcement().items(0), large);
    EXPECT_EQ(events[0].position, sealer.head());
}

TEST(Message, AFragmentWithoutItsPredecessorsIsDropped) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string large = random_bytes(2 * limits::message_payload_bytes + 17);
    const auto sealed = sealer.seal(uploads, some_time, announcement(large));
    Assembler assembler;
    EXPECT_TRUE(std::get<std::vector<Event>>(assembler.add(opened(sealed[0].bytes))).empty());
    EXPECT_TRUE(std::get<std::vector<Event>>(assembler.add(opened(sealed[2].bytes))).empty());
}

TEST(Message, EveryTruncationIsRefused) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string bytes = sealer.seal(uploads, some_time, announcement("a/b"))[0].bytes;
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_TRUE(std::holds_alternative<Refusal>(open(bytes.substr(0, size), "demo", 1)))
            << size;
    }
}

TEST(Message, NoBitFlipChangesAPayloadUnnoticed) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string bytes = sealer.seal(uploads, some_time, announcement("a/b"))[0].bytes;
    const Message genuine = opened(bytes);
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        std::string flipped = bytes;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        auto result = open(flipped, "demo", 1);
        if (const auto* message = std::get_if<Message>(&result)) {
            EXPECT_EQ(message->envelope.payload(), genuine.envelope.payload()) << bit;
            EXPECT_NE(message->hash, genuine.hash) << bit;
        }
    }
}

TEST(Message, ForeignAndOldOnesAreRefusedByName) {
    Sealer foreign("other", 1, 5, std::nullopt);
    Sealer old("demo", 7, 5, std::nullopt);
    EXPECT_EQ(refusal_of(foreign.seal(uploads, some_time, announcement("a"))[0].bytes),
              Refusal::ForeignCluster);
    EXPECT_EQ(refusal_of(old.seal(uploads, some_time, announcement("a"))[0].bytes),
              Refusal::OldEpoch);
    EXPECT_EQ(refusal_of("hello"), Refusal::Malformed);
    EXPECT_EQ(refusal_of(std::string(limits::message_bytes + 1, 'x')), Refusal::TooLarge);
}

TEST(Message, AVersionFromTheFutureAsksForAnUpgrade) {
    v1::Envelope envelope;
    envelope.set_version(wire_version + 1);
    EXPECT_EQ(refusal_of(envelope.SerializeAsString()), Refusal::NewerVersion);
}

struct Chain {
    Sealer sealer{"demo", 1, 5, std::nullopt};
    Message next() { return opened(sealer.seal(uploads, some_time, announcement("x"))[0].bytes); }
};

ChainPoint point(const Message& message) {
    return {message.position(), message.hash};
}

TEST(Continuity, JoinsTheNextMessageAndNoOther) {
    Chain chain;
    const Message first = chain.next();
    const Message second = chain.next();
    const Message third = chain.next();
    EXPECT_EQ(continuity(std::nullopt, first), Continuity::Joins);
    EXPECT_EQ(continuity(std::nullopt, second), Continuity::Broken);
    EXPECT_EQ(continuity(point(first), second), Continuity::Joins);
    EXPECT_EQ(continuity(point(first), third), Continuity::Broken);
    EXPECT_EQ(continuity(point(second), first), Continuity::Repeated);
    EXPECT_EQ(continuity(point(second), second), Continuity::Repeated);
}

TEST(Continuity, AMessageThatSeveralShareJoinsByItsFirst) {
    Chain chain;
    const Message first = chain.next();
    chain.sealer.add(uploads, some_time, announcement("x"));
    chain.sealer.add(uploads, some_time, announcement("y"));
    const Message shared = opened(chain.sealer.take()[0].bytes);
    const Message behind = chain.next();
    EXPECT_EQ(continuity(std::nullopt, shared), Continuity::Broken);
    EXPECT_EQ(continuity(point(first), shared), Continuity::Joins);
    EXPECT_EQ(continuity(point(shared), shared), Continuity::Repeated);
    EXPECT_EQ(continuity(point(shared), behind), Continuity::Joins);
    EXPECT_EQ(continuity(point(first), behind), Continuity::Broken);
    Sealer later("demo", 1, 6, behind.hash);
    later.add(uploads, some_time, announcement("x"));
    later.add(uploads, some_time, announcement("y"));
    EXPECT_EQ(continuity(point(behind), opened(later.take()[0].bytes)), Continuity::Joins);
}

TEST(Continuity, ANewSessionJoinsOnlyOnToTheMessageThatItNames) {
    Chain chain;
    const Message first = chain.next();
    const Message second = chain.next();
    Sealer later("demo", 1, 6, first.hash);
    const Message start = opened(later.seal({}, some_time, announcement("x"))[0].bytes);
    EXPECT_EQ(continuity(point(first), start), Continuity::Joins);
    EXPECT_EQ(continuity(point(second), start), Continuity::Broken);
    EXPECT_EQ(continuity(point(start), second), Continuity::Repeated);
}

TEST(Codec, RefusesBombsAndWrongSizes) {
    const std::string zeros(100'000, '\0');
    const auto compressed = compress(std::string(50'000, 'a') + random_bytes(500));
    ASSERT_TRUE(compressed);
    EXPECT_TRUE(decompress(*compressed, 50'500));
    EXPECT_FALSE(decompress(*compressed, 50'499));
    EXPECT_FALSE(decompress(*compressed, 50'501));
    EXPECT_FALSE(decompress("not zstd at all", 100));
    EXPECT_FALSE(decompress(*compressed, limits::gib))
        << "over the ratio, refused before allocation";
    EXPECT_FALSE(compress(random_bytes(1000))) << "does not shrink";
}

}  // namespace
}  // namespace antipode::protocol
