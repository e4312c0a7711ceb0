#include <algorithm>

#include "secondary/pulls.hpp"
#include "tests/support/pulls_fixture.hpp"

namespace antipode::secondary {
namespace {

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

TEST_F(PullsTogether, WhatWasMadeSafeBeforeARestartIsNotAskedForAgain) {
    const auto one = small("one");
    pulls.want(store, {1, 1, 5}, one);
    step();
    clock.advance(std::chrono::seconds(2));
    step();
    ASSERT_TRUE(is_on_disk("one"));
    primary.away = true;
    Pulls again(
        {{store, contents.get()}}, [](const StoreId&) {}, clock);
    again.want(store, {1, 1, 5}, one);
    again.step(primary, std::chrono::milliseconds(0), {});
    EXPECT_TRUE(std::holds_alternative<ContentStore::Here>(again.state(store, one)));
    EXPECT_FALSE(again.oldest_missing());
}

TEST_F(PullsTogether, ComeOneByOneFromAPrimaryThatServesThemAlone) {
    primary.serves_together = false;
    const auto one = small("one");
    pulls.want(store, {1, 1, 5}, one);
    step();
    step();
    EXPECT_TRUE(is_on_disk("one"));
    EXPECT_FALSE(pulls.oldest_missing());
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
