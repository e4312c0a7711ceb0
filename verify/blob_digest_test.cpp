#include "verify/blob_digest.hpp"

#include <gtest/gtest.h>

namespace antipode::verify {
namespace {

/// The worked example: printf 'hello\n' | sha256sum, then the size 6.
TEST(BlobDigest, IsTheHashAndTheSize) {
    EXPECT_EQ(blob_digest(sha256("hello\n"), 6).to_string(),
              "blob-1:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
              "0000000000000006");
    EXPECT_EQ(blob_digest(sha256(""), 0).to_string(),
              "blob-1:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
              "0000000000000000");
}

TEST(BlobDigest, SaysWhatItIsOf) {
    const auto content = blob_content(blob_digest(sha256("hello\n"), 0x123456789));
    ASSERT_TRUE(content);
    EXPECT_EQ(content->hash, sha256("hello\n"));
    EXPECT_EQ(content->size, 0x123456789u);
    EXPECT_FALSE(blob_content(Digest{}));
    EXPECT_FALSE(blob_content(directory_digest()));
    EXPECT_FALSE(blob_content({"blob-1", "short"}));
}

}  // namespace
}  // namespace antipode::verify
