#include "failover/lost_items.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "primary/bulk.hpp"
#include "tests/support/direct_bulk.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

const StoreId uploads{StoreKind::Blobs, "uploads"};

/// A store of which some files cannot be read.
class PartlyUnreadable final : public primary::ItemCapture {
  public:
    explicit PartlyUnreadable(primary::ItemCapture& real) : real_(real) {}
    const StoreId& store() const override { return real_.store(); }
    primary::Noticed drain() override { return real_.drain(); }
    primary::Noticed reconcile(const std::stop_token& stop) override {
        primary::Noticed noticed = real_.reconcile(stop);
        noticed.complete = noticed.complete && listed;
        return noticed;
    }
    std::optional<primary::Reading> read(const std::string& item, bool whole,
                                         const std::stop_token& stop) override {
        if (unreadable.contains(item)) {
            throw Error(Reaction::Retry, "reading " + item + ": Input/output error");
        }
        return real_.read(item, whole, stop);
    }
    bool notices_everything() const override { return real_.notices_everything(); }

    std::set<std::string> unreadable;
    bool listed = true;

  private:
    primary::ItemCapture& real_;
};

/// Something happens between the opening of a file and its reading.
class MeddlingBulk final : public BulkHandler {
  public:
    explicit MeddlingBulk(BulkHandler& real) : real_(real) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        auto body = real_.open(request);
        after_open();
        return body;
    }
    std::function<void()> after_open = [] {};

  private:
    BulkHandler& real_;
};

/// Gives an inventory as what the new primary had.
class AsCut final : public BulkHandler {
  public:
    explicit AsCut(BulkHandler& inventory) : inventory_(inventory) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        return request.path == "blobs/uploads/cut"
                   ? inventory_.open({"blobs/uploads/inventory", {}})
                   : nullptr;
    }

  private:
    BulkHandler& inventory_;
};

class LostItem : public testing::Test {
  protected:
    LostItem() { lost_.begin(published_); }
    std::filesystem::path root() const { return temporary_ / "files"; }
    std::filesystem::path kept(const std::string& file) const {
        return temporary_ / "quarantine/blobs/uploads" / file;
    }
    void put(const std::string& file, const std::string& bytes) const {
        test::write_file(root() / file, bytes);
    }
    std::string lines() {
        quarantine_.finish(preliminary(), "london", from_microseconds(9));
        return test::read_file(temporary_ / "quarantine/losses.jsonl");
    }
    static std::string preliminary() { return LossReport{}.to_json(); }

    test::TemporaryDirectory temporary_;
    SystemClock clock_;
    files::PosixTree tree_{(std::filesystem::create_directories(root()), root())};
    files::InotifyWatch watch_{root(), clock_};
    primary::Inventory published_{{}};
    primary::Inventory here_{{}};
    primary::BlobCapture real_{uploads, tree_, watch_, here_, clock_, {}, false};
    PartlyUnreadable capture_{real_};
    primary::BlobBulk blobs_{tree_, {}};
    MeddlingBulk content_{blobs_};
    /// The new primary had nothing.
    primary::Inventory cut_inventory_{{}};
    primary::ItemBulk cut_bulk_{uploads, cut_inventory_, nullptr};
    AsCut as_cut_{cut_bulk_};
    test::DirectBulk primary_{as_cut_};
    std::stop_token stop_;
    CutSource cut_{primary_, stop_};
    Quarantine quarantine_{temporary_ / "quarantine"};
    LostItems lost_{capture_, content_, here_, cut_};
};

TEST_F(LostItem, AFileThatCannotBeReadDoesNotHoldUpTheOthersAndIsKeptOnceItCanBe) {
    put("a", "first");
    put("bad", "second");
    put("c", "third");
    capture_.unreadable = {"bad"};
    lost_.run(quarantine_, stop_);
    EXPECT_EQ(test::read_file(kept("a")), "first");
    EXPECT_EQ(test::read_file(kept("c")), "third");
    EXPECT_THAT(lost_.unreadable(), ElementsAre(Pair("bad", HasSubstr("Input/output error"))));
    lost_.retry(quarantine_, stop_);
    EXPECT_EQ(lost_.unreadable().size(), 1U);
    EXPECT_EQ(quarantine_.loss().known, 2U);
    capture_.unreadable.clear();
    lost_.retry(quarantine_, stop_);
    EXPECT_THAT(lost_.unreadable(), IsEmpty());
    EXPECT_EQ(test::read_file(kept("bad")), "second");
    EXPECT_EQ(quarantine_.loss().counts.files, 3U);
    EXPECT_EQ(quarantine_.loss().counts.unreadable, 0U);
}

TEST_F(LostItem, WhatIsGivenUpIsOnRecord) {
    put("a", "first");
    put("bad", "second");
    capture_.unreadable = {"bad"};
    lost_.run(quarantine_, stop_);
    lost_.give_up(quarantine_, stop_);
    EXPECT_THAT(lost_.unreadable(), IsEmpty());
    EXPECT_EQ(quarantine_.loss().counts.unreadable, 1U);
    EXPECT_EQ(quarantine_.loss().counts.files, 1U);
    const auto known = here_.find(uploads, "bad");
    ASSERT_TRUE(known);
    EXPECT_TRUE(is_unreadable(*known));
    const std::string said = lines();
    EXPECT_THAT(said, HasSubstr(R"("kind":"unreadable","store":"blobs/uploads","item":"bad")"));
    EXPECT_THAT(said, HasSubstr("Input/output error"));
}

TEST_F(LostItem, AFileThatChangesWhileItIsKeptIsNotKeptHalf) {
    const std::string before(300'000, 'b');
    std::string after = before;
    after.back() = 'a';
    put("shrinks", before);
    put("is-written", before);
    int opened = 0;
    content_.after_open = [&] {
        if (++opened == 1) {
            put("is-written", after);
        } else {
            std::filesystem::resize_file(root() / "shrinks", 1000);
        }
    };
    lost_.run(quarantine_, stop_);
    EXPECT_EQ(lost_.unreadable().size(), 2U);
    EXPECT_FALSE(std::filesystem::exists(kept("shrinks")));
    EXPECT_FALSE(std::filesystem::exists(kept("is-written")));
    EXPECT_EQ(quarantine_.loss().known, 0U);
    content_.after_open = [] {};
    lost_.retry(quarantine_, stop_);
    EXPECT_THAT(lost_.unreadable(), IsEmpty());
    EXPECT_EQ(test::read_file(kept("shrinks")), before.substr(0, 1000));
    EXPECT_EQ(test::read_file(kept("is-written")), after);
}

TEST_F(LostItem, IsKeptUntilItChanges) {
    put("a", "first");
    lost_.run(quarantine_, stop_);
    EXPECT_TRUE(is_kept(capture_, here_, stop_));
    put("a", "other");
    EXPECT_FALSE(is_kept(capture_, here_, stop_));
}

TEST_F(LostItem, ThatCannotBeReadAnyMoreIsNotSeenToBeKept) {
    put("a", "first");
    lost_.run(quarantine_, stop_);
    put("a", "other");
    capture_.unreadable = {"a"};
    EXPECT_FALSE(is_kept(capture_, here_, stop_)) << "it is shown to the operator again";
}

TEST_F(LostItem, ThatWasGivenUpIsLookedAtAgainOnceItCanBeRead) {
    put("bad", "second");
    capture_.unreadable = {"bad"};
    lost_.run(quarantine_, stop_);
    lost_.give_up(quarantine_, stop_);
    EXPECT_TRUE(is_kept(capture_, here_, stop_));
    capture_.unreadable.clear();
    EXPECT_FALSE(is_kept(capture_, here_, stop_));
}

TEST_F(LostItem, NothingIsGivenUpWhileTheStoreCannotBeLookedAt) {
    put("bad", "second");
    capture_.unreadable = {"bad"};
    lost_.run(quarantine_, stop_);
    capture_.listed = false;
    EXPECT_THROW(lost_.give_up(quarantine_, stop_), Error);
    EXPECT_EQ(quarantine_.loss().known, 0U);
    EXPECT_THROW(lost_.run(quarantine_, stop_), Error);
}

}  // namespace
}  // namespace antipode::failover
