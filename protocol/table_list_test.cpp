#include "protocol/table_list.hpp"

#include <gtest/gtest.h>

namespace antipode::protocol {
namespace {

TEST(TableList, NamesOfAnyBytesComeBack) {
    const Words words = {"public", "a b%\n\"ü", "-5"};
    const std::string line = encode_line(words);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_EQ(decode_lines(line + line, 3), (std::vector<Words>{words, words}));
}

TEST(TableList, RefusesMalformedLines) {
    EXPECT_EQ(decode_lines("a b\n", 3), std::nullopt);
    EXPECT_EQ(decode_lines("a b c", 3), std::nullopt) << "cut before the newline";
    EXPECT_EQ(decode_line("a%2"), std::nullopt);
    EXPECT_EQ(decode_line("a%zz"), std::nullopt);
    EXPECT_EQ(decode_line("a\"b"), std::nullopt);
}

}  // namespace
}  // namespace antipode::protocol
