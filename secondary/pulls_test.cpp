#include "secondary/pulls.hpp"

#include <thread>

#include "tests/support/pulls_fixture.hpp"

namespace antipode::secondary {
namespace {

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

}  // namespace
}  // namespace antipode::secondary
