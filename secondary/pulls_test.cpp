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
#include "protocol/contents.hpp"
#include "protocol/lengths.hpp"
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
        if (request.path.ends_with("/contents")) {
            sink(answer_together(protocol::decode_contents_request(request.posted).value()));
            return {true, {}, {}};
        }
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
    std::string answer_together(const std::vector<std::string>& references) const {
        std::string answer;
        for (const std::string& reference : references) {
            const auto found = contents.find(to_hex(reference));
            const bool here = found != contents.end();
            protocol::append_length(
                answer, here ? static_cast<uint32_t>(found->second.size()) : protocol::no_content);
            answer += here ? found->second : "";
        }
        return answer;
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
    ManualClock clock;
    Pulls pulls{{{store, contents.get()}}, [this](const StoreId&) { ++arrivals; }, clock};
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

TEST_F(PullsTest, LeaveNothingOfWhatIsNotWantedAnyMoreBeforeItCame) {
    test::write_file(root / "item", bytes);
    ContentStore linking{store, tree, "incoming",
                         [](const Sha256&, uint64_t) { return std::vector<std::string>{"item"}; }};
    Pulls some{{{store, &linking}}, [](const StoreId&) {}, clock};
    some.want(store, {1, 1, 5}, at("a"));
    ASSERT_FALSE(std::filesystem::is_empty(root / "incoming")) << "what has this content is named";
    some.release(store, {1, 1, 5}, at("a"));
    EXPECT_TRUE(std::filesystem::is_empty(root / "incoming"));
    EXPECT_TRUE(std::holds_alternative<Pulls::Unknown>(some.state(store, at("a"))));
    EXPECT_EQ(some.missing().first, 0U);
}

TEST_F(PullsTest, LetGoOfWhatIsWantedForEventsThatAreApplied) {
    put("a");
    pulls.want(store, {1, 1, 5}, at("a"));
    pulls.want(store, {1, 1, 6}, at("a"));
    step();
    step();
    pulls.release_through(store, {1, 1, 5});
    EXPECT_TRUE(is<ContentStore::Here>(at("a"))) << "6 still wants it";
    pulls.release_through({StoreKind::Blobs, "other"}, {1, 1, 6});
    EXPECT_TRUE(is<ContentStore::Here>(at("a")));
    pulls.release_through(store, {1, 1, 6});
    EXPECT_TRUE(is<Pulls::Unknown>(at("a")));
    EXPECT_FALSE(std::filesystem::exists(contents->path_of(sha256(bytes))));
    pulls.want(store, {1, 1, 6}, at("a"));
    pulls.release_through(store, {1, 1, 6});
    EXPECT_FALSE(pulls.oldest_missing()) << "nor is it pulled";
    step();
    EXPECT_FALSE(std::filesystem::exists(contents->path_of(sha256(bytes))));
}

TEST_F(PullsTest, TryAgainAtOnceWhenThereAreOtherPlaces) {
    put("a");
    primary.away = true;
    pulls.want(store, {1, 1, 5}, at("a"));
    EXPECT_TRUE(pulls.has_untried(StoreKind::Blobs));
    EXPECT_FALSE(pulls.has_untried(StoreKind::Repositories));
    EXPECT_THROW(step(), Error);
    EXPECT_FALSE(pulls.has_untried(StoreKind::Blobs));
    primary.away = false;
    step();
    EXPECT_TRUE(is<Pulls::Pending>(at("a"))) << "a failure is not followed by a try at once";
    pulls.try_anew();
    EXPECT_TRUE(pulls.has_untried(StoreKind::Blobs));
    step();
    EXPECT_TRUE(is<ContentStore::Here>(at("a")));
    EXPECT_FALSE(pulls.has_untried(StoreKind::Blobs));
}

/// What nobody has would make the store rest, until the promotion is over.
TEST_F(PullsTest, TryEachOnceWithoutARestWhenThereAreOtherPlaces) {
    put("a");
    put("b");
    primary.away = true;
    pulls.want(store, {1, 1, 5}, at("a"));
    pulls.want(store, {1, 1, 6}, at("b"));
    EXPECT_THROW(step(), Error);
    EXPECT_NO_THROW(step()) << "the store rests";
    pulls.try_anew();
    EXPECT_THROW(step(), Error);
    EXPECT_THROW(step(), Error);
    EXPECT_FALSE(pulls.has_untried(StoreKind::Blobs));
    EXPECT_NO_THROW(step());
}

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

TEST_F(PullsTest, DoNotBringWhatWasKeptUnderItsLastName) {
    const verify::BlobContent content{sha256(bytes), bytes.size()};
    test::write_file(root / "item", bytes);
    pulls.keep(store, "item", content, {1, 1, 5});
    std::filesystem::remove(root / "item");
    pulls.drop_unwanted();
    pulls.let_go_of_kept(store, Position{1, 1, 5});
    pulls.want(store, {1, 1, 6}, at("elsewhere"));
    step();
    EXPECT_EQ(primary.requests, 0);
    EXPECT_TRUE(is<ContentStore::Here>(at("elsewhere")));
    pulls.let_go_of_kept(store, Position{1, 1, 7});
    EXPECT_TRUE(std::filesystem::exists(contents->path_of(sha256(bytes)))) << "6 still wants it";
    pulls.release(store, {1, 1, 6}, at("elsewhere"));
    EXPECT_FALSE(std::filesystem::exists(contents->path_of(sha256(bytes))));
}

TEST_F(PullsTest, LetGoOfWhatWasKeptOnceAllThatWasAnnouncedIsHere) {
    const auto kept = [&] { return !std::filesystem::is_empty(root / "incoming"); };
    const verify::BlobContent content{sha256(bytes), bytes.size()};
    test::write_file(root / "item", bytes);
    pulls.keep(store, "item", content, {1, 1, 5});
    pulls.keep(store, "gone", {sha256("gone"), 4}, {1, 1, 5});
    EXPECT_TRUE(kept());
    pulls.let_go_of_kept({StoreKind::Blobs, "other"}, std::nullopt);
    EXPECT_TRUE(kept());
    pulls.let_go_of_kept(store, Position{1, 1, 6});
    EXPECT_FALSE(kept());
    EXPECT_EQ(test::read_file(root / "item"), bytes);
}

TEST_F(PullsTest, KeepWhatAnotherAnnouncementMayBeOf) {
    const auto second_name = root / "incoming" / (to_hex(sha256(bytes)) + ".same");
    test::write_file(root / "item", bytes);
    test::write_file(root / "its copy", bytes);
    pulls.keep(store, "item", {sha256(bytes), bytes.size()}, {1, 1, 5});
    pulls.keep(store, "its copy", {sha256(bytes), bytes.size()}, {1, 1, 9});
    pulls.let_go_of_kept(store, Position{1, 1, 6});
    EXPECT_TRUE(std::filesystem::exists(second_name)) << "9 is not here yet";
    pulls.let_go_of_kept(store, Position{1, 1, 10});
    EXPECT_FALSE(std::filesystem::exists(second_name));
}

TEST_F(PullsTest, LetGoOfWhatWasKeptWhenItMayBeRoomThatIsMissing) {
    test::write_file(root / "item", bytes);
    pulls.keep(store, "item", {sha256(bytes), bytes.size()}, {1, 1, 5});
    pulls.want(store, {1, 1, 6}, [&] {
        v1::Content other = at("a");
        other.set_sha256(std::string(view(sha256("another"))));
        return other;
    }());
    const auto second_name = root / "incoming" / (to_hex(sha256(bytes)) + ".same");
    ASSERT_TRUE(std::filesystem::exists(second_name));
    primary.away = true;
    EXPECT_THROW(step(), Error);
    EXPECT_FALSE(std::filesystem::exists(second_name));
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
    clock.advance(std::chrono::seconds(1));
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
    Pulls ranged(
        {{store, contents.get()}}, [](const StoreId&) {}, clock);
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

TEST_F(PullsTest, AStoreThatCannotBeWrittenHoldsUpNoOther) {
    const StoreId broken{StoreKind::Blobs, "broken"};
    const test::TemporaryDirectory broken_root;
    files::PosixTree broken_tree(broken_root.path());
    ContentStore broken_contents(broken, broken_tree, "incoming");
    Pulls both(
        {{store, contents.get()}, {broken, &broken_contents}}, [](const StoreId&) {}, clock);
    test::write_file(broken_root / "incoming", "no directory");
    for (const char* place : {"a", "b", "c", "d"}) {
        put(place);
        both.want(broken, {1, 1, 1}, at(place));
    }
    both.want(store, {1, 1, 2}, at("a"));
    const auto step = [&] { both.step(primary, std::chrono::milliseconds(0), {}); };
    EXPECT_THROW(step(), Error);
    step();
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(both.state(store, at("a"))));
    EXPECT_TRUE(both.problem(broken));
    std::filesystem::remove(broken_root / "incoming");
    for (int i = 0; i < 4; ++i) {
        clock.advance(std::chrono::seconds(5));
        step();
    }
    EXPECT_FALSE(both.oldest_missing());
    EXPECT_FALSE(both.problem(broken));
}

/// Small contents that come many at a time.
struct PullsTogether : PullsTest {
    v1::Content small(const std::string& text) {
        v1::Content content;
        content.set_sha256(std::string(view(sha256(text))));
        content.set_size(text.size());
        content.set_pull("place of " + text);
        content.set_together(true);
        primary.contents[to_hex(content.pull())] = text;
        return content;
    }
    std::shared_ptr<const std::string> held(const v1::Content& content) const {
        const auto state = pulls.state(store, content);
        const auto* here = std::get_if<ContentStore::Here>(&state);
        return here == nullptr ? nullptr : here->bytes;
    }
    bool is_on_disk(const std::string& text) const {
        return std::filesystem::exists(contents->path_of(sha256(text)));
    }
};

TEST_F(PullsTogether, ComeInOneRequestAndAreSafeOnceTheyAreApplied) {
    const auto one = small("one");
    const auto two = small("two");
    pulls.want(store, {1, 1, 5}, one);
    pulls.want(store, {1, 1, 6}, two);
    pulls.want(store, {1, 1, 7}, one);
    step();
    EXPECT_EQ(primary.requests, 1);
    ASSERT_TRUE(held(one));
    EXPECT_EQ(*held(one), "one");
    EXPECT_EQ(*held(two), "two");
    EXPECT_FALSE(is_on_disk("one"));
    EXPECT_EQ(pulls.oldest_missing(), (Position{1, 1, 5})) << "it is only in memory";
    EXPECT_EQ(pulls.missing().second, 6u);
    pulls.release(store, {1, 1, 5}, one);
    EXPECT_EQ(pulls.oldest_missing(), (Position{1, 1, 6}));
    EXPECT_TRUE(held(one)) << "7 still wants it";
    pulls.release(store, {1, 1, 6}, two);
    pulls.release(store, {1, 1, 7}, one);
    EXPECT_FALSE(pulls.oldest_missing());
    EXPECT_EQ(pulls.missing().second, 0u);
    EXPECT_FALSE(held(one));
}

TEST_F(PullsTogether, WhoNeedsTheSameContentAsAFileGetsOne) {
    const auto one = small("one");
    auto as_file = one;
    as_file.set_together(false);
    primary.contents[to_hex(one.pull())] = "one";
    pulls.want(store, {1, 1, 5}, one);
    pulls.want(store, {1, 1, 6}, as_file);
    step();
    step();
    EXPECT_TRUE(held(one));
    EXPECT_FALSE(held(as_file));
    EXPECT_TRUE(is<ContentStore::Here>(as_file));
    EXPECT_TRUE(is_on_disk("one"));
    pulls.release(store, {1, 1, 5}, one);
    EXPECT_TRUE(is_on_disk("one")) << "6 wants it";
    pulls.release(store, {1, 1, 6}, as_file);
    EXPECT_FALSE(is_on_disk("one"));
}

TEST_F(PullsTogether, WhatIsNotAppliedForAWhileGoesToDisk) {
    const auto one = small("one");
    pulls.want(store, {1, 1, 5}, one);
    step();
    step();
    EXPECT_TRUE(held(one)) << "not yet";
    clock.advance(std::chrono::seconds(2));
    const auto being_applied = held(one);
    step();
    EXPECT_FALSE(held(one));
    EXPECT_TRUE(is<ContentStore::Here>(one));
    EXPECT_TRUE(is_on_disk("one"));
    EXPECT_EQ(*being_applied, "one");
    EXPECT_FALSE(pulls.oldest_missing());
    EXPECT_EQ(pulls.missing().second, 0u);
    pulls.release(store, {1, 1, 5}, one);
    EXPECT_FALSE(is_on_disk("one"));
}

TEST_F(PullsTogether, OfAStoreThatIsPausedGoToDiskWhileOthersAreBusy) {
    const StoreId other{StoreKind::Blobs, "other"};
    const test::TemporaryDirectory other_root;
    files::PosixTree other_tree(other_root.path());
    ContentStore other_contents(other, other_tree, "incoming");
    Pulls both(
        {{store, contents.get()}, {other, &other_contents}}, [](const StoreId&) {}, clock);
    const auto paused = small("paused");
    both.want(store, {1, 1, 1}, paused);
    put("a");
    put("b");
    for (uint64_t i = 2; i < 30 && !is_on_disk("paused"); ++i) {
        // More than one worker could pull, and another store applies what comes.
        const auto applied = small("applied " + std::to_string(i));
        both.want(other, {1, 1, i}, applied);
        both.want(store, {1, 1, i}, at(i % 2 == 0 ? "a" : "b"));
        both.step(primary, std::chrono::milliseconds(0), {});
        both.release(other, {1, 1, i}, applied);
        clock.advance(std::chrono::milliseconds(600));
        both.step(primary, std::chrono::milliseconds(0), {});
        both.release(store, {1, 1, i}, at(i % 2 == 0 ? "a" : "b"));
    }
    EXPECT_TRUE(is_on_disk("paused"));
}

TEST_F(PullsTogether, ThatGoToDiskDoNotHoldUpLargeContentOfOthers) {
    const StoreId other{StoreKind::Blobs, "other"};
    const test::TemporaryDirectory other_root;
    files::PosixTree other_tree(other_root.path());
    ContentStore other_contents(other, other_tree, "incoming");
    Pulls both(
        {{store, contents.get()}, {other, &other_contents}}, [](const StoreId&) {}, clock);
    for (uint64_t i = 0; i < 500; ++i) {
        both.want(store, {1, 1, i + 1}, small("paused " + std::to_string(i)));
    }
    both.step(primary, std::chrono::milliseconds(0), {});
    clock.advance(std::chrono::seconds(2));
    put("a");
    both.want(other, {1, 1, 1000}, at("a"));
    for (int i = 0; i < 3; ++i) {
        both.step(primary, std::chrono::milliseconds(0), {});
    }
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(both.state(other, at("a"))));
    for (int i = 0; i < 1000; ++i) {
        both.step(primary, std::chrono::milliseconds(0), {});
    }
    EXPECT_FALSE(both.oldest_missing()) << "and all are safe";
}

TEST_F(PullsTogether, OfAStoreThatCannotBeWrittenLeaveRoomForOthers) {
    const StoreId other{StoreKind::Blobs, "other"};
    const test::TemporaryDirectory other_root;
    files::PosixTree other_tree(other_root.path());
    ContentStore other_contents(other, other_tree, "incoming");
    Pulls both(
        {{store, contents.get()}, {other, &other_contents}}, [](const StoreId&) {}, clock);
    test::write_file(root / "incoming", "no directory");
    const auto try_step = [&] {
        try {
            both.step(primary, std::chrono::milliseconds(0), {});
        } catch (const Error&) {
            // Its disk.
        }
        clock.advance(std::chrono::milliseconds(300));
    };
    const std::string large(limits::inline_content_bytes, 'x');
    for (uint64_t i = 0; i < 2 * limits::contents_held_bytes / large.size(); ++i) {
        std::string text = large;
        text.replace(0, 8, std::to_string(10'000'000 + i));
        both.want(store, {1, 1, i + 1}, small(text));
    }
    for (int i = 0; i < 50; ++i) {
        try_step();
    }
    const int requests = primary.requests;
    const auto wanted = small("of the other");
    both.want(other, {1, 1, 1000}, wanted);
    for (int i = 0; i < 3; ++i) {
        try_step();
    }
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(both.state(other, wanted)));
    EXPECT_LT(requests, 20) << "what cannot be written is not pulled all the time";
    both.release(other, {1, 1, 1000}, wanted);
    std::filesystem::remove(root / "incoming");
    for (int i = 0; i < 2000 && both.oldest_missing(); ++i) {
        try_step();
    }
    EXPECT_FALSE(both.oldest_missing()) << "once it can be written, all of it comes";
}

TEST_F(PullsTogether, ThatOthersOvertakeGoToDisk) {
    const auto first = small("first");
    pulls.want(store, {1, 1, 1}, first);
    for (uint64_t i = 2; i < 40 && !is_on_disk("first"); ++i) {
        const auto next = small("next " + std::to_string(i));
        pulls.want(store, {1, 1, i}, next);
        step();
        EXPECT_TRUE(held(next));
        pulls.release(store, {1, 1, i}, next);
        clock.advance(std::chrono::milliseconds(600));
        step();
    }
    EXPECT_TRUE(is_on_disk("first"));
}

TEST_F(PullsTogether, WhatIsMissingOrAnotherIsAskedForAlone) {
    const auto lost = small("lost");
    primary.contents.erase(to_hex(lost.pull()));
    const auto changed = small("changed");
    primary.contents[to_hex(changed.pull())] = "CHANGED";
    const auto right = small("right");
    for (const auto& content : {lost, changed, right}) {
        pulls.want(store, {1, 1, 5}, content);
    }
    step();
    EXPECT_TRUE(held(right));
    EXPECT_TRUE(is<Pulls::Pending>(lost));
    step();
    step();
    EXPECT_TRUE(is<ContentStore::Gone>(lost));
    EXPECT_TRUE(is<ContentStore::Gone>(changed));
    EXPECT_EQ(primary.requests, 3);
}

TEST_F(PullsTogether, AreAskedForAgainWhenThePrimaryWasAway) {
    const auto one = small("one");
    pulls.want(store, {1, 1, 5}, one);
    primary.away = true;
    EXPECT_THROW(step(), Error);
    EXPECT_EQ(pulls.problem(store)->what(), std::string("the primary is away"));
    primary.away = false;
    clock.advance(std::chrono::seconds(1));
    step();
    EXPECT_TRUE(held(one));
    EXPECT_FALSE(pulls.problem(store));
}

TEST_F(PullsTogether, TakeNoMoreMemoryThanTheyMay) {
    const std::string large(limits::inline_content_bytes, 'x');
    std::vector<v1::Content> all;
    for (uint64_t i = 0; i < 3 * limits::contents_held_bytes / large.size(); ++i) {
        std::string text = large;
        text.replace(0, 8, std::to_string(10'000'000 + i));
        all.push_back(small(text));
        pulls.want(store, {1, 1, i + 1}, all.back());
    }
    const auto count_held = [&] {
        return static_cast<size_t>(
            std::count_if(all.begin(), all.end(), [&](const auto& one) { return held(one); }));
    };
    for (int i = 0; i < 50; ++i) {
        step();
    }
    EXPECT_EQ(count_held() * large.size(), limits::contents_held_bytes);
    // Each that is applied makes room, also behind those that went to disk.
    uint64_t applied = 0;
    while (applied < all.size()) {
        ASSERT_TRUE(is<ContentStore::Here>(all[applied])) << applied;
        pulls.release(store, {1, 1, applied + 1}, all[applied]);
        ++applied;
        step();
        if (applied == 10) {
            clock.advance(std::chrono::seconds(2));
            step();
        }
        ASSERT_LE(count_held() * large.size(), limits::contents_held_bytes);
    }
    EXPECT_EQ(pulls.missing(), (std::pair<size_t, uint64_t>(0, 0)));
    EXPECT_TRUE(std::filesystem::is_empty(root / "incoming"));
}

}  // namespace
}  // namespace antipode::secondary
