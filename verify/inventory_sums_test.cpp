#include "verify/inventory_sums.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::verify {
namespace {

const Digest one{"blob-1", "one"};
const Digest two{"blob-1", "two"};

TEST(InventorySums, AreOfTheItemsAndNotOfTheirOrder) {
    InventorySum forth;
    InventorySum back;
    for (const char* item : {"a", "b", "c"}) {
        forth += sum_of(item, one);
    }
    for (const char* item : {"c", "b", "a"}) {
        back += sum_of(item, one);
    }
    EXPECT_EQ(forth, back);
    EXPECT_EQ(forth.items, 3u);
    forth -= sum_of("b", one);
    forth += sum_of("b", two);
    EXPECT_NE(forth, back);
    EXPECT_NE(sum_of("a", one), sum_of("b", one));
    EXPECT_EQ(sum_of("a", {}), InventorySum{});
    EXPECT_LT(bucket_of("a"), inventory_buckets);
}

/// printf '\0\0\0\0\0\0\0\1ablob-1:6f6e65' | sha256sum
TEST(InventorySums, AreWhatTheDocumentSays) {
    const Sha256 hash = sha256(std::string("\0\0\0\0\0\0\0\1", 8) + "ablob-1:6f6e65");
    EXPECT_EQ(sum_of("a", one).to_string(), to_hex(hash).substr(0, 32) + "0000000000000001");
}

TEST(InventorySums, AnswersAreReadAsTheyWereWritten) {
    SumsAnswer answer{{1, 2, 3}, false, {{0, sum_of("a", one)}, {1023, sum_of("b", two)}}, {7, 8}};
    const SumsAnswer read = decode_sums(encode(answer));
    EXPECT_EQ(read.position, answer.position);
    EXPECT_EQ(read.buckets, answer.buckets);
    EXPECT_EQ(read.unsure, answer.unsure);
    EXPECT_FALSE(read.equal);
    EXPECT_TRUE(decode_sums(encode({{1, 2, 3}, true, {}, {}})).equal);
    for (const char* text : {"", "inventory-sum-1 1.2.3", "inventory-sum-1 x\n", "other 1.2.3\n",
                             "inventory-sum-1 1.2.3\n1024 ?\n", "inventory-sum-1 1.2.3\n1 12\n",
                             "inventory-sum-1 1.2.3\nx ?\n"}) {
        EXPECT_THROW(decode_sums(text), Error) << text;
    }
}

}  // namespace
}  // namespace antipode::verify
