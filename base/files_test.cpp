#include "base/files.hpp"

#include <gtest/gtest.h>

#include "base/limits.hpp"

namespace antipode {
namespace {

TEST(Path, EveryByteButSlashAndNulIsLegal) {
    std::string name;
    for (int byte = 1; byte < 256; ++byte) {
        if (byte != '/') {
            name += static_cast<char>(byte);
        }
    }
    EXPECT_FALSE(why_no_path(name));
    for (const char* path : {"a", "a/b/c", "...", "-rf", ".a", "a..", "a/ /b"}) {
        EXPECT_FALSE(why_no_path(path)) << path;
    }
}

TEST(Path, RefusesWhatLeavesTheRootOrNoFileSystemHolds) {
    for (const std::string& path :
         {std::string(), std::string("/"), std::string("/a"), std::string(".."),
          std::string("a/../b"), std::string("a/.."), std::string("."), std::string("./a"),
          std::string("a/./b"), std::string("a//b"), std::string("a/"), std::string("a\0b", 3),
          std::string(256, 'x'), "a/" + std::string(256, 'x')}) {
        EXPECT_TRUE(why_no_path(path)) << printable(path);
    }
    std::string longest;
    while (longest.size() < limits::item_name_bytes) {
        longest += "a/";
    }
    longest.resize(limits::item_name_bytes - 1);
    EXPECT_FALSE(why_no_path(longest));
    EXPECT_TRUE(why_no_path(longest + "b"));
}

TEST(Path, KnowsOurOwnDirectory) {
    EXPECT_TRUE(is_private(".antipode"));
    EXPECT_TRUE(is_private(".antipode/incoming"));
    EXPECT_FALSE(is_private(".antipodean"));
    EXPECT_FALSE(is_private("a/.antipode"));
}

TEST(Path, FindsParents) {
    EXPECT_EQ(parent_of("a/b/c"), "a/b");
    EXPECT_EQ(parent_of("a"), "");
}

}  // namespace
}  // namespace antipode
