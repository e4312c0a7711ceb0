#include "base/stream_writer.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode {
namespace {

std::deque<OutgoingMessage> queue_of(std::initializer_list<const char*> bytes) {
    std::deque<OutgoingMessage> queue;
    for (const char* message : bytes) {
        queue.push_back({"subject", message});
    }
    return queue;
}

std::string contents(const test::MemoryStream& stream) {
    std::string all;
    for (const auto& [sequence, bytes] : stream.messages()) {
        all += bytes;
    }
    return all;
}

Reaction reaction_of(StreamWriter& writer, std::deque<OutgoingMessage>& queue) {
    try {
        writer.append(queue);
    } catch (const Error& error) {
        return error.reaction();
    }
    ADD_FAILURE() << "it succeeded";
    return Reaction::Stop;
}

class StreamWriterTest : public testing::Test {
  protected:
    /// The next append stores `stored` messages and fails.
    void fail_once_after(size_t stored) {
        stream_.fail_append = [this, stored](size_t) {
            stream_.fail_append = nullptr;
            return std::optional(stored);
        };
    }
    test::MemoryStream stream_;
    StreamWriter writer_{stream_};
};

TEST_F(StreamWriterTest, GoesOnBehindWhatIsThere) {
    stream_.put("x");
    EXPECT_EQ(writer_.begin().last_sequence, 1U);
    auto queue = queue_of({"a", "b"});
    writer_.append(queue);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(contents(stream_), "xab");
    EXPECT_EQ(writer_.last_sequence(), 3U);
}

TEST_F(StreamWriterTest, BeginsByMakingDurableWhatAnEarlierProcessAppended) {
    int syncs = 0;
    stream_.before = [&](const std::string& operation) { syncs += operation == "sync" ? 1 : 0; };
    writer_.begin();
    EXPECT_EQ(syncs, 0) << "there is nothing";
    stream_.put("x");
    writer_.begin();
    EXPECT_EQ(syncs, 1);
    stream_.before = [&](const std::string& operation) {
        if (operation == "sync") {
            throw Error(Reaction::Retry, "the disk is full");
        }
    };
    EXPECT_THROW(writer_.begin(), Error) << "it must not count as safe";
}

TEST_F(StreamWriterTest, StoresNothingTwiceWhereverAnAppendFails) {
    for (size_t stored = 0; stored <= 3; ++stored) {
        stream_.make_anew();
        writer_.begin();
        fail_once_after(stored);
        auto queue = queue_of({"a", "b", "c"});
        EXPECT_EQ(reaction_of(writer_, queue), Reaction::Retry);
        EXPECT_EQ(queue.size(), 3U) << "the queue stays whole";
        while (!queue.empty()) {
            writer_.append(queue);
        }
        EXPECT_EQ(contents(stream_), "abc") << stored << " were stored";
    }
}

TEST_F(StreamWriterTest, LooksAgainWhenTheBrokerIsAwayDuringTheLook) {
    writer_.begin();
    fail_once_after(2);
    auto queue = queue_of({"a", "b", "c"});
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Retry);
    stream_.before = [](const std::string&) { throw Error(Reaction::Retry, "away"); };
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Retry);
    stream_.before = nullptr;
    writer_.append(queue);
    EXPECT_EQ(contents(stream_), "abc");
}

TEST_F(StreamWriterTest, RefusesToGoOnBehindAnotherWriter) {
    writer_.begin();
    stream_.put("x");
    auto queue = queue_of({"a"});
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Retry);
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Resync);
    EXPECT_EQ(contents(stream_), "x");
    EXPECT_EQ(queue.size(), 1U);
}

TEST_F(StreamWriterTest, RefusesAStreamThatWentBack) {
    writer_.begin();
    auto queue = queue_of({"a", "b"});
    writer_.append(queue);
    stream_.lose_tail(1);
    queue = queue_of({"c"});
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Retry);
    EXPECT_EQ(reaction_of(writer_, queue), Reaction::Resync);
    writer_.begin();
    writer_.append(queue);
    EXPECT_EQ(contents(stream_), "ac");
}

TEST_F(StreamWriterTest, AppendsAtMostOneBatchAtATime) {
    writer_.begin();
    std::deque<OutgoingMessage> queue(limits::append_messages + 1, {"subject", "m"});
    writer_.append(queue);
    EXPECT_EQ(queue.size(), 1U);
    writer_.append(queue);
    EXPECT_EQ(stream_.messages().size(), limits::append_messages + 1);
}

}  // namespace
}  // namespace antipode
