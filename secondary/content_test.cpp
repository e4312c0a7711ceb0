#include "secondary/content.hpp"

#include <atomic>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "adapters/files/posix_tree.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

namespace fs = std::filesystem;

thread_local bool is_helper = false;

/// Serves one content and can be cut short.
class FakePrimary final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, Range range, const Headers& on_headers, const Sink& sink,
               const std::stop_token& stop) override {
        if (request.path.ends_with("/hashes")) {
            return hashes_of(std::stoull(request.parameter("bytes").value_or("")), sink);
        }
        ++requests;
        {
            const std::scoped_lock lock(mutex);
            asked.emplace_back(range.offset, range.length);
        }
        const Counted counted(*this);
        last = request;
        uint64_t offset = range.offset;
        const uint64_t end = std::min<uint64_t>(
            bytes.size(), range.offset + std::min<uint64_t>(range.length, bytes.size()));
        last_offset = offset;
        if (!there) {
            return {};
        }
        const Answer answer{true, bytes.size(), {}};
        on_headers(answer);
        while (offset < end) {
            if (offset >= cut_at || (is_helper && offset - range.offset >= cut_helper_after)) {
                throw Error(Reaction::Retry, "the connection is cut");
            }
            const std::string chunk =
                bytes.substr(offset, std::min<uint64_t>(chunk_bytes, end - offset));
            sink(chunk);
            offset += chunk.size();
            while (blocked) {
                std::this_thread::yield();
            }
            if (stop.stop_requested()) {
                throw Stopped{};
            }
        }
        return answer;
    }
    Answer hashes_of(uint64_t range_bytes, const Sink& sink) const {
        for (uint64_t begin = 0; has_hashes && begin < bytes.size(); begin += range_bytes) {
            sink(view(sha256(bytes.substr(begin, range_bytes))));
        }
        return {has_hashes, std::nullopt, {}};
    }
    /// Requests that are answered at the same time.
    class Counted {
      public:
        explicit Counted(FakePrimary& primary) : primary_(primary) {
            primary_.count_up();
            test::eventually([&] { return primary_.most_at_once >= primary_.wait_for; });
        }
        ~Counted() { --primary_.at_once; }
        Counted(const Counted&) = delete;
        Counted& operator=(const Counted&) = delete;

      private:
        FakePrimary& primary_;
    };
    void count_up() {
        const int now = ++at_once;
        int most = most_at_once;
        while (most < now && !most_at_once.compare_exchange_weak(most, now)) {
        }
    }
    std::mutex mutex;
    std::vector<std::pair<uint64_t, uint64_t>> asked;  ///< offsets and lengths
    int wait_for = 0;  ///< so many requests at once, before the first is answered
    std::atomic<int> at_once = 0;
    std::atomic<int> most_at_once = 0;
    std::string bytes;
    bool there = true;
    bool has_hashes = true;  ///< an older one has none
    uint64_t cut_at = UINT64_MAX;
    uint64_t cut_helper_after = UINT64_MAX;
    uint64_t chunk_bytes = 10;
    std::atomic<bool> blocked = false;
    std::atomic<int> requests = 0;
    BulkRequest last;
    uint64_t last_offset = 0;
};

class Contents : public testing::Test {
  protected:
    Contents() {
        for (int i = 0; i < 1005; ++i) {
            primary.bytes += static_cast<char>(i * i);
        }
        content.set_sha256(std::string(view(hash())));
        content.set_size(primary.bytes.size());
        content.set_pull("\x01where");
    }
    Sha256 hash() const { return sha256(primary.bytes); }
    fs::path whole() const {
        return incoming / to_hex(sha256_from_bytes(content.sha256()).value());
    }
    fs::path part() const { return whole().string() + ".part"; }
    fs::path ranges() const { return whole().string() + ".ranges"; }
    ContentStore with_ranges_of(uint64_t bytes) {
        return {{StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming", {}, bytes};
    }
    ContentStore::Outcome fetch() { return store.fetch(content, primary, stop.get_token()); }
    bool is_gone() { return std::holds_alternative<ContentStore::Gone>(fetch()); }
    void expect_here() {
        const auto outcome = fetch();
        ASSERT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
        EXPECT_EQ(std::get<ContentStore::Here>(outcome).path, whole());
        EXPECT_EQ(test::read_file(whole()), primary.bytes);
        EXPECT_FALSE(fs::exists(part()));
    }

    const test::TemporaryDirectory root;
    const fs::path incoming = root.path() / ".antipode" / "incoming";
    files::PosixTree tree{root.path()};
    std::vector<std::string> same_content;
    ContentStore store{
        {StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming", [this](const Sha256&, uint64_t) {
            return same_content;
        }};
    FakePrimary primary;
    v1::Content content;
    std::stop_source stop;
};

TEST_F(Contents, ArePulledOnce) {
    expect_here();
    expect_here();
    EXPECT_EQ(primary.requests, 1);
    EXPECT_EQ(primary.last.path, "blobs/uploads/content");
    EXPECT_EQ(primary.last.query.at("ref"), to_hex("\x01where"));
    EXPECT_TRUE(store.progress().empty());
}

TEST_F(Contents, SayWhatTheyLookedLikeWhenTheyWereChecked) {
    const auto first = fetch();
    const auto& here = std::get<ContentStore::Here>(first);
    EXPECT_EQ(here.checked, tree.stat(".antipode/incoming/" + whole().filename().string()));
    // That another process checked it is not known of what it looks like now.
    ContentStore after_restart({StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming");
    const auto again = after_restart.fetch(content, primary, {});
    EXPECT_FALSE(std::get<ContentStore::Here>(again).checked);
}

TEST_F(Contents, ResumeWhereTheyWereCut) {
    primary.cut_at = 500;
    EXPECT_THROW(fetch(), Error);
    EXPECT_TRUE(fs::exists(part()));
    primary.cut_at = 700;
    EXPECT_THROW(fetch(), Error);
    EXPECT_EQ(primary.last_offset, 500u);
    primary.cut_at = UINT64_MAX;
    ContentStore after_restart({StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming");
    const auto outcome = after_restart.fetch(content, primary, {});
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
    EXPECT_EQ(primary.last_offset, 700u);
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
}

TEST_F(Contents, ThatWereWholeBeforeACrashNeedNoPrimary) {
    fs::create_directories(incoming);
    test::write_file(part(), primary.bytes);
    test::write_file(ranges(), "8388608\n0 300\n0 1005\n");
    expect_here();
    EXPECT_EQ(primary.requests, 0);
    EXPECT_FALSE(fs::exists(ranges()));
}

TEST_F(Contents, StartAgainWhenAPowerCutSpoiledThePart) {
    fs::create_directories(incoming);
    for (const std::string& spoiled :
         {std::string(300, '\0'), std::string(1005, '\0'), std::string(2000, 'x')}) {
        fs::remove(whole());
        test::write_file(part(), spoiled);
        test::write_file(
            ranges(),
            "8388608\n0 " + std::to_string(std::min<size_t>(1005, spoiled.size())) + "\n");
        expect_here();
        EXPECT_EQ(primary.last_offset, 0u);
    }
}

TEST_F(Contents, BelieveNothingThatWasNotRecorded) {
    fs::create_directories(incoming);
    for (const std::string& list :
         {std::string(), std::string("8388608\n"), std::string("8388608\n0 1005"),
          std::string("4096\n0 1005\n"), std::string("8388608\n0 1006\n"),
          std::string("8388608\n1 5\n"), std::string(200, '\0')}) {
        fs::remove(whole());
        test::write_file(part(), primary.bytes);
        test::write_file(ranges(), list);
        primary.asked.clear();
        expect_here();
        EXPECT_EQ(primary.asked.size(), 1u) << list;
        EXPECT_EQ(primary.last_offset, 0u) << list;
    }
    fs::remove(whole());
    test::write_file(ranges(), "8388608\n0 1005\n");
    expect_here();
    EXPECT_EQ(primary.last_offset, 0u) << "the list of a part that is gone";
}

TEST_F(Contents, ComeInSeveralRangesAtOnce) {
    primary.wait_for = 3;
    ContentStore ranged = with_ranges_of(100);
    std::vector<std::jthread> helpers;
    for (int i = 0; i < 2; ++i) {
        helpers.emplace_back([&](const std::stop_token& done) {
            while (!done.stop_requested()) {
                ranged.help(primary, {});
                std::this_thread::yield();
            }
        });
    }
    const auto outcome = ranged.fetch(content, primary, {});
    helpers.clear();
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
    EXPECT_EQ(primary.most_at_once, 3);
    EXPECT_EQ(primary.requests, 11) << "each range once";
    EXPECT_FALSE(ranged.help(primary, {}));
}

TEST_F(Contents, ARangeThatAHelperFailsToBringIsBroughtByAnother) {
    primary.wait_for = 2;
    ContentStore ranged = with_ranges_of(600);
    primary.cut_helper_after = 50;
    std::atomic<int> failures = 0;
    std::jthread helper([&](const std::stop_token& done) {
        is_helper = true;
        while (failures == 0 && !done.stop_requested()) {
            try {
                ranged.help(primary, {});
            } catch (const Error&) {
                ++failures;
            }
        }
    });
    const auto outcome = ranged.fetch(content, primary, {});
    helper.request_stop();
    helper.join();
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
    EXPECT_EQ(failures, 1);
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
}

TEST_F(Contents, AfterACrashOnlyWhatIsMissingIsPulled) {
    {
        ContentStore ranged = with_ranges_of(100);
        primary.cut_at = 450;
        EXPECT_THROW(ranged.fetch(content, primary, {}), Error);
    }
    // What a crash leaves of ranges that were on their way, and half a line.
    std::string left = test::read_file(part());
    left.resize(800, 'x');
    test::write_file(part(), left);
    test::write_file(ranges(), test::read_file(ranges()) + "7 10");
    primary.cut_at = UINT64_MAX;
    primary.asked.clear();
    ContentStore ranged = with_ranges_of(100);
    const auto outcome = ranged.fetch(content, primary, {});
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(outcome));
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
    const std::vector<std::pair<uint64_t, uint64_t>> missing = {
        {450, 50}, {500, 100}, {600, 100}, {700, 100}, {800, 100}, {900, 100}, {1000, 5}};
    EXPECT_EQ(primary.asked, missing);
}

TEST_F(Contents, StaySparse) {
    primary.bytes = std::string(3'000'000, '\0') + "end";
    content.set_sha256(std::string(view(hash())));
    content.set_size(primary.bytes.size());
    primary.chunk_bytes = 100'000;
    expect_here();
    struct stat found {};
    ASSERT_EQ(stat(whole().c_str(), &found), 0);
    EXPECT_LT(found.st_blocks * 512, 200'000);
}

TEST_F(Contents, AreGoneWhenThePrimaryDoesNotHaveThem) {
    primary.there = false;
    EXPECT_TRUE(is_gone());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, AreGoneWhenThePrimaryHasAnotherVersion) {
    const std::string announced = primary.bytes;
    primary.bytes = std::string(announced.size(), 'x');
    EXPECT_TRUE(is_gone());
    primary.bytes = announced + "more";
    EXPECT_TRUE(is_gone());
    primary.bytes = announced.substr(1);
    EXPECT_TRUE(is_gone());
    primary.bytes.clear();
    EXPECT_TRUE(is_gone());
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, AreNotPulledWithoutAReference) {
    content.clear_pull();
    EXPECT_TRUE(is_gone());
    content.set_pull("x");
    content.set_sha256("short");
    EXPECT_EQ(primary.requests, 0);
    EXPECT_TRUE(std::holds_alternative<ContentStore::Gone>(fetch()));
}

TEST_F(Contents, KeepWhatCameWhenStopped) {
    primary.blocked = true;
    std::jthread stopper([&] {
        test::eventually([&] { return !store.progress().empty(); });
        stop.request_stop();
        primary.blocked = false;
    });
    EXPECT_THROW(fetch(), Stopped);
    EXPECT_TRUE(fs::exists(part()));
}

TEST_F(Contents, WantedTwiceAreFetchedOnce) {
    primary.blocked = true;
    std::vector<std::jthread> threads;
    std::atomic<int> here = 0;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            here += std::holds_alternative<ContentStore::Here>(
                store.fetch(content, primary, stop.get_token()));
        });
    }
    EXPECT_TRUE(test::eventually([&] {
        const auto progress = store.progress();
        return progress.size() == 1 && progress[0].bytes == 10 && progress[0].total == 1005 &&
               progress[0].hash == hash();
    }));
    store.discard(hash(), [] { return true; });
    EXPECT_EQ(store.keep_only({}), 0u);
    primary.blocked = false;
    threads.clear();
    EXPECT_EQ(here, 3);
    EXPECT_EQ(primary.requests, 1);
}

TEST_F(Contents, ThatSomebodyWantsAfterAllAreNotDiscarded) {
    expect_here();
    store.discard(hash(), [] { return false; });
    EXPECT_TRUE(fs::exists(store.path_of(hash())));
    store.discard(hash(), [] { return true; });
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, ThatAnItemHasAreNotPulled) {
    test::write_file(root / "item", primary.bytes);
    same_content = {"gone", "item"};
    expect_here();
    EXPECT_EQ(primary.requests, 0);
    store.discard(hash(), [] { return true; });
    EXPECT_TRUE(fs::is_empty(incoming));
    EXPECT_EQ(test::read_file(root / "item"), primary.bytes);
}

TEST_F(Contents, ThatAnItemHadWhenTheyWereExpectedAreNotPulled) {
    test::write_file(root / "item", primary.bytes);
    same_content = {"item"};
    store.expect(content);
    // As apply does, which never writes into a file that is there.
    test::write_file(root / "new", "other");
    fs::rename(root / "new", root / "item");
    expect_here();
    EXPECT_EQ(primary.requests, 0);
    EXPECT_EQ(fs::hard_link_count(whole()), 1u) << "it can be moved into place without a copy";
}

TEST_F(Contents, ArePulledWhenTheItemIsDamaged) {
    std::string damaged = primary.bytes;
    damaged[700] ^= 1;
    test::write_file(root / "item", damaged);
    same_content = {"item"};
    store.expect(content);
    expect_here();
    EXPECT_EQ(primary.requests, 1);
    EXPECT_EQ(test::read_file(root / "item"), damaged) << "that is for a content check to find";
    test::write_file(root / "item", "of another size");
    store.discard(hash(), [] { return true; });
    expect_here();
    EXPECT_EQ(primary.requests, 2);
    store.discard(hash(), [] { return true; });
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, ThatAreDamagedArePulledWhereTheyDiffer) {
    std::string damaged = primary.bytes;
    damaged[250] ^= 1;
    damaged[999] ^= 1;
    damaged[1004] ^= 1;
    same_content = {"item"};
    for (const bool older : {false, true}) {
        test::write_file(root / "item", damaged);
        ContentStore in_ranges(
            {StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming",
            [this](const Sha256&, uint64_t) { return same_content; }, 100);
        primary.asked.clear();
        primary.has_hashes = !older;
        in_ranges.expect(content);
        ASSERT_TRUE(std::holds_alternative<ContentStore::Here>(
            in_ranges.fetch(content, primary, stop.get_token())));
        EXPECT_EQ(test::read_file(whole()), primary.bytes);
        const std::vector<std::pair<uint64_t, uint64_t>> those = {
            {200, 100}, {900, 100}, {1000, 5}};
        if (older) {
            EXPECT_EQ(primary.asked.size(), 11U);
        } else {
            EXPECT_EQ(primary.asked, those);
        }
        in_ranges.discard(hash(), [] { return true; });
        EXPECT_TRUE(fs::is_empty(incoming));
    }
}

TEST_F(Contents, WhatWasTakenOverOutlastsACrash) {
    std::string damaged = primary.bytes;
    damaged[250] ^= 1;
    test::write_file(root / "item", damaged);
    same_content = {"item"};
    const auto again = [&] {
        ContentStore in_ranges(
            {StoreKind::Blobs, "uploads"}, tree, ".antipode/incoming",
            [this](const Sha256&, uint64_t) { return same_content; }, 100);
        return in_ranges.fetch(content, primary, stop.get_token());
    };
    primary.cut_at = 0;
    EXPECT_THROW(again(), Error);
    primary.cut_at = UINT64_MAX;
    fs::remove(root / "item");
    primary.asked.clear();
    ASSERT_TRUE(std::holds_alternative<ContentStore::Here>(again()));
    EXPECT_EQ(primary.asked.size(), 1U);
    EXPECT_EQ(test::read_file(whole()), primary.bytes);
}

TEST_F(Contents, AreDiscardedWhenNobodyWantsThem) {
    expect_here();
    test::write_file(incoming / "unknown", "x");
    test::write_file(incoming / (to_hex(sha256("other")) + ".part"), "x");
    const std::vector<Sha256> wanted = {hash()};
    EXPECT_EQ(store.keep_only(wanted), 2u);
    EXPECT_TRUE(fs::exists(whole()));
    store.discard(hash(), [] { return true; });
    EXPECT_TRUE(fs::is_empty(incoming));
}

TEST_F(Contents, NeverCreateAMissingRoot) {
    files::PosixTree missing(root / "unmounted");
    ContentStore lost({StoreKind::Blobs, "uploads"}, missing, ".antipode/incoming");
    EXPECT_THROW(lost.fetch(content, primary, {}), Error);
    EXPECT_FALSE(fs::exists(root / "unmounted"));
}

}  // namespace
}  // namespace antipode::secondary
