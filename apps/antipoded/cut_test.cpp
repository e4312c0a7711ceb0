#include "apps/antipoded/cut.hpp"

#include <gtest/gtest.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

const StoreId uploads{StoreKind::Blobs, "uploads"};

class Cut : public testing::Test {
  protected:
    Cut() {
        config_.state_dir = temporary_.path();
        config_.blobs.emplace_back().name = "uploads";
        record_.set_epoch(2);
        const std::vector<primary::Inventory::Record> records = {
            {uploads, "a", {"state", {"blob-1", "x"}}, {}}};
        inventory_.record(records);
    }
    size_t files() const {
        return static_cast<size_t>(
            std::distance(std::filesystem::directory_iterator(temporary_.path()), {}));
    }

    test::TemporaryDirectory temporary_;
    Config config_;
    v1::EpochRecord record_;
    primary::Inventory inventory_{{}};
};

TEST_F(Cut, IsThereUntilTheOldPrimaryOfItsEpochIsBack) {
    keep_cut(config_, record_, inventory_);
    const auto kept = kept_cut(config_, 2);
    ASSERT_NE(kept, nullptr);
    drop_cut(config_, 3);
    EXPECT_GT(files(), 0U);
    drop_cut(config_, 2);
    EXPECT_EQ(files(), 0U) << "with what SQLite keeps beside it";
    EXPECT_TRUE(kept->find(uploads, "a")) << "who has it open goes on reading";
    EXPECT_EQ(kept_cut(config_, 2), nullptr);
    EXPECT_EQ(files(), 0U);
}

TEST_F(Cut, OfAnotherEpochIsDeleted) {
    keep_cut(config_, record_, inventory_);
    EXPECT_EQ(kept_cut(config_, 3), nullptr);
    EXPECT_EQ(files(), 0U);
}

TEST_F(Cut, ThatIsDamagedStopsNeitherThePrimaryNorItsNextPromotion) {
    const auto file = temporary_ / "cut.db";
    keep_cut(config_, record_, inventory_);
    test::write_file(file, std::string(8192, 'x'));
    EXPECT_EQ(kept_cut(config_, 2), nullptr);
    drop_cut(config_, 2);
    EXPECT_TRUE(std::filesystem::exists(file)) << "the disk may be full, not the file damaged";
    record_.set_epoch(4);
    keep_cut(config_, record_, inventory_);
    EXPECT_NE(kept_cut(config_, 4), nullptr);
}

}  // namespace
}  // namespace antipode
