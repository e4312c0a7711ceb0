#include "protocol/chunk_text.hpp"

#include <gtest/gtest.h>

namespace antipode::protocol {
namespace {

TEST(ChunkText, GoesThereAndBack) {
    ChunkedTable table;
    table.plan = {{"a b", "T\n"}, {"id", "v %"}, {"id"}, false, "bigint", {"-5", "100"}, 1};
    table.digests = {{0, {3, "-12345678901234567890"}}, {2, {1, "7"}}};
    const auto back = decode_chunks(encode_chunks(table));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->plan.table, table.plan.table);
    EXPECT_EQ(back->plan.columns, table.plan.columns);
    EXPECT_EQ(back->plan.range_type, "bigint");
    EXPECT_EQ(back->plan.bounds, table.plan.bounds);
    EXPECT_EQ(back->digests, table.digests);
    EXPECT_EQ(back->plan.describe(1), "id >= -5 and id < 100");

    ChunkedTable hashed;
    hashed.plan = {{"public", "t"}, {}, {}, true, "", {}, 16};
    hashed.digests = {{15, {1, "0"}}};
    const auto hashed_back = decode_chunks(encode_chunks(hashed));
    ASSERT_TRUE(hashed_back);
    EXPECT_TRUE(hashed_back->plan.whole_row);
    EXPECT_EQ(hashed_back->plan.chunks(), 16U);
    EXPECT_EQ(hashed_back->digests, hashed.digests);

    const KeyDigests keys = {{-7, {3, "(\"a b\",)", {2, "-1"}}}, {8, {0, "(1)", {1, "5"}}}};
    const auto keys_back = decode_keys(encode_keys(keys));
    ASSERT_TRUE(keys_back);
    EXPECT_EQ(keys_back->at(-7).label, "(\"a b\",)");
    EXPECT_EQ(keys_back->at(-7).digest, keys.at(-7).digest);
    EXPECT_EQ(decode_numbers(encode_numbers({1, 20, 300})), (std::set<uint32_t>{1, 20, 300}));
}

TEST(ChunkText, RefusesWhatIsMalformedOrOfAnotherVersion) {
    const std::string good = "rows-2 s t 0 4\nid\nid\n\n3 1 5\n";
    EXPECT_TRUE(decode_chunks(good));
    for (const char* bad : {"", "rows-2 s t 0 4\nid\nid\n", "rows-3 s t 0 4\nid\nid\n\n",
                            "rows-2 s t 0 0\nid\nid\n\n", "rows-2 s t 0 4\nid\nid\n\n4 1 5\n",
                            "rows-2 s t 0 4\nid\nid\n\n3 x 5\n", "rows-2 s t 0 4\nid\nid\n\n3 1 5",
                            "rows-2 s t 0 1 bigint\na b\na b\n\n"}) {
        EXPECT_FALSE(decode_chunks(bad)) << bad;
    }
    EXPECT_FALSE(decode_keys("1 2 a 3\n"));
    EXPECT_FALSE(decode_keys("1 2 a x 3\n"));
    EXPECT_FALSE(decode_numbers("1,,2"));
    EXPECT_FALSE(decode_numbers("1,x"));
}

}  // namespace
}  // namespace antipode::protocol
