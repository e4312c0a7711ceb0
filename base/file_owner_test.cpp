#include "base/file_owner.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

using Found = std::variant<FileOwner, std::string>;

TEST(FileOwner, IsNamedOrNumbered) {
    EXPECT_EQ(find_owner("root"), Found(FileOwner{0, 0}));
    EXPECT_EQ(find_owner("root:12346"), Found(FileOwner{0, 12346}));
    EXPECT_EQ(find_owner("0"), Found(FileOwner{0, 0})) << "its own group";
    EXPECT_EQ(find_owner("12345:12346"), Found(FileOwner{12345, 12346}));
    EXPECT_EQ(find_owner("12345:root"), Found(FileOwner{12345, 0}));
}

TEST(FileOwner, WhatIsNotKnownIsSaid) {
    const auto why = [](const char* text) { return std::get<std::string>(find_owner(text)); };
    EXPECT_EQ(why("no-such-user"), "there is no user \"no-such-user\"");
    EXPECT_EQ(why("root:no-such-group"), "there is no group \"no-such-group\"");
    EXPECT_EQ(why("12345"), "user 12345 has no entry, and so no group of its own: USER:GROUP");
    EXPECT_EQ(why("-1:0"), "there is no user \"-1\"");
    EXPECT_EQ(why("root:"), "there is no group \"\"");
    EXPECT_EQ(why(":root"), "there is no user \"\"");
}

TEST(FileOwner, ReadsModes) {
    EXPECT_EQ(parse_mode("0660"), 0660u);
    EXPECT_EQ(parse_mode("777"), 0777u);
    for (const char* text : {"", "8", "0o7", "1777", "-1", "660 "}) {
        EXPECT_EQ(parse_mode(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace antipode
