#include "apps/antipoded/canary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;

class Canary : public testing::Test {
  protected:
    Canary() {
        Config::Blobs& store = config_.blobs.emplace_back();
        store.name = "uploads";
        store.root = directory_ / "uploads";
        std::filesystem::create_directory(store.root);
    }
    /// What was written, or why not.
    std::string write(bool has_items) {
        try {
            return write_canaries(config_, "promote-1", [&](const StoreId&) { return has_items; });
        } catch (const Error& error) {
            return error.what();
        }
    }

    const test::TemporaryDirectory directory_;
    Config config_;
};

TEST_F(Canary, AnEmptyMountPointIsNoRoot) {
    const auto root = directory_ / "uploads";
    EXPECT_THAT(write(false), HasSubstr("blobs/uploads took a write")) << "nothing came yet";
    // The daemon's own directory, and that of a new file system, are nothing.
    ASSERT_TRUE(std::filesystem::is_directory(root / private_directory));
    std::filesystem::create_directory(root / "lost+found");
    EXPECT_THAT(write(true), HasSubstr("blobs/uploads takes no writes"));
    EXPECT_THAT(write(true), HasSubstr("is empty; is its file system mounted?"));
    EXPECT_FALSE(std::filesystem::exists(root / private_directory / "canary"));
    std::filesystem::create_directory(root / "some");
    EXPECT_THAT(write(true), HasSubstr("blobs/uploads took a write"));
}

TEST_F(Canary, ARootThatIsMissingTakesNoWrites) {
    std::filesystem::remove_all(directory_ / "uploads");
    EXPECT_THAT(write(false), HasSubstr("is missing"));
}

}  // namespace
}  // namespace antipode
