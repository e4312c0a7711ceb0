#include <barrier>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "secondary/blobs/apply.hpp"
#include "tests/support/temporary_directory.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::secondary {
namespace {

namespace fs = std::filesystem;
using Kind = Result::Kind;

class Blobs : public testing::Test {
  protected:
    void SetUp() override { fs::create_directories(root); }

    static protocol::Event put(const std::string& path, const std::string& bytes,
                               uint32_t mode = 0644, int64_t mtime_ns = 1'600'000'000'123'456'789) {
        protocol::Event event = put_by_reference(path, bytes, mode, mtime_ns);
        event.payload.mutable_blob_put()->mutable_content()->set_inline_(bytes);
        return event;
    }
    static protocol::Event put_pulled(const std::string& path, const std::string& bytes) {
        protocol::Event event = put_by_reference(path, bytes, 0644, 1);
        event.payload.mutable_blob_put()->mutable_content()->set_pull("reference");
        return event;
    }
    static protocol::Event put_metadata(const std::string& path, const std::string& bytes,
                                        uint32_t mode, int64_t mtime_ns) {
        return put_by_reference(path, bytes, mode, mtime_ns);
    }
    static protocol::Event put_copy(const std::string& path, const std::string& of,
                                    const std::string& bytes) {
        protocol::Event event = put_by_reference(path, bytes, 0640, 7);
        event.payload.mutable_blob_put()->set_copy_of(of);
        return event;
    }
    static protocol::Event removed(const std::string& path) {
        protocol::Event event;
        event.payload.mutable_blob_removed()->set_path(path);
        return event;
    }

    Result apply(const protocol::Event& event, const fs::path& content = {}) {
        const std::vector<ItemTask> tasks = {{&event, content}};
        return lane.apply(tasks, {}).at(0);
    }
    std::vector<Result> apply_all(const std::vector<protocol::Event>& events) {
        std::vector<ItemTask> tasks;
        for (const protocol::Event& event : events) {
            tasks.push_back({&event, {}});
        }
        return lane.apply(tasks, {});
    }
    fs::path pulled(const std::string& bytes) {
        fs::create_directories(lane.incoming_directory());
        const fs::path file = lane.incoming_directory() / to_hex(sha256(bytes));
        test::write_file(file, bytes);
        return file;
    }
    static Digest digest(const std::string& bytes) {
        return verify::blob_digest(sha256(bytes), bytes.size());
    }
    bool staging_is_empty() const { return fs::is_empty(root / ".antipode/staging"); }

    const test::TemporaryDirectory directory;
    const fs::path root = directory.path() / "root";
    files::PosixTree tree{root};
    BlobApply lane{{StoreKind::Blobs, "uploads"}, tree};

  private:
    static protocol::Event put_by_reference(const std::string& path, const std::string& bytes,
                                            uint32_t mode, int64_t mtime_ns) {
        protocol::Event event;
        v1::BlobPut& put = *event.payload.mutable_blob_put();
        put.set_path(path);
        put.set_mode(mode);
        put.set_mtime_ns(mtime_ns);
        put.mutable_content()->set_sha256(std::string(view(sha256(bytes))));
        put.mutable_content()->set_size(bytes.size());
        return event;
    }
};

TEST_F(Blobs, ArePutWithModeAndTime) {
    const Result result = apply(put("a/b/c", "hello", 04751));
    EXPECT_EQ(result.kind, Kind::Applied);
    EXPECT_EQ(result.digest, digest("hello"));
    EXPECT_EQ(test::read_file(root / "a/b/c"), "hello");
    const auto stat = tree.stat("a/b/c");
    EXPECT_EQ(stat->mode, 0751u);
    EXPECT_EQ(stat->mtime_ns, 1'600'000'000'123'456'789);
    EXPECT_TRUE(staging_is_empty());
}

TEST_F(Blobs, AppliedTwiceAreAppliedOnce) {
    apply(put("a", "1"));
    const Result again = apply(put("a", "1"));
    EXPECT_EQ(again.kind, Kind::Unneeded);
    EXPECT_EQ(again.digest, digest("1"));
    EXPECT_EQ(apply(put("a", "2")).kind, Kind::Applied);
    EXPECT_EQ(test::read_file(root / "a"), "2");
    EXPECT_EQ(apply(removed("a")).kind, Kind::Applied);
    EXPECT_EQ(apply(removed("a")).kind, Kind::Unneeded);
}

TEST_F(Blobs, WithNewModeOrTimeNeedNoContent) {
    apply(put("a", "1"));
    const Result result = apply(put_metadata("a", "1", 0600, -5));
    EXPECT_EQ(result.kind, Kind::Applied);
    EXPECT_EQ(result.digest, digest("1"));
    EXPECT_EQ(tree.stat("a")->mode, 0600u);
    EXPECT_EQ(tree.stat("a")->mtime_ns, -5);
    EXPECT_EQ(apply(put_metadata("a", "2", 0600, -5)).kind, Kind::NeedsWhole);
    EXPECT_EQ(apply(put_metadata("b", "1", 0600, -5)).kind, Kind::NeedsWhole);
}

TEST_F(Blobs, AreCopiedFromAnotherItem) {
    apply(put("old", "content"));
    const Result copied = apply(put_copy("new/name", "old", "content"));
    EXPECT_EQ(copied.kind, Kind::Applied);
    EXPECT_EQ(copied.digest, digest("content"));
    EXPECT_EQ(test::read_file(root / "new/name"), "content");
    EXPECT_EQ(tree.stat("new/name")->mode, 0640u);
    EXPECT_NE(tree.stat("new/name")->inode, tree.stat("old")->inode);
    EXPECT_EQ(apply(put_copy("new/name", "gone", "content")).kind, Kind::Unneeded);
    // In one batch, too, the source goes last.
    const auto together = apply_all({removed("old"), put_copy("third", "old", "content")});
    EXPECT_EQ(together[0].kind, Kind::Applied);
    EXPECT_EQ(together[1].kind, Kind::Applied);
}

TEST_F(Blobs, ThatCannotBeCopiedAreAskedForWhole) {
    apply(put("damaged", "contend"));
    test::write_file(directory / "secret", "content");
    fs::create_symlink("../secret", root / "link");
    fs::create_directories(root / "directory");
    test::write_file(root / ".antipode/mine", "content");
    for (const char* source :
         {"damaged", "gone", "link", "directory", "../secret", ".antipode/mine", "/etc/passwd"}) {
        EXPECT_EQ(apply(put_copy("a", source, "content")).kind, Kind::NeedsWhole) << source;
    }
    EXPECT_FALSE(fs::exists(root / "a"));
    EXPECT_TRUE(staging_is_empty());
}

TEST_F(Blobs, TakeDirectoriesWithThem) {
    apply(put("a/b/1", "1"));
    apply(put("a/2", "2"));
    EXPECT_EQ(apply(removed("a/b/1")).kind, Kind::Applied);
    EXPECT_FALSE(fs::exists(root / "a/b"));
    EXPECT_TRUE(fs::exists(root / "a/2"));
    apply(removed("a/2"));
    EXPECT_FALSE(fs::exists(root / "a"));
    EXPECT_TRUE(fs::exists(root));
}

TEST_F(Blobs, RefuseNamesThatLeaveTheRoot) {
    for (const std::string& path :
         {std::string("../x"), std::string("/x"), std::string("a/../../x"), std::string(),
          std::string("a//b"), std::string("x\0y", 3), std::string(300, 'x'),
          std::string(".antipode/staging/x"), std::string(".antipode")}) {
        const Result result = apply(put(path, "1"));
        EXPECT_EQ(result.kind, Kind::Failed) << path;
        EXPECT_EQ(result.failure, FailureClass::Refused) << path;
        EXPECT_EQ(apply(removed(path)).failure, FailureClass::Refused) << path;
    }
    EXPECT_FALSE(fs::exists(directory / "x"));
}

TEST_F(Blobs, NeverFollowLinks) {
    fs::create_directories(directory / "outside");
    test::write_file(directory / "outside/x", "mine");
    fs::create_directory_symlink("../outside", root / "away");
    fs::create_symlink("../outside/x", root / "link");
    const Result result = apply(put("away/x", "1"));
    EXPECT_EQ(result.failure, FailureClass::LocalDefect);
    EXPECT_FALSE(result.next_step.empty());
    EXPECT_EQ(apply(removed("away/x")).kind, Kind::Unneeded);
    EXPECT_EQ(apply(put("link", "1")).kind, Kind::Applied);
    EXPECT_FALSE(fs::is_symlink(root / "link"));
    EXPECT_EQ(test::read_file(directory / "outside/x"), "mine");
}

TEST_F(Blobs, RefuseContentThatIsNotTheAnnounced) {
    protocol::Event event = put("a", "hello");
    event.payload.mutable_blob_put()->mutable_content()->set_inline_("hullo");
    EXPECT_EQ(apply(event).failure, FailureClass::PrimaryDefect);
    event.payload.mutable_blob_put()->mutable_content()->set_sha256("short");
    EXPECT_EQ(apply(event).failure, FailureClass::Refused);
    protocol::Event foreign;
    foreign.payload.mutable_marker();
    EXPECT_EQ(apply(foreign).failure, FailureClass::Refused);
    EXPECT_FALSE(fs::exists(root / "a"));
    EXPECT_TRUE(staging_is_empty());
}

TEST_F(Blobs, TakePulledContentAndNeverShareAFile) {
    const std::string bytes(1'000'000, 'x');
    const fs::path content = pulled(bytes);
    EXPECT_EQ(apply(put_pulled("a", bytes), content).digest, digest(bytes));
    EXPECT_EQ(apply(put_pulled("b", bytes), content).digest, digest(bytes));
    EXPECT_EQ(tree.stat("a")->inode,
              tree.stat(".antipode/incoming/" + to_hex(sha256(bytes)))->inode);
    EXPECT_NE(tree.stat("a")->inode, tree.stat("b")->inode);
    EXPECT_EQ(test::read_file(root / "b"), bytes);
    fs::remove(content);
    EXPECT_EQ(apply(put_pulled("a", bytes), content).kind, Kind::Unneeded);
    const Result missing = apply(put_pulled("c", bytes), content);
    EXPECT_EQ(missing.failure, FailureClass::Transient);
    EXPECT_EQ(missing.kind, Kind::Failed);
}

TEST_F(Blobs, ThatTakeTheSamePulledFileAtTheSameMomentNeverShareIt) {
    constexpr int rounds = 300;
    const fs::path content = pulled("both want it");
    std::barrier start(2);
    const auto take = [&](const std::string& name) {
        for (int i = 0; i < rounds; ++i) {
            start.arrive_and_wait();
            EXPECT_EQ(apply(put_pulled(name, "both want it"), content).kind, Kind::Applied);
            start.arrive_and_wait();
            if (name == "a") {
                EXPECT_NE(tree.stat("a")->inode, tree.stat("b")->inode) << i;
                fs::remove(root / "a");
                fs::remove(root / "b");
            }
        }
    };
    std::jthread other([&] { take("b"); });
    take("a");
}

TEST_F(Blobs, CopiesOfPulledContentStaySparse) {
    std::string bytes(8'000'000, '\0');
    bytes.replace(3'000'000, 5, "hello");
    const fs::path content = pulled(bytes);
    fs::resize_file(content, 0);
    fs::resize_file(content, bytes.size());
    tree.update(content.lexically_relative(root))->write_at(3'000'000, "hello");
    apply(put_pulled("a", bytes), content);
    EXPECT_EQ(apply(put_pulled("b", bytes), content).digest, digest(bytes));
    struct stat found {};
    ASSERT_EQ(stat((root / "b").c_str(), &found), 0);
    EXPECT_LT(found.st_blocks * 512, 1'000'000);
    EXPECT_EQ(test::read_file(root / "b"), bytes);
}

TEST_F(Blobs, DoNotTakePulledContentThatWasDamaged) {
    const std::string bytes(1000, 'x');
    const fs::path content = pulled(bytes);
    test::write_file(content, std::string(1000, 'y'));
    EXPECT_EQ(apply(put_pulled("a", bytes), content).kind, Kind::Failed);
    EXPECT_FALSE(fs::exists(content));
    EXPECT_FALSE(fs::exists(root / "a"));
    EXPECT_EQ(apply(put_pulled("a", bytes), directory / "elsewhere").kind, Kind::Failed);
    EXPECT_TRUE(staging_is_empty());
}

TEST_F(Blobs, TrustPulledContentAsLongAsItLooksAsWhenItWasChecked) {
    const std::string bytes(1000, 'x');
    const fs::path content = pulled(bytes);
    const auto checked = tree.stat(BlobApply::incoming_name() + "/" + content.filename().string());
    const protocol::Event event = put_pulled("a", bytes);
    const std::vector<ItemTask> tasks = {{&event, content, checked}};
    EXPECT_EQ(lane.apply(tasks, {}).at(0).digest, digest(bytes));
    EXPECT_EQ(test::read_file(root / "a"), bytes);
    fs::remove(root / "a");
    test::write_file(content, std::string(1000, 'y'));
    fs::last_write_time(content, fs::file_time_type::clock::now() + std::chrono::seconds(1));
    EXPECT_EQ(lane.apply(tasks, {}).at(0).kind, Kind::Failed);
    EXPECT_FALSE(fs::exists(root / "a"));
}

TEST_F(Blobs, AFileMakesRoomForADirectory) {
    apply(put("a", "1"));
    EXPECT_EQ(apply(put("a/b", "2")).kind, Kind::Applied);
    EXPECT_EQ(test::read_file(root / "a/b"), "2");
    EXPECT_EQ(apply(removed("a")).kind, Kind::Unneeded);
    EXPECT_EQ(test::read_file(root / "a/b"), "2");
}

TEST_F(Blobs, ADirectoryMakesRoomForAFileOnceItIsEmpty) {
    apply(put("a/b/c", "1"));
    const Result early = apply(put("a", "2"));
    EXPECT_EQ(early.kind, Kind::Failed);
    EXPECT_EQ(early.failure, FailureClass::Transient);
    EXPECT_EQ(test::read_file(root / "a/b/c"), "1");
    const auto together = apply_all({put("a", "2"), removed("a/b/c")});
    EXPECT_EQ(together[0].kind, Kind::Applied);
    EXPECT_EQ(together[1].kind, Kind::Applied);
    EXPECT_EQ(test::read_file(root / "a"), "2");
    fs::create_directories(root / "d/e/f");
    EXPECT_EQ(apply(put("d", "3")).kind, Kind::Applied);
}

TEST_F(Blobs, ComeInLargeBatches) {
    std::vector<protocol::Event> events;
    for (int i = 0; i < 500; ++i) {
        events.push_back(put("d" + std::to_string(i % 20) + "/" + std::to_string(i),
                             std::to_string(i), i % 2 == 0 ? 0600 : 0));
    }
    events.push_back(put("../x", "1"));
    const auto results = apply_all(events);
    for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(results[static_cast<size_t>(i)].kind, Kind::Applied);
        EXPECT_EQ(results[static_cast<size_t>(i)].digest, digest(std::to_string(i)));
    }
    EXPECT_EQ(results[500].failure, FailureClass::Refused);
    EXPECT_EQ(test::read_file(root / "d6/126"), "126");
    EXPECT_EQ(tree.stat("d7/127")->mode, 0u);
    for (const Result& again : apply_all({events.begin(), events.end() - 1})) {
        EXPECT_EQ(again.kind, geteuid() == 0 ? Kind::Unneeded : again.kind);
    }
}

TEST_F(Blobs, LeftoversOfACrashAreRemovedAtStart) {
    fs::create_directories(root / ".antipode/staging");
    test::write_file(root / ".antipode/staging/17", "half");
    apply(put("a", "1"));
    EXPECT_TRUE(staging_is_empty());
}

TEST_F(Blobs, WaitForAMissingRoot) {
    fs::remove(root);
    EXPECT_THROW(apply(put("a", "1")), Error);
    EXPECT_FALSE(fs::exists(root));
    fs::create_directories(root);
    EXPECT_EQ(apply(put("a", "1")).kind, Kind::Applied);
    // As after an unmount.
    fs::rename(root, directory / "unmounted");
    fs::create_directories(root);
    EXPECT_THROW(apply(put("b", "1")), Error);
    EXPECT_TRUE(fs::is_empty(root));
}

TEST_F(Blobs, StopInTheMiddleLeavesNothing) {
    std::stop_source stop;
    stop.request_stop();
    const protocol::Event event = put("a", "1");
    const std::vector<ItemTask> tasks = {{&event, {}}};
    EXPECT_THROW(lane.apply(tasks, stop.get_token()), Stopped);
    EXPECT_TRUE(staging_is_empty());
}

}  // namespace
}  // namespace antipode::secondary
