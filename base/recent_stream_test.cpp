#include "base/recent_stream.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode {
namespace {

using std::chrono::milliseconds;

std::vector<OutgoingMessage> messages(const std::vector<std::string>& texts) {
    std::vector<OutgoingMessage> all;
    for (const std::string& text : texts) {
        all.push_back({"subject", text});
    }
    return all;
}

std::string text_of(const std::vector<StoredMessage>& stored) {
    std::string text;
    for (const StoredMessage& message : stored) {
        text += std::to_string(message.sequence) + message.bytes + " ";
    }
    return text;
}

class RecentStream : public testing::Test {
  protected:
    std::string read(uint64_t sequence) { return text_of(reader_.read(sequence, milliseconds(0))); }
    /// What was asked of the broker since the last call.
    int asked() { return std::exchange(asked_, 0); }
    void count_reads() {
        broker_.before = [this](const std::string& operation) { asked_ += operation == "read"; };
    }

    test::MemoryStream broker_;
    RecentMessages recent_{100};
    RememberedAppends writer_{broker_, recent_};
    RememberedReads reader_{broker_, recent_};
    int asked_ = 0;
};

TEST_F(RecentStream, GivesWhatWasAppendedWithoutTheBroker) {
    count_reads();
    EXPECT_EQ(writer_.append(0, messages({"a", "b"})), 2U);
    EXPECT_EQ(writer_.append(2, messages({"c"})), 3U);
    EXPECT_EQ(read(1), "1a 2b 3c ");
    EXPECT_EQ(read(3), "3c ");
    EXPECT_EQ(read(4), "");
    EXPECT_EQ(asked(), 0);
}

TEST_F(RecentStream, AsksTheBrokerForWhatItDoesNotKnow) {
    broker_.put("old");
    count_reads();
    EXPECT_EQ(read(1), "1old ");
    EXPECT_EQ(asked(), 1);
    writer_.append(1, messages({"new"}));
    EXPECT_EQ(read(1), "1old 2new ");
    EXPECT_EQ(asked(), 1);
    EXPECT_EQ(read(4), "");  // behind the end that is known
    EXPECT_EQ(asked(), 1);
}

TEST_F(RecentStream, HoldsNoMoreThanItMay) {
    writer_.append(0, messages({std::string(60, 'a')}));
    writer_.append(1, messages({std::string(60, 'b')}));
    count_reads();
    EXPECT_EQ(reader_.read(2, milliseconds(0)).front().bytes, std::string(60, 'b'));
    EXPECT_EQ(asked(), 0);
    EXPECT_EQ(reader_.read(1, milliseconds(0)).size(), 2U);
    EXPECT_EQ(asked(), 1);
    writer_.append(2, messages({std::string(200, 'c')}));
    EXPECT_EQ(reader_.read(3, milliseconds(0)).front().bytes, std::string(200, 'c'));
    EXPECT_EQ(asked(), 0);
}

TEST_F(RecentStream, ReadsNoMoreAtOnceThanTheBrokerWould) {
    const std::vector<std::string> many(limits::read_messages + 1, "m");
    writer_.append(0, messages(many));
    EXPECT_EQ(reader_.read(1, milliseconds(0)).size(), limits::read_messages);
}

TEST_F(RecentStream, ForgetsAfterAnAppendThatFailed) {
    writer_.append(0, messages({"a"}));
    broker_.fail_append = [](size_t) { return std::optional<size_t>(1); };
    EXPECT_THROW(writer_.append(1, messages({"b", "c"})), Error);
    EXPECT_EQ(read(2), "2b ");  // that much is stored, says the broker
}

TEST_F(RecentStream, GoesOnBehindAStreamThatLostItsTail) {
    writer_.append(0, messages({"a", "b", "c"}));
    broker_.fail_append = nullptr;
    broker_.lose_tail(2);
    writer_.append(1, messages({"x"}));
    EXPECT_EQ(read(1), "1a 2x ");
    EXPECT_EQ(read(2), "2x ");
    EXPECT_EQ(read(4), "");
}

TEST_F(RecentStream, WakesTheReaderThatWaits) {
    writer_.append(0, messages({"a"}));
    std::string found;
    std::thread reader([&] { found = text_of(reader_.read(2, std::chrono::seconds(30))); });
    writer_.append(1, messages({"b"}));
    reader.join();
    EXPECT_EQ(found, "2b ");
}

}  // namespace
}  // namespace antipode
