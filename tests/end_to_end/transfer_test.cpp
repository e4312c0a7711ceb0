// How content travels between two whole sites: not at all when it is there already; and to its end,
// whatever dies, changes or fills up meanwhile.
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr uint64_t mib = 1 << 20;
constexpr uint64_t range_bytes = 8 * mib;

/// Bytes that no compression makes smaller.
std::string noise(size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(size + 4, '\0');
    for (size_t at = 0; at < size; at += 4) {
        const uint32_t word = random();
        bytes.replace(at, 4, std::string_view(reinterpret_cast<const char*>(&word), 4));
    }
    bytes.resize(size);
    return bytes;
}

uint64_t number(const Site& site, const std::string& filter) {
    return std::stoull(site.status(filter).value_or("0"));
}

/// Of contents: inventories are compared all the time beside.
uint64_t received(const Site& site) {
    return number(site, ".pulls.received_bytes - .pulls.inventory_bytes");
}

/// What the site's nats-server keeps.
uint64_t stream_bytes(const Site& site) {
    return std::stoull(
        must_run({"sh", "-c", "du -sb \"$0\" | cut -f1", (site.directory / "nats").string()}));
}

/// Whole ranges of contents that are being pulled and last.
uint64_t ranges_of(const Site& site) {
    const fs::path incoming = site.files_root / ".antipode/incoming";
    const std::string listed =
        must_run({"sh", "-c", "cat \"$0\"/*.ranges 2>/dev/null; true", incoming.string()});
    uint64_t whole = 0;
    std::istringstream lines(listed);
    for (std::string line; std::getline(lines, line);) {
        whole += line.ends_with(" " + std::to_string(range_bytes)) ? 1 : 0;
    }
    return whole;
}

void move(const Site& site, const std::string& from, const std::string& to) {
    must_run({"mv", (site.files_root / from).string(), (site.files_root / to).string()});
}

TEST(Transfer, WhatIsThereAlreadyIsNotSentAgain) {
    // A line of the store of files: the old names of a renamed tree are a mass deletion.
    const TwoSites sites("hold_deletions = false\n");
    const fs::path root = sites.london.files_root;
    const int small_files = 200;
    const size_t small_bytes = 20'000;
    for (int i = 0; i < small_files; ++i) {
        const fs::path file = root / "tree" / std::to_string(i % 7) / std::to_string(i);
        fs::create_directories(file.parent_path());
        write_file(file, noise(small_bytes, static_cast<unsigned>(i)));
    }
    write_file(root / "tree/large", noise(20'000'000, 1001));
    write_file(root / "tree/0/larger", noise(9'000'000, 1002));
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const uint64_t pulled = received(sites.sydney);
    EXPECT_GE(pulled, 29'000'000u);

    const uint64_t before = stream_bytes(sites.sydney);
    move(sites.london, "tree", "renamed");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(received(sites.sydney), pulled) << "a renamed tree was pulled";
    const uint64_t events = stream_bytes(sites.sydney) - before;
    EXPECT_LT(events, small_files * 1500u) << "of " << small_files * small_bytes << " bytes";
    RecordProperty("bytes_of_a_renamed_tree", static_cast<int>(events));

    // Made elsewhere: half a copy would be content of its own.
    must_run({"cp", (root / "renamed/large").string(), root.string() + ".copy"});
    fs::rename(root.string() + ".copy", root / "copy");
    fs::create_hard_link(root / "renamed/0/larger", root / "link");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(received(sites.sydney), pulled) << "a copy, or a link, was pulled";

    // The source is replaced at once, or gone.
    move(sites.london, "renamed/1/1", "kept");
    write_file(root / "renamed/1/1", "something else");
    move(sites.london, "renamed/large", "kept large");
    write_file(root / "renamed/large", "something else");
    move(sites.london, "copy", "moved twice");
    move(sites.london, "moved twice", "moved");
    fs::remove(root / "link");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(received(sites.sydney), pulled);
}

TEST(Transfer, DamageIsNotCopied) {
    const TwoSites sites;
    const fs::path root = sites.london.files_root;
    write_file(root / "small", noise(50'000, 1));
    write_file(root / "large", noise(3'000'000, 2));
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    for (const char* name : {"small", "large"}) {
        std::fstream file(sites.sydney.files_root / name, std::ios::in | std::ios::out);
        file.seekp(1000) << "damaged";
    }
    const uint64_t pulled = received(sites.sydney);
    move(sites.london, "small", "a small one");
    move(sites.london, "large", "a large one");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_GE(received(sites.sydney) - pulled, 3'000'000u);
}

TEST(Transfer, LargeContentComesWhateverDiesMeanwhile) {
    TwoSites sites("[tuning]\nbulk_bytes_per_second = 12000000\n");
    const fs::path root = sites.london.files_root;
    const uint64_t size = 80 * mib;
    write_file(root.string() + ".large", noise(size, 3));
    fs::rename(root.string() + ".large", root / "large");  // half of it would be another content
    const auto part = [&] { return number(sites.sydney, ".pulls.running[0].bytes"); };
    ASSERT_TRUE(eventually([&] { return ranges_of(sites.sydney) >= 2; }, 60s)) << sites.describe();

    // A small file does not wait for it.
    write_file(root / "small", "small");
    ASSERT_TRUE(eventually([&] { return fs::exists(sites.sydney.files_root / "small"); }));
    EXPECT_LT(part(), size);
    EXPECT_NE(sites.sydney.status(".pulls.missing"), "0") << "it came too fast for this test";

    sites.sydney.kill();
    const uint64_t whole_ranges = ranges_of(sites.sydney);
    sites.sydney.start();
    ASSERT_TRUE(eventually([&] { return part() > whole_ranges * range_bytes + mib; }, 60s))
        << sites.describe() << received(sites.sydney);
    sites.london.kill();
    sites.london.start();
    ASSERT_TRUE(sites.caught_up(120s)) << sites.describe();
    sites.expect_equal();
    EXPECT_LE(received(sites.sydney), size - whole_ranges * range_bytes + mib);

    // Replaced while it is pulled, in place and by another file.
    write_file(root / "large", noise(size, 4));
    const auto is_pulled = [&] { return part() > mib; };
    ASSERT_TRUE(eventually(is_pulled, 60s)) << sites.describe();
    std::fstream(root / "large", std::ios::in | std::ios::out).seekp(70 * mib) << "in place";
    write_file(root / "next", noise(2 * mib, 5));
    ASSERT_TRUE(eventually(is_pulled, 60s)) << sites.describe();
    move(sites.london, "next", "large");
    ASSERT_TRUE(sites.caught_up(120s)) << sites.describe();
    sites.expect_equal();
    EXPECT_TRUE(fs::is_empty(sites.sydney.files_root / ".antipode/incoming"));
}

TEST(Transfer, ManySmallFilesDoNotTravelInTheStream) {
    TwoSites sites;
    const fs::path root = sites.london.files_root;
    sites.london.kill();
    const int files = 4000;
    const size_t size = 20'000;
    for (int i = 0; i < files; ++i) {
        const fs::path directory = root / std::to_string(i % 50);
        fs::create_directories(directory);
        write_file(directory / std::to_string(i), noise(size, static_cast<unsigned>(i)));
    }
    sites.london.start();
    const auto has_some = [&](Site& site, uint64_t bytes) {
        return eventually([&] { return received(site) > bytes; }, 60s);
    };
    ASSERT_TRUE(has_some(sites.sydney, 5 * mib)) << sites.describe();
    sites.sydney.kill();
    sites.sydney.start();
    ASSERT_TRUE(has_some(sites.sydney, 5 * mib)) << sites.describe();
    sites.london.kill();
    sites.london.start();
    ASSERT_TRUE(sites.caught_up(120s)) << sites.describe();
    sites.expect_equal();
    // The last thousand of each start of the primary may.
    EXPECT_LT(stream_bytes(sites.sydney), files * size * 2 / 3);
    EXPECT_TRUE(fs::is_empty(sites.sydney.files_root / ".antipode/incoming"));
}

/// A small file system at a site's root of files.
class SmallDisk {
  public:
    explicit SmallDisk(Site& site) : site_(site) {
        mounted_ = geteuid() == 0 && run({"mount", "-t", "tmpfs", "-o", "size=48m", "none",
                                          site_.files_root.string()})
                                             .status == 0;
    }
    ~SmallDisk() {
        site_.kill();
        if (mounted_) {
            run({"umount", "-l", site_.files_root.string()});
        }
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    bool is_mounted() const { return mounted_; }
    void grow() const { must_run({"mount", "-o", "remount,size=200m", site_.files_root.string()}); }

  private:
    Site& site_;
    bool mounted_ = false;
};

TEST(Transfer, AFullDiskIsSaidAndHoldsUpNothingElse) {
    TwoSites sites;
    sites.sydney.kill();
    const SmallDisk disk(sites.sydney);
    if (!disk.is_mounted()) {
        GTEST_SKIP() << "no small file system can be mounted here";
    }
    sites.sydney.start();
    write_file(sites.london.files_root / "too large", noise(60 * mib, 6));
    const std::string reason =
        ".stores[] | select(.store == \"blobs/uploads\") | .reason + \" Try: \" + .next_step";
    EXPECT_TRUE(eventually(
        [&] {
            const std::string said = sites.sydney.status(reason).value_or("");
            return said.find("content cannot be pulled") != std::string::npos &&
                   said.find("No space left") != std::string::npos;
        },
        60s))
        << sites.describe();
    // Rows that were written before it, and other stores, do not wait.
    sites.london.sql("INSERT INTO journal VALUES ('written meanwhile')");
    must_run({"git", "init", "-q", "--bare", (sites.london.git_root / "new.git").string()});
    EXPECT_TRUE(eventually([&] { return fs::exists(sites.sydney.git_root / "new.git/HEAD"); }))
        << sites.describe();
    disk.grow();
    ASSERT_TRUE(sites.caught_up(120s)) << sites.describe();
    sites.expect_equal();
}

}  // namespace
}  // namespace antipode::test
