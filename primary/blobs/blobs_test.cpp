#include <algorithm>
#include <array>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "primary/blobs/state.hpp"
#include "protocol/contents.hpp"
#include "tests/support/temporary_directory.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::primary {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

const StoreId uploads{StoreKind::Blobs, "uploads"};

/// A clock that is `ahead` of the real one: files look settled at once.
class ShiftedClock final : public Clock {
  public:
    TimePoint now() const override { return SystemClock().now() + ahead; }
    SteadyTime steady_now() const override { return SystemClock().steady_now(); }
    std::chrono::seconds ahead{60};
};

/// Calls `before_read` right before a file's content is read.
class MeddlingTree final : public FileTree {
  public:
    explicit MeddlingTree(const fs::path& root) : real_(root) {}
    const fs::path& root() const override { return real_.root(); }
    std::optional<FileStat> stat(const std::string& path) override { return real_.stat(path); }
    std::optional<std::vector<Entry>> list(const std::string& directory) override {
        if (unreadable == directory) {
            throw Error(Reaction::Retry, "listing " + directory + ": permission denied");
        }
        return real_.list(directory);
    }
    std::unique_ptr<FileReader> open(const std::string& path) override {
        auto file = real_.open(path);
        return file ? std::make_unique<Reader>(std::move(file), *this) : nullptr;
    }
    std::unique_ptr<FileWriter> create(const std::string& path) override {
        return real_.create(path);
    }
    std::unique_ptr<FileWriter> append(const std::string& path) override {
        return real_.append(path);
    }
    std::unique_ptr<FileWriter> update(const std::string& path) override {
        return real_.update(path);
    }
    std::unique_ptr<FileWriter> open_for_metadata(const std::string& path) override {
        return real_.open_for_metadata(path);
    }
    bool make_directory(const std::string& path) override { return real_.make_directory(path); }
    Placed rename(const std::string& from, const std::string& to) override {
        return real_.rename(from, to);
    }
    bool link(const std::string& from, const std::string& to) override {
        return real_.link(from, to);
    }
    bool clone(const std::string& from, const std::string& to) override {
        return real_.clone(from, to);
    }
    bool remove(const std::string& path) override { return real_.remove(path); }
    bool remove_directory(const std::string& path) override { return real_.remove_directory(path); }
    void sync_directory(const std::string& path) override { real_.sync_directory(path); }
    std::unique_ptr<FileBarrier> barrier() override { return real_.barrier(); }

    std::function<void()> before_read = [] {};
    std::optional<std::string> unreadable;
    bool rotten = false;  ///< the disk gives another first byte
    int reads = 0;

  private:
    class Reader final : public FileReader {
      public:
        Reader(std::unique_ptr<FileReader> file, MeddlingTree& tree)
            : file_(std::move(file)), tree_(tree) {}
        FileStat stat() override { return file_->stat(); }
        size_t read_at(uint64_t offset, std::span<char> buffer) override {
            if (offset == 0) {
                ++tree_.reads;
                tree_.before_read();
            }
            const size_t size = file_->read_at(offset, buffer);
            if (tree_.rotten && size > 0) {
                buffer[0] = static_cast<char>(~buffer[0]);
            }
            return size;
        }

      private:
        std::unique_ptr<FileReader> file_;
        MeddlingTree& tree_;
    };
    files::PosixTree real_;
};

class Capture : public testing::Test {
  protected:
    void SetUp() override { fs::create_directories(root); }

    void write(const std::string& path, const std::string& bytes) {
        fs::create_directories((root / path).parent_path());
        test::write_file(root / path, bytes);
    }
    /// Reads and records, as the publisher does. Empty: nothing differs.
    v1::Payload publish(const std::string& item, bool whole = false) {
        auto reading = lane.read(item, whole, {});
        if (!reading) {
            return {};
        }
        const std::vector<Inventory::Record> records = {
            {uploads, item, reading->published, {1, 1, ++number}}};
        inventory.record(records);
        return reading->payload;
    }
    Noticed reconcile() { return sorted(lane.reconcile({})); }
    Noticed drain() { return sorted(lane.drain()); }
    static Noticed sorted(Noticed noticed) {
        std::sort(noticed.changed.begin(), noticed.changed.end());
        std::sort(noticed.removed.begin(), noticed.removed.end());
        return noticed;
    }
    void publish_all() {
        for (const std::string& item : reconcile().changed) {
            publish(item);
        }
    }

    const test::TemporaryDirectory directory;
    const fs::path root = directory.path() / "root";
    ShiftedClock clock;
    MeddlingTree tree{root};
    files::InotifyWatch watch{root, clock};
    Inventory inventory{""};
    BlobCapture lane{uploads, tree, watch, inventory, clock, PathFilter({"*.tmp"})};
    uint64_t number = 0;
};

TEST_F(Capture, ReconcilesWithWhatWasPublished) {
    for (const char* path : {"a", "a-b", "a.b/c", "a.b/d/e", "z"}) {
        write(path, path);
    }
    write("x.tmp", "");
    write(".antipode/incoming/y", "");
    const Noticed first = reconcile();
    EXPECT_EQ(first.changed, (Names{"a", "a-b", "a.b/c", "a.b/d/e", "z"}));
    EXPECT_TRUE(first.complete);
    publish_all();
    EXPECT_TRUE(reconcile().changed.empty());
    tree.reads = 0;
    fs::remove(root / "a");
    write("a.b/c", "C");
    write("m", "");
    const Noticed second = reconcile();
    EXPECT_EQ(second.changed, (Names{"a.b/c", "m"}));
    EXPECT_EQ(second.removed, Names{"a"});
    EXPECT_EQ(tree.reads, 0);
}

TEST_F(Capture, NoticesWhatHappensAfterTheFirstReconcile) {
    EXPECT_FALSE(lane.notices_everything());
    reconcile();
    EXPECT_TRUE(lane.notices_everything());
    write("d/a", "1");
    write("b.tmp", "1");
    EXPECT_EQ(drain().changed, Names{"d/a"});
    EXPECT_TRUE(publish("d/a").has_blob_put());
    fs::rename(root / "d", root / "e");
    const Noticed moved = drain();
    EXPECT_EQ(moved.changed, Names{"e/a"});
    EXPECT_EQ(moved.moved, Names{"d/a"});
    EXPECT_TRUE(publish("d/a").has_blob_removed());
    EXPECT_EQ(publish("d/a").kind_case(), v1::Payload::KIND_NOT_SET);
}

TEST_F(Capture, AFileThatWasMovedIsACopyOfItsOldName) {
    reconcile();
    write("d/a", "some content");
    write("d/tiny", "1");
    drain();
    publish("d/a");
    publish("d/tiny");
    fs::rename(root / "d", root / "e");
    drain();
    const v1::Payload moved = publish("e/a");
    EXPECT_EQ(moved.blob_put().copy_of(), "d/a");
    EXPECT_EQ(moved.blob_put().content().place_case(), v1::Content::PLACE_NOT_SET);
    EXPECT_EQ(moved.blob_put().content().sha256(), std::string(view(sha256("some content"))));
    EXPECT_EQ(publish("e/tiny").blob_put().content().inline_(), "1") << "the name is longer";
    EXPECT_EQ(publish("e/a", true).blob_put().content().inline_(), "some content");
    // Once its removal is published, nobody has it under its old name.
    EXPECT_TRUE(publish("d/a").has_blob_removed());
    fs::rename(root / "e/a", root / "f");
    EXPECT_TRUE(publish("f").blob_put().content().has_inline_()) << "not noticed to be moved";
    drain();
    inventory.clear();
    EXPECT_TRUE(publish("f").blob_put().content().has_inline_());
}

TEST_F(Capture, AFileThatWasMovedAndChangedIsNoCopy) {
    reconcile();
    write("a", "some content");
    write("b", "some content");
    drain();
    publish("a");
    publish("b");
    fs::rename(root / "a", root / "c");
    write("c", "changed since");
    fs::rename(root / "b", root / "d");
    write("b", "another file by that name");
    drain();
    EXPECT_TRUE(publish("c").blob_put().content().has_inline_());
    EXPECT_TRUE(publish("d").blob_put().content().has_inline_());
    EXPECT_TRUE(publish("b").blob_put().content().has_inline_());
}

TEST_F(Capture, WhatWasMovedWhileNobodyWatchedIsACopy) {
    write("d/a", "some content");
    publish_all();
    fs::rename(root / "d", root / "e");
    EXPECT_EQ(reconcile().moved, Names{"d/a"});
    EXPECT_EQ(publish("e/a").blob_put().copy_of(), "d/a");
}

TEST_F(Capture, ATemporaryFileThatWasNeverPublishedIsNoNews) {
    reconcile();
    write("upload.part", "1");
    fs::rename(root / "upload.part", root / "upload");
    const Noticed noticed = drain();
    EXPECT_EQ(noticed.changed, Names{"upload"});
    EXPECT_TRUE(noticed.removed.empty());
}

TEST_F(Capture, ARemovalCountsBeforeThePutIsRecorded) {
    reconcile();
    write("a", "1");
    drain();
    const auto reading = lane.read("a", false, {});
    ASSERT_TRUE(reading);
    fs::remove(root / "a");
    EXPECT_EQ(drain().removed, Names{"a"});
}

TEST_F(Capture, PutsSmallContentIntoTheEvent) {
    write("a", "hello");
    ASSERT_EQ(chmod((root / "a").c_str(), 0640), 0);
    const auto reading = lane.read("a", false, {});
    ASSERT_TRUE(reading);
    const v1::BlobPut& put = reading->payload.blob_put();
    EXPECT_EQ(put.path(), "a");
    EXPECT_EQ(put.mode(), 0640u);
    EXPECT_EQ(put.mtime_ns(), tree.stat("a")->mtime_ns);
    EXPECT_EQ(put.content().inline_(), "hello");
    EXPECT_EQ(put.content().size(), 5u);
    EXPECT_EQ(put.content().sha256(), view(sha256("hello")));
    EXPECT_EQ(reading->published.digest, verify::blob_digest(sha256("hello"), 5));
    write("empty", "");
    const v1::Payload empty = publish("empty");
    EXPECT_TRUE(empty.blob_put().content().has_inline_());
    EXPECT_EQ(empty.blob_put().content().size(), 0u);
}

TEST_F(Capture, RefersToLargeContentAndServesIt) {
    std::string bytes(limits::inline_content_bytes + 1, 'x');
    write("large", bytes);
    const v1::Content content = publish("large").blob_put().content();
    ASSERT_TRUE(content.has_pull());
    EXPECT_EQ(content.sha256(), view(sha256(bytes)));
    BlobBulk bulk(tree, PathFilter({"*.tmp"}));
    const BulkRequest request{"blobs/uploads/content", {{"ref", to_hex(content.pull())}}};
    const auto body = bulk.open(request);
    ASSERT_TRUE(body);
    EXPECT_EQ(body->size(), bytes.size());
    body->seek(bytes.size() - 2);
    std::array<char, 10> buffer{};
    EXPECT_EQ(body->read(buffer), 2u);
    EXPECT_EQ(body->read(buffer), 0u);
    // It grows: the announced part is still there. It shrinks: superseded.
    write("large", bytes + "more");
    ASSERT_TRUE(bulk.open(request));
    EXPECT_EQ(bulk.open(request)->size(), bytes.size());
    write("large", "x");
    EXPECT_FALSE(bulk.open(request));
    fs::remove(root / "large");
    EXPECT_FALSE(bulk.open(request));
}

TEST_F(Capture, SmallContentOfManyItemsIsServedTogether) {
    const std::string bytes(10'000, 'x');
    write("a", bytes);
    write("b", bytes + "y");
    write("tiny", "1");
    lane.waiting(1'000'000);
    std::vector<std::string> references;
    for (const char* item : {"a", "b"}) {
        const v1::Content content = publish(item).blob_put().content();
        EXPECT_TRUE(content.together());
        references.push_back(content.pull());
    }
    EXPECT_TRUE(publish("tiny").blob_put().content().has_inline_());
    references.push_back(BlobReference{"x.tmp", 3, 0}.encode());
    references.push_back(BlobReference{"a", limits::inline_content_bytes + 1, 0}.encode());
    write("b", "it is another one now");
    const auto stat = tree.stat("a").value();
    references.push_back(BlobReference{"a", bytes.size(), stat.inode}.encode());

    BlobBulk bulk(tree, PathFilter({"*.tmp"}));
    const auto body =
        bulk.open({"blobs/uploads/contents", {}, protocol::encode_contents_request(references)});
    ASSERT_TRUE(body);
    std::vector<std::optional<std::string>> contents;
    protocol::ContentsReader reader(references.size(),
                                    [&](auto content) { contents.push_back(std::move(content)); });
    std::array<char, 4096> buffer{};
    while (const size_t count = body->read(buffer)) {
        reader.feed(std::string_view(buffer.data(), count));
    }
    reader.finish();
    const std::optional<std::string> none;
    EXPECT_EQ(contents,
              (std::vector{std::optional(bytes), none, none, none, std::optional(bytes)}));
    EXPECT_FALSE(bulk.open({"blobs/uploads/contents", {}, "no reference"}));
    lane.waiting(0);
    EXPECT_TRUE(publish("a", true).blob_put().content().has_inline_());
}

TEST_F(Capture, ServesNothingButItsFiles) {
    write("a.tmp", "1");
    write("a", "1");
    write(".antipode/x", "1");
    fs::create_symlink("a", root / "link");
    BlobBulk bulk(tree, PathFilter({"*.tmp"}));
    const auto open = [&](const std::string& what, const std::string& path) {
        return bulk.open(
            {"blobs/uploads/" + what, {{"ref", to_hex(BlobReference{path, 1, 0}.encode())}}});
    };
    EXPECT_TRUE(open("content", "a"));
    for (const char* path : {"a.tmp", ".antipode/x", "link", "b", "../root/a"}) {
        EXPECT_FALSE(open("content", path)) << path;
    }
    EXPECT_FALSE(open("list", "a"));
    EXPECT_FALSE(bulk.open({"blobs/uploads/content", {}}));
    EXPECT_FALSE(bulk.open({"blobs/uploads/content", {{"ref", "xyz"}}}));
}

TEST_F(Capture, SendsModeAndTimeWithoutContent) {
    write("a", "1");
    publish("a");
    ASSERT_EQ(chmod((root / "a").c_str(), 0600), 0);
    EXPECT_EQ(reconcile().changed, Names{"a"});
    const v1::BlobPut put = publish("a").blob_put();
    EXPECT_EQ(put.mode(), 0600u);
    EXPECT_EQ(put.content().sha256(), view(sha256("1")));
    EXPECT_EQ(put.content().place_case(), v1::Content::PLACE_NOT_SET);
    EXPECT_TRUE(reconcile().changed.empty());
}

TEST_F(Capture, AChangeThatDoesNotTravelIsRecordedOnce) {
    write("a", "1");
    publish("a");
    fs::create_hard_link(root / "a", root / "b");
    fs::remove(root / "b");
    EXPECT_EQ(reconcile().changed, Names{"a"});
    EXPECT_EQ(publish("a").unchanged().item(), "a");
    EXPECT_TRUE(reconcile().changed.empty());
}

TEST_F(Capture, AFileReadWithinTheTickOfItsChangeIsLookedAtAgain) {
    clock.ahead = std::chrono::seconds(0);
    write("a", "1");
    // Wherever the test is slow, the tick is over; so read until it is not.
    const std::array<timespec, 2> times = {timespec{1, 0}, timespec{1, 0}};
    utimensat(AT_FDCWD, (root / "a").c_str(), times.data(), 0);
    clock.ahead = std::chrono::seconds(-1);
    publish("a");
    clock.ahead = std::chrono::seconds(60);
    EXPECT_EQ(reconcile().changed, Names{"a"});
    EXPECT_TRUE(publish("a").has_unchanged());
    EXPECT_TRUE(reconcile().changed.empty());
}

TEST_F(Capture, OnlyWhatIsIncludedIsAnItem) {
    BlobCapture some{uploads, tree, watch, inventory, clock, PathFilter({"*.tmp"}, {"*.zip"})};
    write("d/a.zip", "1");
    write("d/a.txt", "2");
    write("b.zip.tmp", "3");
    EXPECT_EQ(some.reconcile({}).changed, Names{"d/a.zip"});
    write("d/b.zip", "1");
    write("d/b.txt", "2");
    EXPECT_EQ(some.drain().changed, Names{"d/b.zip"});
    EXPECT_FALSE(some.read("d/a.txt", true, {}));
    EXPECT_TRUE(some.read("d/a.zip", true, {}));
}

TEST_F(Capture, WhatADiskMadeOfAFileIsADefect) {
    write("a", "1");
    publish("a");
    uint64_t paced = 0;
    const auto defect = [&] {
        return lane.defect("a", [&](uint64_t bytes) { paced += bytes; }, {});
    };
    EXPECT_EQ(defect(), "");
    EXPECT_EQ(paced, 1u);
    tree.rotten = true;
    EXPECT_THAT(defect(), testing::HasSubstr("another content"));
    write("a", "2");
    EXPECT_EQ(defect(), "") << "a change is none";
    fs::remove(root / "a");
    EXPECT_EQ(defect(), "");
}

TEST_F(Capture, WhatADiskMadeOfAFileIsNotPublished) {
    write("a", "1");
    publish("a");
    tree.rotten = true;
    EXPECT_TRUE(reconcile().changed.empty());
    try {
        publish("a", true);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), testing::HasSubstr("a has another content than when it was "
                                                     "published, and nobody changed it"));
    }
    write("b", "2");
    EXPECT_EQ(publish("b").blob_put().content().inline_(), "\xcd") << "new: that is its content";
    tree.rotten = false;
    EXPECT_EQ(publish("a", true).blob_put().content().inline_(), "1");
    tree.rotten = true;
    write("a", "3");
    EXPECT_EQ(publish("a").blob_put().content().inline_(), "\xcc") << "somebody changed it";
}

TEST_F(Capture, AFileThatChangesWhileItIsReadIsReadAgain) {
    write("a", "first");
    int changes = 0;
    tree.before_read = [&] {
        if (++changes == 1) {
            write("a", "later");
        }
    };
    EXPECT_EQ(publish("a").blob_put().content().inline_(), "later");
    EXPECT_EQ(changes, 2);
}

TEST_F(Capture, AFileThatIsAlwaysAppendedToIsCapturedAsItWasWhenTheReadingBegan) {
    write("log", "0");
    std::string bytes = "0";
    tree.before_read = [&] {
        bytes += std::to_string(bytes.size());
        write("log", bytes);
    };
    const std::string content = publish("log").blob_put().content().inline_();
    EXPECT_TRUE(bytes.starts_with(content));
    EXPECT_GT(content.size(), 1u);
    tree.before_read = [] {};
    EXPECT_EQ(reconcile().changed, Names{"log"});
    EXPECT_EQ(publish("log").blob_put().content().inline_(), bytes);
}

TEST_F(Capture, AFileThatShrinksAllTheTimeIsTriedLater) {
    std::string bytes(1000, 'x');
    write("a", bytes);
    tree.before_read = [&] {
        bytes.resize(bytes.size() / 2);
        ASSERT_EQ(truncate((root / "a").c_str(), static_cast<off_t>(bytes.size())), 0);
    };
    EXPECT_THROW(publish("a"), Error);
    tree.before_read = [] {};
    EXPECT_EQ(publish("a").blob_put().content().inline_(), bytes);
}

TEST_F(Capture, AFileThatVanishesWhileItIsReadIsARemoval) {
    write("a", "1");
    publish_all();
    write("a", "2");
    tree.before_read = [&] { fs::remove(root / "a"); };
    EXPECT_TRUE(publish("a").has_blob_removed());
}

TEST_F(Capture, AWholeReadingStandsAlone) {
    write("a", "1");
    publish("a");
    EXPECT_EQ(publish("a").kind_case(), v1::Payload::KIND_NOT_SET);
    EXPECT_EQ(publish("a", true).blob_put().content().inline_(), "1");
    EXPECT_TRUE(publish("never there", true).has_blob_removed());
    EXPECT_EQ(publish("../etc/passwd", true).kind_case(), v1::Payload::KIND_NOT_SET);
    EXPECT_EQ(publish("x.tmp", true).kind_case(), v1::Payload::KIND_NOT_SET);
}

TEST_F(Capture, WhatWasForgottenIsPublishedWhole) {
    write("a", "1");
    write("b", "1");
    publish("a");
    publish("b");
    inventory.forget_after({});
    fs::remove(root / "b");
    const Noticed noticed = reconcile();
    EXPECT_EQ(noticed.changed, Names{"a"});
    EXPECT_EQ(noticed.removed, Names{"b"});
    EXPECT_EQ(publish("a").blob_put().content().inline_(), "1");
    EXPECT_TRUE(publish("b").has_blob_removed());
}

TEST_F(Capture, SkipsAndCountsWhatIsNoRegularFile) {
    write("a", "1");
    publish("a");
    fs::create_symlink("a", root / "link");
    ASSERT_EQ(mkfifo((root / "pipe").c_str(), 0600), 0);
    EXPECT_TRUE(reconcile().changed.empty());
    EXPECT_EQ(lane.skipped().symbolic_links, 1u);
    EXPECT_EQ(lane.skipped().special_files, 1u);
    EXPECT_EQ(lane.skipped().examples, (Names{"link", "pipe"}));
    fs::remove(root / "a");
    fs::create_symlink("link", root / "a");
    EXPECT_EQ(drain().removed, Names{"a"});
    EXPECT_TRUE(publish("a").has_blob_removed());
}

TEST_F(Capture, AMissingOrEmptyRootIsNoMassDeletion) {
    write("d/a", "1");
    write("b", "1");
    publish_all();
    fs::rename(root, directory / "unmounted");
    EXPECT_FALSE(drain().complete);
    EXPECT_THROW(reconcile(), Error);
    EXPECT_THROW(lane.read("b", false, {}), Error);
    fs::create_directories(root);
    fs::create_directories(root / ".antipode");
    EXPECT_FALSE(drain().complete);
    EXPECT_THROW(lane.read("b", true, {}), Error);
    EXPECT_TRUE(drain().removed.empty());
    const Noticed noticed = reconcile();
    EXPECT_TRUE(noticed.emptied);
    EXPECT_EQ(noticed.removed, (Names{"b", "d/a"}));
}

TEST_F(Capture, ARootThatIsAnotherOneButNotEmptyIsCompared) {
    write("d/a", "1");
    write("b", "1");
    publish_all();
    fs::rename(root, directory / "old");
    fs::create_directories(root);
    write("c", "1");
    const Noticed noticed = reconcile();
    EXPECT_FALSE(noticed.emptied);
    EXPECT_EQ(noticed.removed, (Names{"b", "d/a"}));
    EXPECT_EQ(noticed.changed, Names{"c"});
}

TEST_F(Capture, DeletingEverythingInARootThatStaysIsADeletion) {
    write("a", "1");
    publish_all();
    drain();
    fs::remove(root / "a");
    EXPECT_EQ(drain().removed, Names{"a"});
    EXPECT_TRUE(publish("a").has_blob_removed());
    EXPECT_TRUE(reconcile().complete);
}

TEST_F(Capture, ADirectoryThatCannotBeListedHidesNoRemovals) {
    write("d/a", "1");
    write("b", "1");
    publish_all();
    tree.unreadable = "d";
    fs::remove(root / "b");
    const Noticed noticed = reconcile();
    EXPECT_FALSE(noticed.complete);
    EXPECT_EQ(noticed.removed, Names{"b"});
    EXPECT_NE(lane.problem().find("permission"), std::string::npos);
    tree.unreadable.reset();
    EXPECT_TRUE(reconcile().complete);
    EXPECT_EQ(lane.problem(), "");
}

TEST_F(Capture, AReconcileStopsByItsToken) {
    std::stop_source stop;
    stop.request_stop();
    EXPECT_THROW(lane.reconcile(stop.get_token()), Stopped);
}

}  // namespace
}  // namespace antipode::primary
