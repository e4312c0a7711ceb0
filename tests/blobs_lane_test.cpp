#include "tests/blobs_lane.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

namespace antipode::test {
namespace {

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
    const auto listed = must_run({"find", sydney.string(), "-type", "f", "-printf", "x"});
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
    EXPECT_EQ(must_run({"find", sydney.string(), "-mindepth", "1", "!", "-path", "*/.antipode*",
                        "!", "(", "-uid", "12345", "-gid", "12346", ")"}),
              "");
}

TEST_F(BlobsLane, WhatIsNoRegularFileIsReportedAndNotFollowed) {
    const fs::path outside = directory.path() / "outside";
    write_file(outside / "secret", "not to be mirrored");
    const int socket_number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string socket_name = (london / "socket").native();
    ASSERT_LT(socket_name.size(), sizeof(address.sun_path));
    socket_name.copy(address.sun_path, socket_name.size());
    write("file", "1");
    reconcile();
    for (const bool noticed : {true, false}) {
        fs::create_symlink(outside / "secret", london / "link");
        fs::create_symlink(outside, london / "directory link");
        fs::create_symlink("loop", london / "loop");
        ASSERT_EQ(mkfifo((london / "pipe").c_str(), 0600), 0);
        if (noticed) {
            ASSERT_EQ(
                bind(socket_number, reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
                0);
            if (geteuid() == 0) {
                ASSERT_EQ(mknod((london / "device").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
            }
            follow();
        }
        reconcile();
        EXPECT_EQ(lane.skipped().symbolic_links, 3u);
        EXPECT_EQ(lane.skipped().special_files, geteuid() == 0 ? 3u : 2u);
        expect_equal();
        EXPECT_EQ(tree_of(sydney).find("secret"), std::string::npos);
        for (const char* name : {"link", "directory link", "loop", "pipe"}) {
            EXPECT_FALSE(fs::exists(fs::symlink_status(sydney / name))) << name;
            fs::remove(london / name);
        }
    }
    close(socket_number);
    // A file that becomes a link is gone; a link that becomes a file is there.
    fs::remove(london / "file");
    fs::create_symlink(outside / "secret", london / "file");
    write("link", "a file now");
    follow();
    expect_equal();
    EXPECT_FALSE(fs::exists(fs::symlink_status(sydney / "file")));
    EXPECT_EQ(read_file(sydney / "link"), "a file now");
}

/// By rename, as careful programs do: a mirror has one version or another, whole.
TEST_F(BlobsLane, AFileThatIsReplacedWhileItIsReadArrivesInOneOfItsVersions) {
    reconcile();
    constexpr size_t size = 2'000'000;
    std::atomic<bool> done = false;
    std::jthread writer([&] {
        for (int version = 0; version < 60; ++version) {
            write("new", std::string(size, static_cast<char>('0' + version)));
            fs::rename(london / "new", london / "replaced");
        }
        done = true;
    });
    int seen = 0;
    for (bool last = false; !last;) {
        last = done;
        follow();
        if (fs::exists(sydney / "replaced")) {
            const std::string bytes = read_file(sydney / "replaced");
            ASSERT_EQ(bytes.size(), size);
            ASSERT_EQ(bytes.find_first_not_of(bytes.front()), std::string::npos);
            ++seen;
        }
    }
    EXPECT_GT(seen, 0);
    follow();
    expect_equal();
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
}  // namespace antipode::test
