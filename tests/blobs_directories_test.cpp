#include <algorithm>
#include <random>
#include <set>

#include <sys/stat.h>

#include "base/files.hpp"
#include "tests/blobs_lane.hpp"

namespace antipode::test {
namespace {

/// Every directory is an item of its own.
class AllDirectories : public BlobsLane {
  protected:
    AllDirectories() : BlobsLane(true) {}

    static std::string directories_of(const fs::path& root) {
        return must_run({"sh", "-c",
                         "find . -mindepth 1 -path ./.antipode -prune -o -type d "
                         "-printf '%p %m\\n' | sort"},
                        {}, {.log = {}, .directory = root, .environment = {}});
    }
    void expect_all_equal() {
        expect_equal();
        EXPECT_EQ(directories_of(london), directories_of(sydney));
    }
    void change_something(std::minstd_rand& random);
    void make(const std::string& path, unsigned mode = 0755) {
        fs::create_directories(london / path);
        ASSERT_EQ(chmod((london / path).c_str(), mode), 0);
    }
};

void AllDirectories::change_something(std::minstd_rand& random) {
    const auto name = [&] { return std::string(1, static_cast<char>('a' + random() % 3)); };
    const std::string top = name();
    const std::string path = top + "/" + name();
    const bool blocked = fs::is_regular_file(london / top);
    switch (random() % 6) {
        case 0:
            if (!blocked) {
                fs::remove_all(london / path);
            }
            break;
        case 1:
            fs::remove_all(london / top);
            break;
        case 2:
            fs::remove_all(london / top);
            write(top, std::to_string(random()));
            break;
        case 3:
            if (!blocked && !fs::is_regular_file(london / path)) {
                make(path, random() % 2 == 0 ? 0755 : 0700);
            }
            break;
        case 4:
            if (!blocked && !fs::is_directory(london / path)) {
                write(path, std::to_string(random()));
            }
            break;
        default:
            if (!blocked && !fs::is_regular_file(london / path)) {
                write(path + "/deep", std::to_string(random()));
            }
    }
}

TEST_F(AllDirectories, EmptyOnesAreMirroredWithTheirModes) {
    make("empty", 0750);
    make("a/b/c", 0700);
    write("a/file", "1");
    ASSERT_EQ(chmod((london / "a").c_str(), 01777), 0);
    reconcile();
    EXPECT_EQ(directories_of(sydney), "./a 777\n./a/b 755\n./a/b/c 700\n./empty 750");
    const primary::Noticed again = lane.reconcile({});
    EXPECT_TRUE(std::none_of(again.changed.begin(), again.changed.end(), names_directory));
    EXPECT_TRUE(again.removed.empty());
}

TEST_F(AllDirectories, ComeGoMoveAndChangeAsOnThePrimary) {
    reconcile();
    make("a/b/c");
    make("other/" + every_byte().substr(0, 127) + "/x");
    write("a/b/file", "1");
    follow();
    expect_all_equal();
    ASSERT_EQ(chmod((london / "a/b").c_str(), 0555), 0);
    follow();
    expect_all_equal();
    // The last file goes, the directory stays.
    ASSERT_EQ(chmod((london / "a/b").c_str(), 0755), 0);
    fs::remove(london / "a/b/file");
    follow();
    expect_all_equal();
    EXPECT_TRUE(fs::is_directory(sydney / "a/b"));
    write("a/b/c/d/file", "2");
    fs::rename(london / "a", london / "moved");
    follow();
    expect_all_equal();
    EXPECT_FALSE(fs::exists(sydney / "a"));
    fs::remove_all(london / "moved");
    follow();
    expect_all_equal();
    EXPECT_FALSE(fs::exists(sydney / "moved"));
}

TEST_F(AllDirectories, BecomeFilesAndComeBack) {
    reconcile();
    make("a/b");
    write("a/c/file", "1");
    follow();
    fs::remove_all(london / "a");
    write("a", "a file");
    follow();
    expect_all_equal();
    fs::remove(london / "a");
    make("a/b", 0711);
    follow();
    expect_all_equal();
    EXPECT_TRUE(fs::is_directory(sydney / "a/b"));
}

TEST_F(AllDirectories, ARemovalThatComesBeforeThatOfItsFilesIsTriedAgain) {
    reconcile();
    write("a/b/file", "1");
    follow();
    fs::remove_all(london / "a");
    auto sent = capture_all(lane.drain());
    ASSERT_EQ(sent.size(), 3u);
    EXPECT_EQ(sent[0].event.payload.blob_removed().path(), "a/b/file");
    EXPECT_EQ(sent[1].event.payload.blob_removed().path(), "a/b/");
    EXPECT_EQ(sent[2].event.payload.blob_removed().path(), "a/");
    const secondary::ItemTask early{&sent[2].event, {}};
    const auto result = mirror.apply(std::span(&early, 1), {}).front();
    EXPECT_EQ(result.kind, Kind::Failed);
    EXPECT_EQ(result.failure, secondary::FailureClass::Transient);
    EXPECT_NE(result.reason.find("the directory is not empty"), std::string::npos);
    deliver({sent[0], sent[1]});
    deliver({sent[2]});
    expect_all_equal();
}

/// Its directory's removal was applied before it came.
TEST_F(AllDirectories, WhatWasMadeForALateFileGoesWithIt) {
    reconcile();
    write("a/file", "1");
    const auto made = capture_all(lane.drain());
    fs::remove_all(london / "a");
    const auto gone = capture_all(lane.drain());
    ASSERT_EQ(made.size(), 2u);
    ASSERT_EQ(gone.size(), 2u);
    deliver({made[0]});
    deliver({gone[1]});
    deliver({made[1]});
    EXPECT_TRUE(fs::exists(sydney / "a/file"));
    deliver({gone[0]});
    expect_all_equal();
    EXPECT_FALSE(fs::exists(sydney / "a"));
}

/// Events of different items in any order, one by one; what fails is tried again behind the others.
TEST_F(AllDirectories, RepeatedAndReorderedEventsEndEqual) {
    reconcile();
    std::minstd_rand random(5);
    for (int round = 0; round < 40; ++round) {
        for (int change = 0; change < 6; ++change) {
            change_something(random);
        }
        auto sent = capture_all(lane.drain());
        std::shuffle(sent.begin(), sent.end(), random);
        size_t failed = 0;
        for (size_t i = 0; i < sent.size(); ++i) {
            const secondary::ItemTask task{&sent[i].event, {}};
            if (mirror.apply(std::span(&task, 1), {}).front().kind == Kind::Failed) {
                ASSERT_LT(++failed, 100u) << "in round " << round;
                sent.push_back(sent[i]);
            }
        }
        expect_all_equal();
        ASSERT_FALSE(HasFailure()) << "in round " << round;
        deliver(sent);
        deliver(sent);
        expect_all_equal();
    }
}

TEST_F(AllDirectories, ContentChecksSeeThem) {
    make("a/b");
    reconcile();
    const secondary::Pace no_pace = [](uint64_t) {};
    EXPECT_EQ(mirror.look("a/b/", no_pace, {}).digest.to_string(), "directory-1:2f");
    fs::remove(sydney / "a/b");
    EXPECT_TRUE(mirror.look("a/b/", no_pace, {}).digest.empty());
    write_file(sydney / "a/b", "in the way");
    EXPECT_NE(mirror.look("a/b/", no_pace, {}).problem, "");
    fs::create_directories(sydney / "extra");
    std::set<std::string> seen;
    mirror.for_each([&](const std::string& name) { return seen.insert(name).second; }, {});
    EXPECT_EQ(seen, (std::set<std::string>{"a/", "a/b", "extra/"}));
}

TEST_F(AllDirectories, ThoseThatAreNoItemsAnyMoreAreTakenBackAndGoWithTheirLastFile) {
    make("a/b");
    write("c/file", "1");
    reconcile();
    primary::BlobCapture usual{uploads, london_tree, watch, inventory, clock, {}};
    const auto noticed = usual.reconcile({});
    EXPECT_EQ(noticed.removed, (std::vector<std::string>{"c/", "a/b/", "a/"}));
    secondary::BlobApply mirrors_files{uploads, sydney_tree};
    for (const std::string& item : noticed.removed) {
        protocol::Event event;
        event.payload = usual.read(item, false, {}).value().payload;
        const secondary::ItemTask task{&event, {}};
        EXPECT_NE(mirrors_files.apply(std::span(&task, 1), {}).front().kind, Kind::Failed) << item;
    }
    EXPECT_EQ(directories_of(sydney), "./c 755");
}

}  // namespace
}  // namespace antipode::test
