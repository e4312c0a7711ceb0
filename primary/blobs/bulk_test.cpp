#include "primary/blobs/bulk.hpp"

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "primary/blobs/state.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::primary {
namespace {

class Hashes : public testing::Test {
  protected:
    Hashes() { test::write_file(root_ / "large", bytes_); }
    std::unique_ptr<BulkBody> open(const std::string& range_bytes) {
        const FileStat stat = tree_.stat("large").value();
        const BlobReference reference{"large", bytes_.size(), stat.inode};
        return bulk_.open({"blobs/uploads/hashes",
                           {{"ref", to_hex(reference.encode())}, {"bytes", range_bytes}}});
    }
    std::string next(BulkBody& body) {
        std::string hash(100, ' ');
        hash.resize(body.read(hash));
        return hash;
    }

    const std::string bytes_ = std::string(4096, 'a') + std::string(4096, 'b') + "c";
    const test::TemporaryDirectory root_;
    files::PosixTree tree_{root_.path()};
    BlobBulk bulk_{tree_, PathFilter({"*.tmp"})};
};

TEST_F(Hashes, AreThoseOfEachRangeInOrder) {
    const auto body = open("4096");
    ASSERT_TRUE(body);
    EXPECT_EQ(next(*body), view(sha256(std::string(4096, 'a'))));
    EXPECT_EQ(next(*body), view(sha256(std::string(4096, 'b'))));
    EXPECT_EQ(next(*body), view(sha256("c")));
    EXPECT_EQ(next(*body), "");
}

TEST_F(Hashes, OfAFileThatGetsShorterMeanwhileAreNoAnswer) {
    const auto body = open("4096");
    ASSERT_TRUE(body);
    next(*body);
    test::write_file(root_ / "large", "short");
    EXPECT_THROW(next(*body), Error);
    EXPECT_FALSE(open("4096"));
}

TEST_F(Hashes, AreMadeOfRangesOfASensibleSizeOnly) {
    for (const char* wrong : {"", "0", "1", "x", "8388608x", "99999999999999999999"}) {
        EXPECT_FALSE(open(wrong)) << wrong;
    }
}

}  // namespace
}  // namespace antipode::primary
