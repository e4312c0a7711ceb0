#include "secondary/relay.hpp"

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "tests/support/memory_stream.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

const StoreId blobs{StoreKind::Blobs, "files"};

class RelayTest : public testing::Test {
  protected:
    /// An event whose content is to be pulled.
    static v1::Payload put(const std::string& path) {
        v1::Payload payload;
        payload.mutable_blob_put()->set_path(path);
        v1::Content& content = *payload.mutable_blob_put()->mutable_content();
        content.set_sha256(std::string(view(sha256(path))));
        content.set_size(1);
        content.set_pull(path);
        return payload;
    }
    std::string message(const std::string& path) {
        return sealer_.seal(blobs, clock_.now(), put(path)).front().bytes;
    }
    /// Of an announcement and these.
    std::string shared_message(const std::vector<std::string>& paths) {
        v1::Payload announcement;
        announcement.mutable_announcement()->add_items("z");
        sealer_.add(blobs, clock_.now(), announcement);
        for (const std::string& path : paths) {
            sealer_.add(blobs, clock_.now(), put(path));
        }
        return sealer_.take().front().bytes;
    }
    /// A crash came: the same directory, and what the streams hold.
    void restart() {
        relay_.emplace(
            Relay::Options{"test", 1, {blobs}, std::chrono::milliseconds(0)}, upstream_, local_,
            pulls_, registry_, [] {}, clock_);
    }

    ManualClock clock_;
    protocol::Sealer sealer_{"test", 1, 1, std::nullopt};
    const test::TemporaryDirectory root_;
    files::PosixTree tree_{root_.path()};
    ContentStore contents_{blobs, tree_, "incoming"};
    Pulls pulls_{{{blobs, &contents_}}, [](const StoreId&) {}, clock_};
    Registry registry_{"", clock_};
    test::MemoryStream upstream_;
    test::MemoryStream local_;
    std::optional<Relay> relay_;
};

TEST_F(RelayTest, NamesTheContentsOfWhatItHadRelayedBefore) {
    for (const char* path : {"a", "b"}) {
        upstream_.put(message(path));
        local_.put(upstream_.messages().at(upstream_.last()));
    }
    const auto wanted = root_ / "incoming" / to_hex(sha256("a"));
    const auto unwanted = root_ / "incoming" / to_hex(sha256("c"));
    std::filesystem::create_directory(root_ / "incoming");
    test::write_file(wanted, "x");
    test::write_file(unwanted, "x");
    restart();
    // The broker is slow: what was not read is neither safe nor unwanted.
    local_.cut_read = [](size_t) { return 0; };
    EXPECT_THROW(relay_->begin(), Error);
    EXPECT_TRUE(relay_->status().safe.position.is_origin());
    EXPECT_TRUE(std::filesystem::exists(wanted));
    EXPECT_TRUE(std::filesystem::exists(unwanted));
    local_.cut_read = [](size_t) { return 1; };
    relay_->begin();
    EXPECT_EQ(pulls_.oldest_missing(), (Position{1, 1, 1}));
    EXPECT_EQ(pulls_.missing().first, 2u);
    EXPECT_TRUE(std::filesystem::exists(wanted));
    EXPECT_FALSE(std::filesystem::exists(unwanted));
}

TEST_F(RelayTest, WantsNothingAgainOfASharedMessageThatIsAppliedInPart) {
    const std::string shared = shared_message({"a", "b", "c"});
    upstream_.put(shared);
    local_.put(shared);
    const Position second{1, 1, 2};
    registry_.set_lane(blobs, {second, second});
    restart();
    relay_->begin();
    EXPECT_EQ(pulls_.missing().first, 2u) << "a is applied";
    EXPECT_EQ(pulls_.oldest_missing(), (Position{1, 1, 3}));
    EXPECT_EQ(relay_->status().safe.position, second);
    // A stream that is new here gets the message once more.
    local_.make_anew();
    restart();
    relay_->begin();
    relay_->step();
    EXPECT_EQ(local_.last(), 1u);
    EXPECT_EQ(pulls_.missing().first, 2u);
    EXPECT_EQ(relay_->status().safe.position, second);
}

TEST_F(RelayTest, ReplacesADamagedStreamOnceThePrimarysCanBeRead) {
    for (const char* path : {"a", "b", "c"}) {
        upstream_.put(message(path));
    }
    restart();
    relay_->begin();
    relay_->step();
    ASSERT_EQ(local_.last(), 3u);
    registry_.set_lane(blobs, {{1, 1, 1}, {1, 1, 1}});
    relay_->doubt_local();
    upstream_.before = [](const std::string&) { throw Error(Reaction::Retry, "it is away"); };
    EXPECT_THROW(relay_->step(), Error);
    EXPECT_THROW(relay_->begin(), Error);
    EXPECT_EQ(local_.messages().size(), 3u) << "nobody could bring again what is in it";
    upstream_.before = nullptr;
    relay_->step();
    EXPECT_EQ(local_.messages().size(), 2u) << "what is not applied";
    EXPECT_EQ(relay_->status().relayed, (Position{1, 1, 3}));
    EXPECT_FALSE(registry_.gap(blobs));
    relay_->step();
    EXPECT_EQ(local_.messages().size(), 2u) << "once";
}

TEST_F(RelayTest, WantsNothingOfWhatIsAppliedAlthoughOthersAreBehind) {
    for (const char* path : {"a", "b", "c"}) {
        upstream_.put(message(path));
        local_.put(upstream_.messages().at(upstream_.last()));
    }
    const StoreId behind{StoreKind::Database, "app"};
    relay_.emplace(
        Relay::Options{"test", 1, {behind, blobs}, std::chrono::milliseconds(0)}, upstream_, local_,
        pulls_, registry_, [] {}, clock_);
    const Position first{1, 1, 1};
    const Position third{1, 1, 3};
    const std::vector<Registry::Outcome> outcomes = {
        {"c", third, third, Digest{"blob-1", "c"}, {}}};
    registry_.record(blobs, outcomes, first);
    relay_->begin();
    EXPECT_EQ(pulls_.missing().first, 1u) << "a is before the lane's end, c came out of turn";
    EXPECT_EQ(pulls_.oldest_missing(), (Position{1, 1, 2}));
}

TEST_F(RelayTest, AGapBeginsAtTheFirstEventThatSharesTheMessageBehindIt) {
    upstream_.put(message("a"));
    message("lost");
    upstream_.put(shared_message({"b", "c"}));
    restart();
    relay_->begin();
    relay_->step();
    relay_->step();
    ASSERT_TRUE(registry_.gap(blobs));
    EXPECT_EQ(registry_.gap(blobs)->at, (Position{1, 1, 3}));
    EXPECT_EQ(pulls_.oldest_missing(), (Position{1, 1, 1}));
    EXPECT_EQ(pulls_.missing().first, 3u);
    EXPECT_EQ(relay_->status().relayed, (Position{1, 1, 5}));
}

}  // namespace
}  // namespace antipode::secondary
