#include "secondary/pulls.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

/// Contents by the place that a reference names.
class Places final : public BulkSource {
  public:
    Answer get(const BulkRequest& request, Range range, const Headers&, const Sink& sink,
               const std::stop_token&) override {
        if (away) {
            throw Error(Reaction::Retry, "the primary is away");
        }
        ++requests;
        count_up();
        test::eventually([&] { return most_at_once >= wait_for; });
        --at_once;
        const auto found = contents.find(request.query.at("ref"));
        if (found == contents.end()) {
            return {};
        }
        sink(std::string_view(found->second).substr(range.offset, range.length));
        return {true, found->second.size(), {}};
    }
    void count_up() {
        const int now = ++at_once;
        int most = most_at_once;
        while (most < now && !most_at_once.compare_exchange_weak(most, now)) {
        }
    }
    std::map<std::string, std::string> contents;
    bool away = false;
    int wait_for = 0;  ///< so many requests at once, before the first is answered
    std::atomic<int> requests = 0;
    std::atomic<int> at_once = 0;
    std::atomic<int> most_at_once = 0;
};

struct PullsTest : testing::Test {
    const test::TemporaryDirectory root;
    files::PosixTree tree{root.path()};
    const StoreId store{StoreKind::Blobs, "uploads"};
    std::unique_ptr<ContentStore> contents =
        std::make_unique<ContentStore>(store, tree, "incoming");
    Places primary;
    int arrivals = 0;
    Pulls pulls{{{store, contents.get()}}, [this](const StoreId&) { ++arrivals; }};
    const std::string bytes = "a large content";

    v1::Content at(const std::string& place) const {
        v1::Content content;
        content.set_sha256(std::string(view(sha256(bytes))));
        content.set_size(bytes.size());
        content.set_pull(place);
        return content;
    }
    void put(const std::string& place) { primary.contents[to_hex(place)] = bytes; }
    void step() { pulls.step(primary, std::chrono::milliseconds(0), {}); }
    template <typename State>
    bool is(const v1::Content& content) const {
        return std::holds_alternative<State>(pulls.state(store, content));
    }
};

TEST_F(PullsTest, BringAContentOnceForAllThatWantIt) {
    put("a");
    pulls.want(store, {1, 1, 5}, at("a"));
    pulls.want(store, {1, 1, 6}, at("a"));
    EXPECT_EQ(pulls.oldest_missing(), (Position{1, 1, 5}));
    step();
    step();
    EXPECT_EQ(arrivals, 1);
    EXPECT_TRUE(is<ContentStore::Here>(at("a")));
    EXPECT_FALSE(pulls.oldest_missing());
    pulls.release(store, {1, 1, 5}, at("a"));
    EXPECT_TRUE(std::filesystem::exists(contents->path_of(sha256(bytes)))) << "6 still wants it";
    pulls.release(store, {1, 1, 6}, at("a"));
    EXPECT_FALSE(std::filesystem::exists(contents->path_of(sha256(bytes))));
}

TEST_F(PullsTest, SayWhyAContentIsNotHereYet) {
    put("a");
    pulls.want(store, {1, 1, 5}, at("a"));
    primary.away = true;
    EXPECT_THROW(step(), Error);
    EXPECT_EQ(pulls.problem(store)->what(), std::string("the primary is away"));
    EXPECT_FALSE(pulls.problem({StoreKind::Blobs, "other"}));
    EXPECT_EQ(pulls.oldest_missing(), (Position{1, 1, 5}));
    primary.away = false;
    step();
    EXPECT_FALSE(pulls.problem(store));
    EXPECT_TRUE(is<ContentStore::Here>(at("a")));
}

TEST_F(PullsTest, AfterACrashWhatNobodyWantsGoes) {
    put("a");
    pulls.want(store, {1, 1, 5}, at("a"));
    step();
    const std::filesystem::path left = root / "incoming" / to_hex(sha256("applied before"));
    test::write_file(left, "applied before");
    pulls.drop_unwanted();
    EXPECT_FALSE(std::filesystem::exists(left));
    EXPECT_TRUE(std::filesystem::exists(contents->path_of(sha256(bytes))));
}

TEST_F(PullsTest, WorkersThatHaveNothingToPullHelp) {
    contents =
        std::make_unique<ContentStore>(store, tree, "incoming", ContentStore::SameContent{}, 4);
    Pulls ranged({{store, contents.get()}}, [](const StoreId&) {});
    put("a");
    primary.wait_for = 3;
    std::vector<std::jthread> workers;
    for (int i = 0; i < 3; ++i) {
        workers.emplace_back([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                ranged.step(primary, std::chrono::milliseconds(5), stop);
            }
        });
    }
    ranged.want(store, {1, 1, 5}, at("a"));
    EXPECT_TRUE(test::eventually(
        [&] { return std::holds_alternative<ContentStore::Here>(ranged.state(store, at("a"))); }));
    workers.clear();
    EXPECT_EQ(primary.most_at_once, 3);
    EXPECT_EQ(primary.requests, 4) << "each range once";
}

TEST_F(PullsTest, FindAContentWhereItStillIsWhenItsOtherPlaceIsEmpty) {
    // A file that was written under another name and moved into place before it was pulled.
    put("final");
    pulls.want(store, {1, 1, 5}, at("temporary"));
    pulls.want(store, {1, 1, 6}, at("final"));
    step();
    step();
    EXPECT_TRUE(is<ContentStore::Gone>(at("temporary")));
    EXPECT_TRUE(is<ContentStore::Here>(at("final")));
    pulls.release(store, {1, 1, 5}, at("temporary"));
    EXPECT_TRUE(std::filesystem::exists(contents->path_of(sha256(bytes))))
        << "the other event still wants the same file";
    pulls.release(store, {1, 1, 6}, at("final"));
    EXPECT_FALSE(std::filesystem::exists(contents->path_of(sha256(bytes))));
}

}  // namespace
}  // namespace antipode::secondary
