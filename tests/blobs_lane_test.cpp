// The blobs lane from root to root: real files, inotify, HTTP on loopback; only the stream between
// is played by the test. Trees are compared by find and sha256sum.
#include <algorithm>
#include <array>
#include <deque>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "secondary/blobs/apply.hpp"
#include "secondary/content.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

namespace fs = std::filesystem;
using Kind = secondary::Result::Kind;

const StoreId uploads{StoreKind::Blobs, "uploads"};

std::string every_byte() {
    std::string name;
    for (int byte = 1; byte < 256; ++byte) {
        if (byte != '/') {
            name += static_cast<char>(byte);
        }
    }
    return name;
}

/// Serves a file like BlobBulk, and cuts the transfer after some bytes.
class CuttingBulk final : public BulkHandler {
  public:
    explicit CuttingBulk(FileTree& tree) : real_(tree, {}) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        auto body = real_.open(request);
        ++requests;
        return body ? std::make_unique<Body>(std::move(body), cut_after) : nullptr;
    }
    uint64_t cut_after = UINT64_MAX;
    std::atomic<int> requests = 0;

  private:
    class Body final : public BulkBody {
      public:
        Body(std::unique_ptr<BulkBody> real, uint64_t left) : real_(std::move(real)), left_(left) {}
        std::optional<uint64_t> size() const override { return real_->size(); }
        void seek(uint64_t offset) override { real_->seek(offset); }
        size_t read(std::span<char> buffer) override {
            if (left_ == 0) {
                throw Error(Reaction::Retry, "cut by the test");
            }
            const size_t count = real_->read(buffer.first(std::min(left_, buffer.size())));
            left_ -= count;
            return count;
        }

      private:
        std::unique_ptr<BulkBody> real_;
        uint64_t left_;
    };
    primary::BlobBulk real_;
};

struct Sent {
    protocol::Event event;
    Digest digest;
};

class BlobsLane : public testing::Test {
  protected:
    void SetUp() override {
        fs::create_directories(london);
        fs::create_directories(sydney);
        server.bulk(uploads, bulk);
        server.start();
    }

    void write(const std::string& path, const std::string& bytes) {
        fs::create_directories((london / path).parent_path());
        test::write_file(london / path, bytes);
    }

    /// Reads one item as a capture worker does, and records it as the publisher does.
    std::optional<Sent> capture(const std::string& item, bool whole = false) {
        auto reading = lane.read(item, whole, {});
        if (!reading) {
            return std::nullopt;
        }
        const std::vector<primary::Inventory::Record> records = {
            {uploads, item, reading->published, {1, 1, ++number}}};
        inventory.record(records);
        Sent sent;
        // Over the wire.
        sent.event.payload.ParseFromString(reading->payload.SerializeAsString());
        sent.event.store = uploads;
        sent.digest = reading->published.digest;
        return sent;
    }
    std::vector<Sent> capture_all(const primary::Noticed& noticed) {
        std::vector<Sent> sent;
        for (const auto* names : {&noticed.changed, &noticed.removed}) {
            for (const std::string& item : *names) {
                if (auto event = capture(item); event && !event->event.payload.has_unchanged()) {
                    sent.push_back(std::move(*event));
                }
            }
        }
        return sent;
    }

    /// What the relay and the receiver do. Superseded content is skipped: a later event comes.
    void deliver(const std::vector<Sent>& sent) {
        std::vector<secondary::ItemTask> tasks;
        std::vector<const Sent*> sources;
        for (const Sent& next : sent) {
            secondary::ItemTask task{&next.event, {}};
            const v1::Content& content = next.event.payload.blob_put().content();
            if (content.has_pull()) {
                const auto outcome = contents.fetch(content, source, {});
                if (std::holds_alternative<secondary::ContentStore::Gone>(outcome)) {
                    ++superseded;
                    continue;
                }
                task.content = std::get<secondary::ContentStore::Here>(outcome).path;
            }
            tasks.push_back(task);
            sources.push_back(&next);
        }
        const auto results = mirror.apply(tasks, {});
        std::vector<Sent> again;
        for (size_t i = 0; i < results.size(); ++i) {
            const secondary::Result& result = results[i];
            const v1::Payload& payload = sources[i]->event.payload;
            if (result.kind == Kind::NeedsWhole) {
                again.push_back(capture(payload.blob_put().path(), true).value());
                continue;
            }
            EXPECT_NE(result.kind, Kind::Failed) << result.reason;
            EXPECT_EQ(result.digest.to_string(), sources[i]->digest.to_string());
            if (const auto hash = sha256_from_bytes(payload.blob_put().content().sha256())) {
                contents.discard(*hash);
            }
        }
        if (!again.empty()) {
            deliver(again);
        }
    }
    void follow() {
        const primary::Noticed noticed = lane.drain();
        EXPECT_TRUE(noticed.complete);
        deliver(capture_all(noticed));
    }
    void reconcile() {
        const primary::Noticed noticed = lane.reconcile({});
        EXPECT_TRUE(noticed.complete);
        deliver(capture_all(noticed));
    }

    static std::string tree_of(const fs::path& root) {
        const test::Process::Options options{.log = {}, .directory = root, .environment = {}};
        return test::must_run(
            {"sh", "-c",
             "find . -path ./.antipode -prune -o -type f -printf '%p %m %s %T@\\0' | sort -z; "
             "find . -path ./.antipode -prune -o -type f -print0 | sort -z | "
             "xargs -0 -r sha256sum"},
            {}, options);
    }
    void expect_equal() { EXPECT_EQ(tree_of(london), tree_of(sydney)); }

    const test::TemporaryDirectory directory;
    const fs::path london = directory.path() / "london";
    const fs::path sydney = directory.path() / "sydney";
    SystemClock clock;
    files::PosixTree london_tree{london};
    files::InotifyWatch watch{london, clock};
    primary::Inventory inventory{""};
    primary::BlobCapture lane{uploads, london_tree, watch, inventory, clock, {}};
    std::shared_ptr<CuttingBulk> bulk = std::make_shared<CuttingBulk>(london_tree);
    http::HttpServer server{{}};
    http::HttpBulkSource source{
        {.url = "http://127.0.0.1:" + std::to_string(server.port()), .token = {}}};
    files::PosixTree sydney_tree{sydney};
    secondary::ContentStore contents{uploads, sydney_tree, secondary::BlobApply::incoming_name()};
    secondary::BlobApply mirror{uploads, sydney_tree};
    uint64_t number = 0;
    int superseded = 0;
};

TEST_F(BlobsLane, MirrorsWhatWasThereBefore) {
    write("a", "1");
    write("empty", "");
    write("d/" + every_byte().substr(0, 127) + "/" + every_byte().substr(127), "odd");
    write("large", std::string(3'000'000, 'x'));
    reconcile();
    expect_equal();
    EXPECT_EQ(lane.reconcile({}).removed.size(), 0u);
}

TEST_F(BlobsLane, FollowsEveryKindOfChange) {
    reconcile();
    write("a", "1");
    write("b/c/d", "2");
    write("b/e", "3");
    follow();
    expect_equal();
    write("a", "replaced");
    std::ofstream(london / "b/e", std::ios::app) << "appended";
    ASSERT_EQ(truncate((london / "b/c/d").c_str(), 0), 0);
    follow();
    expect_equal();
    fs::rename(london / "a", london / "A");
    fs::rename(london / "b", london / "B");
    write("a/now a directory", "4");
    follow();
    expect_equal();
    fs::remove_all(london / "a");
    write("a", "a file again");
    fs::remove_all(london / "B/c");
    follow();
    expect_equal();
    EXPECT_FALSE(fs::exists(sydney / "B/c"));
    // Without any permission only root can read it, and compare it.
    const mode_t least = geteuid() == 0 ? 0 : 0400;
    ASSERT_EQ(chmod((london / "A").c_str(), least), 0);
    follow();
    expect_equal();
    EXPECT_EQ(sydney_tree.stat("A")->mode, least);
    const std::array<timespec, 2> times = {timespec{1, 2}, timespec{-3, 4}};
    ASSERT_EQ(utimensat(AT_FDCWD, (london / "A").c_str(), times.data(), 0), 0);
    follow();
    expect_equal();
    fs::remove_all(london / "B");
    fs::remove(london / "A");
    fs::remove(london / "a");
    follow();
    expect_equal();
    EXPECT_EQ(tree_of(sydney), "");
}

TEST_F(BlobsLane, MirrorsSparseAndHardLinkedFiles) {
    reconcile();
    write("sparse", "");
    ASSERT_EQ(truncate((london / "sparse").c_str(), 5'000'000), 0);
    write("one", "same");
    fs::create_hard_link(london / "one", london / "two");
    follow();
    expect_equal();
    // In one directory both names are noticed by the one that was written; elsewhere the
    // reconcile finds the other.
    std::ofstream(london / "one", std::ios::app) << "!";
    follow();
    reconcile();
    expect_equal();
}

TEST_F(BlobsLane, MissesNoneOfManyFilesInNewDirectories) {
    reconcile();
    constexpr int files_made = 3000;
    std::atomic<bool> done = false;
    std::jthread writer([&] {
        for (int i = 0; i < files_made; ++i) {
            write("d" + std::to_string(i % 11) + "/" + std::to_string(i % 97) + "/" +
                      std::to_string(i),
                  std::to_string(i));
        }
        done = true;
    });
    bool last = false;
    while (!last) {
        last = done;
        follow();
    }
    expect_equal();
    const auto listed = test::must_run({"find", sydney.string(), "-type", "f", "-printf", "x"});
    EXPECT_EQ(listed.size(), static_cast<size_t>(files_made));
}

TEST_F(BlobsLane, MirrorsManyFilesInOneDirectory) {
    // A million: scripts/bench blobs --only idle. An ext4 without a journal makes files slowly for
    // minutes after many were deleted, as by the run before.
    constexpr int files_made = 5000;
    for (int i = 0; i < files_made; ++i) {
        write("one/" + std::to_string(i), std::to_string(i));
    }
    reconcile();
    expect_equal();
    EXPECT_EQ(inventory.count(uploads), static_cast<uint64_t>(files_made));
    // One that was read right after it was written is read once more; then none is.
    reconcile();
    EXPECT_TRUE(lane.reconcile({}).changed.empty());
    lane.drain();
    write("one/777", "changed");
    fs::remove(london / "one/778");
    const primary::Noticed noticed = lane.drain();
    EXPECT_EQ(noticed.changed, std::vector<std::string>{"one/777"});
    EXPECT_EQ(noticed.removed, std::vector<std::string>{"one/778"});
    deliver(capture_all(noticed));
    expect_equal();
}

TEST_F(BlobsLane, FindsByReconcileWhatAnOverflowLost) {
    write("a", "1");
    write("b", "1");
    reconcile();
    lane.drain();
    for (int i = 0; i < 9000; ++i) {
        utimensat(AT_FDCWD, (london / "a").c_str(), nullptr, 0);
        utimensat(AT_FDCWD, (london / "b").c_str(), nullptr, 0);
    }
    write("lost/in/the/noise", "1");
    fs::remove(london / "b");
    EXPECT_FALSE(lane.drain().complete);
    reconcile();
    expect_equal();
    // And the directories that were missed are watched again.
    write("lost/in/the/second", "1");
    follow();
    expect_equal();
}

TEST_F(BlobsLane, ResumesAnInterruptedPull) {
    std::string bytes;
    std::minstd_rand random(7);
    while (bytes.size() < 4'000'000) {
        bytes += static_cast<char>(random());
    }
    reconcile();
    write("large", bytes);
    const auto sent = capture_all(lane.drain());
    bulk->cut_after = 1'500'000;
    EXPECT_THROW(deliver(sent), Error);
    EXPECT_THROW(deliver(sent), Error);
    EXPECT_FALSE(fs::exists(sydney / "large"));
    const auto part = sydney / ".antipode/incoming" / (to_hex(sha256(bytes)) + ".part");
    EXPECT_GT(fs::file_size(part), 1'500'000u);
    deliver(sent);
    EXPECT_EQ(bulk->requests, 3);
    expect_equal();
    EXPECT_TRUE(fs::is_empty(sydney / ".antipode/incoming"));
}

TEST_F(BlobsLane, ContentThatWasSupersededIsFollowedByTheNext) {
    reconcile();
    write("large", std::string(1'000'000, 'a'));
    const auto first = capture_all(lane.drain());
    write("large", std::string(1'000'000, 'b'));
    const auto second = capture_all(lane.drain());
    write("large", std::string(700'000, 'c'));
    const auto third = capture_all(lane.drain());
    deliver(first);
    deliver(second);
    EXPECT_EQ(superseded, 2);
    deliver(third);
    expect_equal();
    EXPECT_TRUE(fs::is_empty(sydney / ".antipode/incoming"));
}

TEST_F(BlobsLane, ALargeFileThatIsAppendedToIsCapturedAllTheSame) {
    reconcile();
    write("log", std::string(500'000, 'a'));
    const auto first = capture_all(lane.drain());
    std::ofstream(london / "log", std::ios::app) << "more";
    deliver(first);
    EXPECT_EQ(superseded, 0);
    EXPECT_EQ(fs::file_size(sydney / "log"), 500'000u);
    follow();
    expect_equal();
}

TEST_F(BlobsLane, RepeatedAndReorderedEventsEndEqual) {
    reconcile();
    std::minstd_rand random(11);
    std::vector<Sent> history;
    for (int round = 0; round < 30; ++round) {
        for (int change = 0; change < 5; ++change) {
            const std::string path =
                "d" + std::to_string(random() % 3) + "/" + std::to_string(random() % 6);
            if (random() % 4 == 0) {
                fs::remove(london / path);
            } else {
                write(path, std::string(random() % 400'000, static_cast<char>(random())));
            }
        }
        auto sent = capture_all(lane.drain());
        // Events of different items may be applied in any order.
        std::shuffle(sent.begin(), sent.end(), random);
        deliver(sent);
        deliver(sent);
        history.insert(history.end(), sent.begin(), sent.end());
    }
    expect_equal();
    // All of it again, as after a crash before anything was recorded: content that was superseded
    // since then is gone, and the newest event of each item comes last.
    for (const Sent& sent : history) {
        deliver({sent});
    }
    expect_equal();
}

TEST_F(BlobsLane, APrimaryThatForgotPublishesEverythingAgain) {
    write("a", "1");
    write("b", "2");
    write("large", std::string(400'000, 'x'));
    reconcile();
    fs::remove(london / "b");
    inventory.forget_after({});
    reconcile();
    expect_equal();
}

TEST_F(BlobsLane, WhatAMirrorMakesIsTheOwnersFromTheFirstMomentOn) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root may give files away";
    }
    files::PosixTree given(sydney, FileOwner{12345, 12346});
    secondary::BlobApply owned{uploads, given};
    secondary::ContentStore pulled{uploads, given, secondary::BlobApply::incoming_name()};
    write("a", "1");
    write("d/e/large", std::string(400'000, 'x'));
    write("d/secret", "2");
    ASSERT_EQ(chmod((london / "d/secret").c_str(), 0600), 0);
    const auto sent = capture_all(lane.reconcile({}));
    for (const Sent& next : sent) {
        secondary::ItemTask task{&next.event, {}};
        const v1::Content& content = next.event.payload.blob_put().content();
        if (content.has_pull()) {
            const auto outcome = pulled.fetch(content, source, {});
            task.content = std::get<secondary::ContentStore::Here>(outcome).path;
        }
        EXPECT_EQ(owned.apply(std::span(&task, 1), {}).front().kind, Kind::Applied);
    }
    expect_equal();
    EXPECT_EQ(test::must_run({"find", sydney.string(), "-mindepth", "1", "!", "(", "-uid", "12345",
                              "-gid", "12346", ")"}),
              "");
}

TEST_F(BlobsLane, AMetadataEventForContentThatIsNotThereBringsItWhole) {
    write("a", "1");
    reconcile();
    fs::remove(sydney / "a");
    ASSERT_EQ(chmod((london / "a").c_str(), 0600), 0);
    follow();
    expect_equal();
}

}  // namespace
}  // namespace antipode
