// Mirrors stay fast to read while they are written, and nobody notices how.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/git/housekeeping.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using git::HeldPack;
using git::House;

std::string noise(size_t size, uint32_t seed) {
    std::string bytes;
    for (uint32_t state = seed * 2 + 1; bytes.size() < size;) {
        state = state * 1664525 + 1013904223;
        bytes += static_cast<char>(state >> 24);
    }
    return bytes;
}

class RepositoriesHousekeeping : public RepositoriesLane {
  protected:
    RepositoriesHousekeeping() { create(name_); }

    /// A commit with a file of so many bytes on `branch`, replicated.
    void change(size_t bytes, const std::string& branch = "main") {
        commit_on_primary(bytes, branch);
        replicate(name_);
    }
    void commit_on_primary(size_t bytes, const std::string& branch = "main") {
        const std::string place = on_primary(name_).string();
        const std::string blob =
            test::git({"-C", place, "hash-object", "-w", "--stdin"}, noise(bytes, ++changes_));
        const std::string tree =
            test::git({"-C", place, "mktree"}, "100644 blob " + blob + "\tfile\n");
        std::vector<std::string> command{"-C", place, "commit-tree", "-m", "a change", tree};
        if (!tip_.empty()) {
            command.insert(command.end(), {"-p", tip_});
        }
        tip_ = test::git(command);
        test::git({"-C", place, "update-ref", "refs/heads/" + branch, tip_});
    }
    size_t count_files() const {
        const std::filesystem::directory_iterator entries(on_secondary(name_) / "objects/pack");
        return static_cast<size_t>(std::distance(begin(entries), end(entries)));
    }
    House house() const { return git::look_at_house(on_secondary(name_)); }
    bool keep() { return target_->keep_house(name_, stop_); }
    std::string mirrored(const std::vector<std::string>& arguments) {
        std::vector<std::string> command{"-C", on_secondary(name_).string()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return test::git(command);
    }

    const std::string name_ = "r.git";
    std::string tip_;
    uint32_t changes_ = 0;
};

TEST(PacksToJoin, EachIsTwiceTheOneBefore) {
    const auto count = [](const std::vector<uint64_t>& sizes) {
        std::vector<HeldPack> packs;
        for (const uint64_t size : sizes) {
            packs.push_back({"pack", size});
        }
        return git::packs_to_join(packs);
    };
    EXPECT_EQ(count({}), 0U);
    EXPECT_EQ(count({5}), 0U);
    EXPECT_EQ(count({1, 2, 4, 8, 100}), 0U);
    EXPECT_EQ(count({1, 1, 100, 1000}), 2U);
    EXPECT_EQ(count({1, 1, 1, 1, 5, 100}), 5U);  // what they make is no half of the next
    EXPECT_EQ(count({10, 10, 10}), 3U);
}

TEST_F(RepositoriesHousekeeping, ManySmallPushesLeaveFewPacks) {
    constexpr size_t pushes = 3 * git::some_packs;
    for (size_t i = 0; i < pushes; ++i) {
        change(50);
        keep();
        EXPECT_LT(house().added.size(), git::some_packs + 1) << i;
    }
    expect_equal(name_);
    EXPECT_FALSE(keep());
    EXPECT_EQ(mirrored({"rev-list", "--count", "main"}), std::to_string(pushes));
}

TEST_F(RepositoriesHousekeeping, NobodyKeepsHouseAndPacksAreFewAllTheSame) {
    for (int i = 0; i < 70; ++i) {
        change(50);
        EXPECT_LE(git::count_packs(on_secondary(name_)), git::too_many_packs);
    }
    expect_equal(name_);
}

TEST_F(RepositoriesHousekeeping, LargeOnesHaveBitmapsAndAGraphThatLast) {
    change(git::small_repository);
    EXPECT_TRUE(keep());
    const auto expect_kept = [&] {
        EXPECT_TRUE(house().has_bitmap);
        EXPECT_TRUE(house().has_graph);
        EXPECT_FALSE(house().indexed.empty());
        mirrored({"multi-pack-index", "verify"});
        mirrored({"commit-graph", "verify"});
        EXPECT_EQ(mirrored({"rev-list", "--count", "--use-bitmap-index", "main"}),
                  std::to_string(changes_));
        expect_equal(name_);
    };
    expect_kept();
    EXPECT_FALSE(keep());
    const auto indexed = house().indexed;
    for (size_t i = 0; i < git::some_packs + 4; ++i) {
        change(1000);
    }
    EXPECT_TRUE(keep());
    EXPECT_EQ(house().indexed, indexed);  // small pushes do not make the bitmaps anew
    EXPECT_LT(house().added.size(), 4U);
    expect_kept();
    change(2 * limits::mib);
    EXPECT_TRUE(keep());
    EXPECT_NE(house().indexed, indexed);
    EXPECT_TRUE(house().added.empty());
    expect_kept();
    EXPECT_FALSE(keep());
}

TEST_F(RepositoriesHousekeeping, TakesUpWhatATimeAsPrimaryLeft) {
    change(100);
    const std::string place = on_secondary(name_).string();
    std::string input;
    for (int i = 0; i < 300; ++i) {
        input += "create refs/heads/b" + std::to_string(i) + " " + tip_ + "\n";
    }
    test::git({"-C", place, "update-ref", "--stdin"}, input);
    write_file(on_secondary(name_) / "objects/pack/tmp_pack_dead", "half");
    std::filesystem::last_write_time(
        on_secondary(name_) / "objects/pack/tmp_pack_dead",
        std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
    EXPECT_EQ(house().leftovers.size(), 1U);
    EXPECT_TRUE(keep());
    EXPECT_TRUE(house().leftovers.empty());
    EXPECT_LT(house().loose_refs, 10U);
    EXPECT_EQ(mirrored({"rev-parse", "b0", "b299"}), tip_ + "\n" + tip_);
    // So many loose objects that git itself would repack.
    for (int i = 0; i < 3000; ++i) {
        input += "blob\ndata <<E\n" + std::to_string(i) + "\nE\n";
    }
    test::git({"-C", place, "-c", "fastimport.unpackLimit=100000", "fast-import", "--quiet"},
              input.substr(input.find("blob\n")));
    EXPECT_GE(house().loose_objects, 2000U);
    EXPECT_TRUE(keep());
    EXPECT_LT(house().loose_objects, 2000U);
}

TEST_F(RepositoriesHousekeeping, ReadersNeverNotice) {
    change(git::small_repository);
    std::atomic<int> clones = 0;
    std::jthread reader([&](const std::stop_token& stop) {
        for (int i = 0; !stop.stop_requested(); ++i) {
            const auto clone = directory_ / ("clone" + std::to_string(i));
            const auto result = run({"git", "clone", "--quiet", "--mirror", "--no-local",
                                     "file://" + on_secondary(name_).string(), clone.string()},
                                    {}, git_environment());
            EXPECT_EQ(result.status, 0) << result.error;
            const auto fsck = run({"git", "-C", clone.string(), "fsck", "--connectivity-only"}, {},
                                  git_environment());
            EXPECT_EQ(fsck.status, 0) << fsck.error;
            std::filesystem::remove_all(clone);
            ++clones;
        }
    });
    std::jthread keeper([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            keep();
        }
    });
    for (int i = 0; i < 40 || clones < 10; ++i) {
        change(i % 10 == 9 ? limits::mib : 2000, "branch" + std::to_string(i % 5));
    }
    keeper.request_stop();
    keeper.join();
    reader.request_stop();
    reader.join();
    expect_equal(name_);
}

TEST_F(RepositoriesHousekeeping, KilledAtAnyMomentItLosesNothing) {
    change(git::small_repository);
    int killed = 0;
    int delay = 3000;
    for (int round = 0; round < 12; ++round) {
        change(round % 3 == 0 ? limits::mib : 1000);
        for (size_t i = 0; i < git::some_packs; ++i) {
            change(500);
        }
        const pid_t pid = fork();
        if (pid == 0) {
            keep();
            _exit(0);
        }
        const int status = kill_after(pid, std::chrono::microseconds(delay));
        killed += WIFEXITED(status) ? 0 : 1;
        delay = WIFEXITED(status) ? delay / 3 : delay + 15'000;
        EXPECT_EQ(mirrored({"rev-list", "--count", "--objects", "main"}),
                  std::to_string(3 * changes_));
    }
    EXPECT_GT(killed, 4);
    EXPECT_TRUE(eventually([&] {
        try {
            keep();
            return true;
        } catch (const Error&) {
            make_locks_old();  // git's children may need a moment to end
            return false;
        }
    }));
    EXPECT_LT(house().added.size(), git::some_packs);
    const auto fsck =
        run({"git", "-C", on_secondary(name_).string(), "fsck", "--full"}, {}, git_environment());
    EXPECT_EQ(fsck.status, 0) << fsck.error;
}

TEST_F(RepositoriesHousekeeping, GivesWayToARemoval) {
    for (int round = 0; round < 4; ++round) {
        change(git::small_repository);
        std::atomic<bool> ended = false;
        std::jthread keeper([&] {
            keep();
            ended = true;
        });
        // At once, and in the middle of it.
        const size_t files = round == 0 ? 0 : count_files();
        eventually([&] { return round == 0 || ended || count_files() != files; });
        target_->remove(name_);
        keeper.join();
        EXPECT_FALSE(std::filesystem::exists(on_secondary(name_)));
        EXPECT_TRUE(std::filesystem::is_empty(mirror_ / ".antipode/trash"));
        const auto whole = capture(name_, true);
        ASSERT_TRUE(whole.has_value());
        EXPECT_EQ(apply(*whole).kind, secondary::Result::Kind::Applied);
        expect_equal(name_);
    }
}

}  // namespace
}  // namespace antipode::test
