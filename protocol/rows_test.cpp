#include "protocol/rows.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::protocol {
namespace {

std::string sample() {
    ChangeWriter writer;
    writer.insert(1, encode_row({"1", std::nullopt, "text"}));
    writer.update(1, OldRow::Key, encode_row({"1"}), encode_row({"2", "x", ""}));
    writer.update(1, OldRow::None, {}, encode_row({"2", "x", ""}));
    writer.remove(2, OldRow::Whole, encode_row({"a", "b"}));
    writer.truncate({1, 2}, true, false);
    return writer.take();
}

TEST(Rows, ComeBackAsTheyWereWritten) {
    const std::string bytes = sample();
    ChangeReader reader(bytes);
    Change change;
    ASSERT_TRUE(reader.next(change));
    EXPECT_EQ(change.op, Op::Insert);
    ASSERT_EQ(change.new_row.size(), 3U);
    EXPECT_EQ(change.new_row[0].text, "1");
    EXPECT_EQ(change.new_row[1].kind, Value::Kind::Null);
    ASSERT_TRUE(reader.next(change));
    EXPECT_EQ(change.op, Op::Update);
    EXPECT_EQ(change.old_kind, OldRow::Key);
    EXPECT_EQ(change.old_row[0].text, "1");
    EXPECT_EQ(change.new_row[0].text, "2");
    ASSERT_TRUE(reader.next(change));
    EXPECT_EQ(change.old_kind, OldRow::None);
    ASSERT_TRUE(reader.next(change));
    EXPECT_EQ(change.op, Op::Delete);
    EXPECT_EQ(change.relation, 2U);
    EXPECT_EQ(change.old_row.size(), 2U);
    ASSERT_TRUE(reader.next(change));
    EXPECT_EQ(change.op, Op::Truncate);
    EXPECT_EQ(change.truncated, (std::vector<uint32_t>{1, 2}));
    EXPECT_TRUE(change.cascade);
    EXPECT_FALSE(change.restart_identity);
    EXPECT_FALSE(reader.next(change));
}

TEST(Rows, TruncatedBytesThrowAndNeverReadPastTheEnd) {
    const std::string bytes = sample();
    size_t refused = 0;
    for (size_t size = 1; size < bytes.size(); ++size) {
        const std::string cut = bytes.substr(0, size);
        ChangeReader reader(cut);
        Change change;
        try {
            while (reader.next(change)) {
            }
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GE(refused, bytes.size() - 6) << "only a cut between two changes is readable";
}

TEST(Rows, LengthOfARowIsKnownOnlyWhenItIsWhole) {
    const std::string row = encode_row({"1", std::nullopt});
    EXPECT_EQ(row_length(row + "rest"), row.size());
    EXPECT_EQ(row_length(row.substr(0, row.size() - 1)), std::nullopt);
}

}  // namespace
}  // namespace antipode::protocol
