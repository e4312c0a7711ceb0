#include "primary/blobs/state.hpp"

#include <gtest/gtest.h>

#include "primary/blobs/filter.hpp"

namespace antipode::primary {
namespace {

TEST(PathFilter, MatchesTheWholePath) {
    const PathFilter filter({"*.tmp", "cache/*"});
    EXPECT_TRUE(filter.excludes("a.tmp"));
    EXPECT_TRUE(filter.excludes("a/b.tmp"));
    EXPECT_TRUE(filter.excludes("cache/a/b"));
    EXPECT_TRUE(filter.excludes(".antipode/incoming/x"));
    EXPECT_FALSE(filter.excludes("cache"));
    EXPECT_FALSE(filter.excludes("a.tmpl"));
}

TEST(PathFilter, IncludesOfFilesWhatItIsTold) {
    const PathFilter filter({"*.tmp"}, {"lfs/*", "*.zip"});
    EXPECT_TRUE(filter.includes("lfs/a/b"));
    EXPECT_TRUE(filter.includes("x/y.zip"));
    EXPECT_FALSE(filter.includes("x/y"));
    EXPECT_FALSE(filter.includes("lfs/a.tmp"));
    EXPECT_FALSE(filter.includes(".antipode/x.zip"));
    EXPECT_FALSE(filter.excludes("x")) << "there may be something in it";
    EXPECT_TRUE(PathFilter().includes("x"));
}

TEST(BlobState, IsEncodedAsDescribed) {
    BlobState state;
    state.stat.size = 6;
    state.stat.mtime_ns = -1;
    state.stat.ctime_ns = 0x0102030405060708;
    state.stat.inode = 9;
    state.stat.mode = 0640;
    state.hash = sha256("hello\n");
    state.settled = true;
    EXPECT_EQ(to_hex(state.encode()),
              "0101"
              "0000000000000006"
              "ffffffffffffffff"
              "0102030405060708"
              "0000000000000009"
              "000001a0"
              "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
              "0000000000000000");
    const auto decoded = BlobState::decode(state.encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->encode(), state.encode());
    EXPECT_TRUE(decoded->proves_unchanged(state.stat));
    for (size_t length = 0; length < state.encode().size(); ++length) {
        EXPECT_FALSE(BlobState::decode(state.encode().substr(0, length)));
    }
    EXPECT_FALSE(BlobState::decode(state.encode() + "x"));
}

TEST(BlobReference, IsCheckedWhenDecoded) {
    const BlobReference reference{"a/\xff", 5, 7};
    const auto decoded = BlobReference::decode(reference.encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->path, reference.path);
    EXPECT_EQ(decoded->size, 5u);
    EXPECT_EQ(decoded->inode, 7u);
    EXPECT_FALSE(BlobReference::decode(BlobReference{"../a", 1, 1}.encode()));
    EXPECT_FALSE(BlobReference::decode(BlobReference{"", 1, 1}.encode()));
    EXPECT_FALSE(BlobReference::decode("\x02"));
    EXPECT_FALSE(BlobReference::decode(""));
}

}  // namespace
}  // namespace antipode::primary
