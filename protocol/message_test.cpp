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
    ASSERT_EQ(sealed.messages.size(), 1U);
    const Message message = opened(sealed.messages[0]);
    EXPECT_EQ(message.position(), (Position{1, 5, 1}));
    EXPECT_EQ(message.store, uploads);
    Assembler assembler;
    const auto event = std::get<std::optional<Event>>(assembler.add(message));
    ASSERT_TRUE(event);
    EXPECT_EQ(event->payload.announcement().items(0), "a/b");
    EXPECT_EQ(event->captured_at, some_time);
}

TEST(Message, LargePayloadsAreCutAndPutTogetherAgain) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string large = random_bytes(2 * limits::message_payload_bytes + 17);
    const auto sealed = sealer.seal(uploads, some_time, announcement(large));
    ASSERT_EQ(sealed.messages.size(), 3U);
    EXPECT_EQ(sealed.position, (Position{1, 5, 3}));
    Assembler assembler;
    std::optional<Event> event;
    for (const std::string& bytes : sealed.messages) {
        EXPECT_FALSE(event);
        event = std::get<std::optional<Event>>(assembler.add(opened(bytes)));
    }
    ASSERT_TRUE(event);
    EXPECT_EQ(event->payload.announcement().items(0), large);
    EXPECT_EQ(event->position, sealed.position);
}

TEST(Message, AFragmentWithoutItsPredecessorsIsDropped) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string large = random_bytes(2 * limits::message_payload_bytes + 17);
    const auto sealed = sealer.seal(uploads, some_time, announcement(large));
    Assembler assembler;
    EXPECT_FALSE(std::get<std::optional<Event>>(assembler.add(opened(sealed.messages[0]))));
    EXPECT_FALSE(std::get<std::optional<Event>>(assembler.add(opened(sealed.messages[2]))));
}

TEST(Message, EveryTruncationIsRefused) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string bytes = sealer.seal(uploads, some_time, announcement("a/b")).messages[0];
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_TRUE(std::holds_alternative<Refusal>(open(bytes.substr(0, size), "demo", 1)))
            << size;
    }
}

TEST(Message, NoBitFlipChangesAPayloadUnnoticed) {
    Sealer sealer("demo", 1, 5, std::nullopt);
    const std::string bytes = sealer.seal(uploads, some_time, announcement("a/b")).messages[0];
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
    EXPECT_EQ(refusal_of(foreign.seal(uploads, some_time, announcement("a")).messages[0]),
              Refusal::ForeignCluster);
    EXPECT_EQ(refusal_of(old.seal(uploads, some_time, announcement("a")).messages[0]),
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
    Message next() {
        return opened(sealer.seal(uploads, some_time, announcement("x")).messages[0]);
    }
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

TEST(Continuity, ANewSessionJoinsOnlyOnToTheMessageThatItNames) {
    Chain chain;
    const Message first = chain.next();
    const Message second = chain.next();
    Sealer later("demo", 1, 6, first.hash);
    const Message start = opened(later.seal({}, some_time, announcement("x")).messages[0]);
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
