// A bucket as a tree of files, against a server that checks everything and breaks on demand.
#include <algorithm>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "adapters/s3/bucket_tree.hpp"
#include "adapters/s3/notifications.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "primary/blobs/capture.hpp"
#include "tests/support/s3_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string random_bytes(size_t size) {
    std::mt19937_64 random(size);
    std::string bytes(size, '\0');
    for (char& c : bytes) {
        c = static_cast<char>(random());
    }
    return bytes;
}

std::string digest_line(const std::string& bytes) {
    return to_hex(sha256(bytes)) + " " + std::to_string(bytes.size());
}

class S3Bucket : public testing::Test {
  protected:
    /// What one run of the daemon has.
    struct Site {
        Site(const Client::Options& options, const Clock& clock, FileTree& local,
             const std::string& prefix = {})
            : client(options, clock), tree(Bucket(client), prefix, local) {
            local.make_directory(".antipode");
            local.make_directory(".antipode/staging");
        }
        Client client;
        BucketTree tree;
    };

    Client::Options options() const {
        return {.endpoint = server.endpoint(),
                .bucket = test::S3Server::bucket(),
                .credentials_file = server.credentials_file(),
                .stall = std::chrono::seconds(1)};
    }
    void stage(Site& at, const std::string& bytes, uint32_t mode = 0640,
               int64_t mtime_ns = 1'234'567'890'123'456'789) {
        const auto writer = at.tree.create(staged);
        writer->write(bytes);
        writer->set_metadata(mode, mtime_ns);
        writer->sync();
    }
    FileTree::Placed upload(Site& at, const std::string& name, const std::string& bytes) {
        stage(at, bytes);
        return at.tree.rename(staged, name);
    }
    static std::string read(FileTree& tree, const std::string& name) {
        const auto file = tree.open(name);
        std::string bytes;
        if (file) {
            for_each_chunk(*file, 0, [&](std::string_view chunk) {
                bytes += chunk;
                return true;
            });
        }
        return bytes;
    }
    static std::string error_of(const std::function<void()>& body) {
        try {
            body();
        } catch (const Error& error) {
            return error.describe();
        }
        return "no error";
    }
    std::string secret() const {
        return Credentials::load(server.credentials_file()).secret_access_key;
    }

    const std::string staged = ".antipode/staging/1";
    test::TemporaryDirectory directory;
    test::S3Server server{directory / "server", {.page = 3}};
    SystemClock clock;
    files::PosixTree local{directory.path()};
    Site site{options(), clock, local};
};

TEST_F(S3Bucket, AListingSaysWhatAnObjectsOwnStatSays) {
    std::vector<std::string> names = {"a", "a-b", "a/b", "a/b/c", "a0", "\xc3\xa9/ +%&", "z~"};
    for (const std::string& name : names) {
        server.put(name, "content of " + name, 1'700'000'000);
    }
    server.requests();
    const auto listing = site.tree.list_all();
    std::vector<std::string> listed;
    std::map<std::string, FileStat> stats;
    while (const auto entry = listing->next()) {
        listed.push_back(entry->path);
        stats[entry->path] = entry->stat;
    }
    const auto requests = server.requests();
    EXPECT_EQ(requests, (std::map<std::string, int>{{"GET?list-type", 3}}));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(listed, names);
    for (const std::string& name : names) {
        EXPECT_EQ(site.tree.stat(name), stats[name]) << name;
        EXPECT_EQ(site.tree.open(name)->stat(), stats[name]) << name;
        EXPECT_EQ(stats[name].mtime_ns, 1'700'000'000'000'000'000);
        EXPECT_EQ(read(site.tree, name), "content of " + name);
    }
    EXPECT_EQ(site.tree.stat("nothing"), std::nullopt);
    EXPECT_EQ(site.tree.open("nothing"), nullptr);
}

TEST_F(S3Bucket, ADirectoryIsWhatKeysHaveInCommon) {
    for (const char* key :
         {"top", "d/", "d/a", "d/e/b", "d/e/c", "d/f/g", "d/h", "d/i", "other/x"}) {
        server.put(key, key);
    }
    const auto names = [&](const std::string& path) {
        std::vector<std::string> found;
        const auto entries = site.tree.list(path).value();
        for (const auto& entry : entries) {
            const bool is_directory = entry.stat.type == FileType::Directory;
            found.push_back(entry.name + (is_directory ? "/" : ""));
        }
        std::sort(found.begin(), found.end());
        return found;
    };
    EXPECT_THAT(names(""), testing::ElementsAre("d/", "other/", "top"));
    EXPECT_THAT(names("d"), testing::ElementsAre("a", "e/", "f/", "h", "i"));
    EXPECT_EQ(site.tree.list("nothing"), std::nullopt);
}

TEST_F(S3Bucket, APrefixIsTheWholeWorld) {
    Site below(options(), clock, local, "p/");
    server.put("p/a", "1");
    server.put("q", "2");
    EXPECT_EQ(below.tree.list_all()->next()->path, "a");
    EXPECT_EQ(read(below.tree, "a"), "1");
    EXPECT_EQ(below.tree.stat("q"), std::nullopt);
    EXPECT_EQ(upload(below, "new", "3"), FileTree::Placed::Yes);
    EXPECT_TRUE(server.objects().contains("p/new"));
}

TEST_F(S3Bucket, ALargeObjectIsReadThroughEveryTrouble) {
    const std::string bytes = random_bytes(20'000'000);
    server.put("large", bytes);
    server.add_fault(R"({"kind": "cut", "method": "GET", "match": "large", "after": 100000})");
    server.add_fault(R"({"kind": "503", "method": "GET", "match": "large", "count": 2})");
    server.add_fault(R"({"kind": "slow", "method": "GET", "match": "large", "after": 3000000})");
    server.add_fault(R"({"kind": "reset", "method": "GET", "match": "large"})");
    server.add_fault(R"({"kind": "cut", "method": "GET", "match": "large", "after": 7000000})");
    EXPECT_TRUE(read(site.tree, "large") == bytes);
    EXPECT_EQ(server.faults_left(), 0);
    // What came before a cut is not asked for again, and anywhere is a place to begin.
    const auto file = site.tree.open("large");
    std::string part(1'000'000, '\0');
    EXPECT_EQ(file->read_at(bytes.size() - 500'000, part), 500'000u);
    EXPECT_TRUE(part.substr(0, 500'000) == bytes.substr(bytes.size() - 500'000));
}

TEST_F(S3Bucket, TwoVersionsAreNeverMixed) {
    server.put("a", std::string(1'000'000, '1'));
    const auto file = site.tree.open("a");
    server.put("a", std::string(1'000'000, '2'));
    EXPECT_THAT(error_of([&] { hash_file(*file, {}); }), HasSubstr("was replaced while it was"));
    const auto other = site.tree.open("a");
    server.remove("a");
    EXPECT_THAT(error_of([&] { hash_file(*other, {}); }), HasSubstr("was replaced while it was"));
}

TEST_F(S3Bucket, AnotherVersionShowsEvenInTheSameSecond) {
    server.put("a", "1", 1'700'000'000);
    const FileStat first = site.tree.stat("a").value();
    server.put("a", "2", 1'700'000'000);
    EXPECT_NE(site.tree.stat("a").value(), first);
}

TEST_F(S3Bucket, AStagedFileBecomesAnObjectWithItsModeAndTime) {
    EXPECT_EQ(upload(site, "d/\xc3\xa9 +", "content"), FileTree::Placed::Yes);
    EXPECT_EQ(server.objects(),
              (std::map<std::string, std::string>{{"d/\xc3\xa9 +", digest_line("content")}}));
    EXPECT_EQ(local.stat(staged), std::nullopt);
    const auto file = site.tree.open("d/\xc3\xa9 +");
    EXPECT_EQ(file->metadata(file->stat()), (FileMetadata{0640, 1'234'567'890'123'456'789}));
    EXPECT_EQ(upload(site, "empty", ""), FileTree::Placed::Yes);
    EXPECT_EQ(read(site.tree, "empty"), "");
    EXPECT_EQ(site.tree.open("empty")->stat().size, 0u);
    EXPECT_EQ(site.tree.rename(staged, "d"), FileTree::Placed::SourceMissing);
    // Another program's has none: it is a usual file of that time.
    server.put("theirs", "x", 1'700'000'000);
    const auto theirs = site.tree.open("theirs");
    EXPECT_EQ(theirs->metadata(theirs->stat()), (FileMetadata{0644, 1'700'000'000'000'000'000}));
    EXPECT_TRUE(site.tree.remove("theirs"));
    EXPECT_EQ(site.tree.stat("theirs"), std::nullopt);
}

TEST_F(S3Bucket, MetadataAreSetWithoutTheContent) {
    upload(site, "a", "content");
    server.requests();
    site.tree.open_for_metadata("a")->set_metadata(0640, 1'234'567'890'123'456'789);
    EXPECT_EQ(server.requests(), (std::map<std::string, int>{{"HEAD", 1}}));
    site.tree.open_for_metadata("a")->set_metadata(0600, 5);
    const auto file = site.tree.open("a");
    EXPECT_EQ(file->metadata(file->stat()), (FileMetadata{0600, 5}));
    EXPECT_EQ(read(site.tree, "a"), "content");
    EXPECT_EQ(site.tree.open_for_metadata("nothing"), nullptr);
}

TEST_F(S3Bucket, AnUploadIsTriedAgainAndDoneOnce) {
    for (const char* kind : {"503", "500", "500-after", "reset"}) {
        server.add_fault(std::string(R"({"kind": ")") + kind + R"(", "method": "PUT"})");
    }
    EXPECT_EQ(upload(site, "a", "content"), FileTree::Placed::Yes);
    EXPECT_EQ(server.faults_left(), 0);
    EXPECT_EQ(server.objects(),
              (std::map<std::string, std::string>{{"a", digest_line("content")}}));
}

TEST_F(S3Bucket, ALargeFileIsUploadedInPartsThroughEveryTrouble) {
    const std::string bytes = random_bytes(70'000'000);
    server.add_fault(R"({"kind": "reset", "method": "PUT", "match": "partNumber=2"})");
    server.add_fault(R"({"kind": "500-after", "method": "PUT", "match": "partNumber=3"})");
    server.add_fault(R"({"kind": "500-after", "method": "POST", "match": "uploads"})");
    server.add_fault(R"({"kind": "500-after", "method": "POST", "match": "uploadId"})");
    EXPECT_EQ(upload(site, "large", bytes), FileTree::Placed::Yes);
    EXPECT_EQ(server.faults_left(), 0);
    EXPECT_EQ(server.objects().at("large"), digest_line(bytes));
    EXPECT_THAT(server.object(".large.etag"), testing::EndsWith("-5"));
    EXPECT_EQ(server.uploads(), std::pair(0, 0));
    EXPECT_THAT(local.list(".antipode/uploads").value(), testing::IsEmpty());
    const auto file = site.tree.open("large");
    EXPECT_EQ(file->metadata(file->stat()).mode, 0640u);
}

TEST_F(S3Bucket, AnUploadThatIsGivenUpLeavesNothing) {
    server.add_fault(R"({"kind": "403", "method": "PUT", "match": "partNumber=4"})");
    EXPECT_THAT(error_of([&] { upload(site, "large", random_bytes(70'000'000)); }),
                HasSubstr("AccessDenied"));
    EXPECT_TRUE(server.objects().empty());
    EXPECT_EQ(server.uploads(), std::pair(0, 0));
    EXPECT_THAT(local.list(".antipode/uploads").value(), testing::IsEmpty());
}

TEST_F(S3Bucket, WhatAnEarlierRunLeftOfAnUploadIsEnded) {
    server.set_hold(true);
    server.add_fault(R"({"kind": "hold", "method": "PUT", "match": "partNumber=3"})");
    std::thread killed(
        [&] { EXPECT_THROW(upload(site, "large", random_bytes(70'000'000)), Stopped); });
    EXPECT_TRUE(test::eventually([&] { return server.uploads() == std::pair(1, 2); }));
    site.client.interrupt();
    killed.join();
    server.set_hold(false);
    EXPECT_EQ(server.uploads().first, 1);
    EXPECT_TRUE(server.objects().empty());
    Site next(options(), clock, local);
    EXPECT_EQ(upload(next, "small", "1"), FileTree::Placed::Yes);
    EXPECT_TRUE(test::eventually([&] { return server.uploads() == std::pair(0, 0); }));
    EXPECT_THAT(local.list(".antipode/uploads").value(), testing::IsEmpty());
}

TEST_F(S3Bucket, AMissingBucketIsNotAnEmptyOne) {
    server.put("a", "1");
    server.set_exists(false);
    for (const std::function<void()>& look : std::vector<std::function<void()>>{
             [&] { site.tree.stat("a"); }, [&] { site.tree.list(""); },
             [&] { site.tree.open("a"); }, [&] { site.tree.list_all()->next(); },
             [&] { site.tree.remove("a"); }}) {
        EXPECT_THAT(error_of(look),
                    testing::AllOf(HasSubstr("NoSuchBucket"), HasSubstr("Try: create the bucket")));
    }
}

TEST_F(S3Bucket, ErrorsNameTheRemedyAndNoSecret) {
    server.put("a", "1");
    ManualClock wrong_clock;
    Site skewed(options(), wrong_clock, local);
    EXPECT_THAT(error_of([&] { skewed.tree.list(""); }), HasSubstr("timedatectl"));

    Client::Options other = options();
    other.credentials_file = directory / "stale";
    const std::string right = test::read_file(server.credentials_file());
    test::write_file(other.credentials_file, right + "secret_access_key = another secret\n");
    std::filesystem::permissions(other.credentials_file, std::filesystem::perms(0600));
    Site stranger(other, clock, local);
    const std::string refused = error_of([&] { stranger.tree.list(""); });
    EXPECT_THAT(refused, HasSubstr("SignatureDoesNotMatch"));
    EXPECT_THAT(refused, HasSubstr("Try: mend the key and secret"));
    EXPECT_THAT(refused, Not(HasSubstr("another secret")));
    // Mended in place, it is read again.
    test::write_file(other.credentials_file, right);
    EXPECT_EQ(error_of([&] { stranger.tree.list(""); }), "no error");

    other = options();
    other.region = "eu-1";
    Site elsewhere(other, clock, local);
    EXPECT_THAT(error_of([&] { elsewhere.tree.list(""); }),
                HasSubstr("Try: mend blobs.endpoint and blobs.region"));

    server.add_fault(R"({"kind": "403"})");
    const std::string forbidden = error_of([&] { site.tree.stat("a"); });
    EXPECT_THAT(forbidden, HasSubstr("Try: let the key in blobs.credentials_file"));
    EXPECT_THAT(forbidden, HasSubstr("the bucket lfs at " + server.endpoint()));
    EXPECT_THAT(forbidden, Not(HasSubstr(secret())));

    server.add_fault(R"({"kind": "503", "count": 5})");
    EXPECT_THAT(error_of([&] { site.tree.list(""); }), HasSubstr("SlowDown"));
    EXPECT_EQ(server.faults_left(), 0);

    server.kill();
    EXPECT_THAT(error_of([&] { site.tree.stat("a"); }), HasSubstr("Try: check that the server"));
}

TEST_F(S3Bucket, AServerThatNobodyVouchesForIsNotTalkedTo) {
    test::S3Server stranger(directory / "stranger", {.tls = true});
    stranger.put("a", "1");
    Client::Options over_tls = options();
    over_tls.endpoint = stranger.endpoint();
    Site refused(over_tls, clock, local);
    EXPECT_THAT(error_of([&] { refused.tree.stat("a"); }), HasSubstr("certificate"));
    EXPECT_THAT(stranger.requests(), testing::IsEmpty());
}

TEST_F(S3Bucket, TheServersNameMayHoldTheBuckets) {
    Client::Options virtual_host = options();
    virtual_host.path_style = false;
    // lfs.localhost is this machine, as curl knows by itself (RFC 6761).
    virtual_host.endpoint =
        "http://localhost" + server.endpoint().substr(server.endpoint().rfind(':'));
    Site other(virtual_host, clock, local);
    server.put("d/a", "1");
    EXPECT_EQ(read(other.tree, "d/a"), "1");
    EXPECT_EQ(upload(other, "b", "2"), FileTree::Placed::Yes);
    other.tree.open_for_metadata("b")->set_metadata(0600, 5);
    EXPECT_EQ(other.tree.list("").value().size(), 2u);
}

TEST_F(S3Bucket, OurOwnDirectoryIsNotInTheBucket) {
    upload(site, "a", "1");
    EXPECT_TRUE(site.tree.stat(".antipode/staging"));
    EXPECT_TRUE(site.tree.make_directory("d"));
    site.tree.sync_directory("");
    site.tree.sync_directory("d");
    site.tree.barrier()->sync();
    EXPECT_FALSE(site.tree.remove_directory("d"));
    EXPECT_THROW(site.tree.create("b"), Error);
    EXPECT_EQ(server.objects().size(), 1u);
}

const StoreId lfs{StoreKind::Blobs, "lfs"};

TEST_F(S3Bucket, ACaptureComparesByListingAlone) {
    const std::vector<std::string> good = {"a", "a-b", "a/b", "d/e/f", "z"};
    for (const std::string& key : good) {
        server.put(key, key);
    }
    // Another program's marker of a directory, and what is no path.
    for (const char* key : {"d/", "/absolute", "a//b", "../up", "d/./e", "excluded.tmp"}) {
        server.put(key, "x");
    }
    primary::Inventory inventory("");
    Notifications notifications;
    primary::BlobCapture capture(lfs, site.tree, notifications, inventory, clock,
                                 primary::PathFilter({"*.tmp"}));
    server.requests();
    EXPECT_EQ(capture.reconcile({}).changed, good);
    EXPECT_EQ(server.requests(), (std::map<std::string, int>{{"GET?list-type", 4}}));
    EXPECT_EQ(capture.skipped().unusable_names, 5u);
    for (const std::string& key : good) {
        const auto reading = capture.read(key, false, {});
        ASSERT_TRUE(reading);
        EXPECT_EQ(reading->payload.blob_put().content().inline_(), key);
        inventory.record(
            std::vector<primary::Inventory::Record>{{lfs, key, reading->published, {1, 1, 1}}});
    }
    server.requests();
    const primary::Noticed same = capture.reconcile({});
    EXPECT_TRUE(same.complete);
    EXPECT_THAT(same.changed, testing::IsEmpty());
    EXPECT_THAT(same.removed, testing::IsEmpty());
    EXPECT_EQ(server.requests(), (std::map<std::string, int>{{"GET?list-type", 4}}));
    // As when this site becomes the primary.
    for (const std::string& key : good) {
        const auto assumed = capture.assume(key, inventory.find(lfs, key)->digest);
        ASSERT_TRUE(assumed);
        inventory.record(std::vector<primary::Inventory::Record>{{lfs, key, *assumed, {1, 1, 1}}});
    }
    EXPECT_EQ(capture.assume("zz", {}), std::nullopt);
    EXPECT_EQ(server.requests(), (std::map<std::string, int>{{"GET?list-type", 4}}));
    server.put("a-b", "again");
    server.remove("d/e/f");
    const primary::Noticed changed = capture.reconcile({});
    EXPECT_THAT(changed.changed, testing::ElementsAre("a-b"));
    EXPECT_THAT(changed.removed, testing::ElementsAre("d/e/f"));
}

TEST_F(S3Bucket, ManyThatAreGoneCostOneMoreListing) {
    primary::Inventory inventory("");
    Notifications notifications;
    primary::BlobCapture capture(lfs, site.tree, notifications, inventory, clock, {});
    server.put("b", "1");
    server.put("there after all", "1");
    capture.reconcile({});
    std::vector<primary::Inventory::Record> records;
    std::vector<std::string> gone;
    for (int i = 100; i < 250; ++i) {
        gone.push_back("d/" + std::to_string(i));
        records.push_back(
            {lfs, gone.back(), {primary::BlobState{}.encode(), {"blob-1", "x"}}, {1, 1, 1}});
    }
    inventory.record(records);
    server.requests();
    EXPECT_EQ(capture.reconcile({}).removed, gone);
    EXPECT_EQ(server.requests(), (std::map<std::string, int>{{"GET?list-type", 2}}));
}

TEST_F(S3Bucket, WhoMustNotWaitDoesNotLook) {
    server.put("a", "1");
    primary::Inventory inventory("");
    Notifications notifications;
    primary::BlobCapture capture(lfs, site.tree, notifications, inventory, clock, {});
    capture.reconcile({});
    server.requests();
    notifications.add({"a", "gone", "../up"});
    const primary::Noticed noticed = capture.drain();
    EXPECT_THAT(noticed.changed, testing::ElementsAre("a", "gone"));
    EXPECT_TRUE(noticed.complete);
    EXPECT_THAT(server.requests(), testing::IsEmpty());
    EXPECT_FALSE(capture.read("gone", false, {}));
    EXPECT_FALSE(capture.notices_everything());
}

TEST_F(S3Bucket, ABrokenListingRemovesNothingAndAnEmptyOneIsTold) {
    for (const char* key : {"a", "b", "c", "d", "e"}) {
        server.put(key, key);
    }
    primary::Inventory inventory("");
    Notifications notifications;
    primary::BlobCapture capture(lfs, site.tree, notifications, inventory, clock, {});
    for (const std::string& key : capture.reconcile({}).changed) {
        inventory.record(std::vector<primary::Inventory::Record>{
            {lfs, key, capture.read(key, false, {})->published, {1, 1, 1}}});
    }
    server.add_fault(R"({"kind": "403", "match": "continuation-token"})");
    EXPECT_THAT(error_of([&] { capture.reconcile({}); }), HasSubstr("AccessDenied"));
    server.remove_all();
    const primary::Noticed removed = capture.reconcile({});
    EXPECT_EQ(removed.removed.size(), 5u);
    EXPECT_FALSE(removed.emptied) << "it is the bucket that was compared last";
    // After a restart it may be another one.
    primary::BlobCapture next(lfs, site.tree, notifications, inventory, clock, {});
    EXPECT_TRUE(next.reconcile({}).emptied);
    server.set_exists(false);
    EXPECT_THAT(error_of([&] { capture.reconcile({}); }), HasSubstr("NoSuchBucket"));
    EXPECT_THAT(error_of([&] { capture.read("a", false, {}); }), HasSubstr("NoSuchBucket"));
}

}  // namespace
}  // namespace antipode::s3
