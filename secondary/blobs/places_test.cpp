#include "secondary/blobs/places.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.hpp"
#include "base/limits.hpp"
#include "tests/support/memory_files.hpp"

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using namespace std::chrono_literals;

const StoreId blobs{StoreKind::Blobs, "uploads"};

class MirrorWatchOfFiles : public testing::Test {
  protected:
    explicit MirrorWatchOfFiles(bool directories = false)
        : places_(tree_, directories, [](const std::string& item) { return item == "excluded"; }) {
        apply("a");
        apply("dir/b");
        apply("dir/below/c");
        EXPECT_THAT(noticed(), IsEmpty());
    }
    /// As apply does: in place, then recorded.
    void apply(const std::string& item) {
        tree_.put(item, "content");
        record(item, {"blob-1", "content"});
    }
    void record(const std::string& item, const Digest& digest,
                const verify::Attributes& attributes = {}) {
        clock_.advance(10ms);
        const Position position{1, 1, ++number_};
        const Registry::Outcome outcome{item, position, position, digest, {}, true, attributes};
        registry_.record(blobs, {&outcome, 1}, position);
        clock_.advance(10ms);
    }
    /// Items that are to be read again by now, without what was already.
    std::vector<std::string> noticed() {
        watch_.step({});
        clock_.advance(5s);
        watch_.step({});
        std::vector<std::string> names;
        for (const auto& item : registry_.list(blobs, {})) {
            if (item.look_asked) {
                names.push_back(item.item);
                const Registry::Looked looked{item.item, {}};
                registry_.looked_at(blobs, {&looked, 1});
            }
        }
        return names;
    }

    ManualClock clock_;
    test::MemoryTree tree_{clock_};
    test::MemoryWatch changes_{tree_};
    Registry registry_{"", clock_};
    std::map<std::string, bool> unknown_;
    std::set<std::string> applying_;
    BlobPlaces places_;
    MirrorWatch watch_{blobs,
                       tree_,
                       changes_,
                       places_,
                       registry_,
                       [this](const std::string& name, bool here) { unknown_[name] = here; },
                       [this](const std::string& item) { return applying_.contains(item); },
                       clock_};
    uint64_t number_ = 0;
};

TEST_F(MirrorWatchOfFiles, WhatWasChangedAfterItWasAppliedIsToBeReadAgain) {
    EXPECT_EQ(watch_.problem(), "");
    tree_.put("a", "by hand");
    tree_.remove("dir/b");
    tree_.make_directory("dir/b");
    tree_.put("dir/b/inside", "where a file should be");
    EXPECT_THAT(noticed(), ElementsAre("a", "dir/b"));
    EXPECT_EQ(watch_.asked(), 2);
    EXPECT_THAT(unknown_, ElementsAre(Pair("dir/b/inside", true)));
    EXPECT_THAT(noticed(), IsEmpty());
}

TEST_F(MirrorWatchOfFiles, WhatIsAppliedIsNot) {
    apply("a");
    apply("new");
    tree_.remove("dir/b");
    record("dir/b", {});
    EXPECT_THAT(noticed(), IsEmpty());
    EXPECT_EQ(watch_.asked(), 0);
}

TEST_F(MirrorWatchOfFiles, ASecondNameThatGoesSoonAfterIsNoChange) {
    tree_.put("pulled", std::string(limits::inline_content_bytes + 1, 'x'));
    const auto stat = tree_.stat("pulled").value();
    const verify::Attributes attributes = verify::attributes_of_file({stat.mode, stat.mtime_ns});
    record("pulled", {"blob-1", "content"}, attributes);
    const auto touch = [&] {
        tree_.open_for_metadata("pulled")->set_metadata(stat.mode, stat.mtime_ns);
    };
    touch();
    EXPECT_THAT(noticed(), IsEmpty());
    clock_.advance(60s);
    touch();
    EXPECT_THAT(noticed(), ElementsAre("pulled"));
    record("pulled", {"blob-1", "content"}, attributes);
    tree_.put("pulled", "another");
    EXPECT_THAT(noticed(), ElementsAre("pulled"));
}

TEST_F(MirrorWatchOfFiles, WaitsUntilApplyHasRecordedWhatItDid) {
    tree_.put("a", "newer");
    watch_.step({});
    clock_.advance(500ms);
    watch_.step({});
    record("a", {"blob-1", "newer"});
    EXPECT_THAT(noticed(), IsEmpty());
}

TEST_F(MirrorWatchOfFiles, WaitsForWhatIsBeingAppliedHoweverLongThatTakes) {
    applying_ = {"a"};
    tree_.put("a", "newer");
    tree_.put("dir/b", "by hand");
    EXPECT_THAT(noticed(), ElementsAre("dir/b"));
    clock_.advance(60s);
    EXPECT_THAT(noticed(), IsEmpty());
    record("a", {"blob-1", "newer"});
    applying_.clear();
    EXPECT_THAT(noticed(), IsEmpty());
    applying_ = {"a"};
    tree_.put("a", "by hand");
    EXPECT_THAT(noticed(), IsEmpty());
    applying_.clear();  // and it failed: nothing was recorded
    EXPECT_THAT(noticed(), ElementsAre("a"));
}

TEST_F(MirrorWatchOfFiles, WhatIsWrittenWithoutEndIsJudgedAllTheSame) {
    bool asked = false;
    for (int second = 0; second < 30 && !asked; ++second) {
        tree_.put("a", std::to_string(second));
        watch_.step({});
        clock_.advance(1s);
        asked = watch_.asked() > 0;
    }
    EXPECT_TRUE(asked);
}

TEST_F(MirrorWatchOfFiles, WhatChangesWhileItIsReadIsReadOnceMore) {
    tree_.put("a", "by hand");
    watch_.step({});
    clock_.advance(5s);
    watch_.step({});
    ASSERT_EQ(watch_.asked(), 1);
    registry_.begin_look(blobs, "a");
    for (const char* content : {"once more", "and again"}) {
        tree_.put("a", content);
        watch_.step({});
        clock_.advance(5s);
        watch_.step({});
    }
    EXPECT_EQ(watch_.asked(), 2) << "one more look sees both";
    const Registry::Looked looked{"a", {}};
    registry_.looked_at(blobs, {&looked, 1});
    EXPECT_THAT(registry_.due_for_look(blobs, TimePoint{}, 10), ElementsAre("a"));
    registry_.begin_look(blobs, "a");
    registry_.looked_at(blobs, {&looked, 1});
    EXPECT_THAT(registry_.due_for_look(blobs, TimePoint{}, 10), IsEmpty());
}

TEST_F(MirrorWatchOfFiles, ADirectoryThatIsGoneTakesAllThatWasBelow) {
    for (int i = 0; i < 1500; ++i) {
        apply("dir/many/" + std::to_string(i));
    }
    ASSERT_THAT(noticed(), IsEmpty());
    tree_.remove_all("dir");
    watch_.step({});
    clock_.advance(5s);
    watch_.step({});
    EXPECT_EQ(watch_.asked(), 1502);
}

TEST_F(MirrorWatchOfFiles, WhatWasNeverAppliedIsTold) {
    tree_.put("stray", "x");
    tree_.put("excluded", "x");
    tree_.put(std::string(private_directory) + "/own", "x");
    EXPECT_THAT(noticed(), IsEmpty());
    EXPECT_THAT(unknown_, ElementsAre(Pair("stray", true)));
    tree_.remove("stray");
    EXPECT_THAT(noticed(), IsEmpty());
    EXPECT_THAT(unknown_, ElementsAre(Pair("stray", false)));
}

TEST_F(MirrorWatchOfFiles, WhatIsBroughtAgainAlreadyIsLeftAlone) {
    registry_.add_exception({.store = blobs,
                             .item = "a",
                             .reason = "failed",
                             .next_step = "",
                             .position = {1, 1, 1},
                             .since = clock_.now(),
                             .next_try = clock_.now()});
    tree_.put("a", "by hand");
    EXPECT_THAT(noticed(), IsEmpty());
}

TEST_F(MirrorWatchOfFiles, ChangesThatWereLostAreLeftToTheSweep) {
    tree_.put("a", "by hand");
    changes_.lose_everything();
    EXPECT_THAT(noticed(), IsEmpty());
    tree_.put("dir/b", "by hand");
    EXPECT_THAT(noticed(), ElementsAre("dir/b"));
}

TEST_F(MirrorWatchOfFiles, ARootThatIsMissingIsToldUntilItIsThere) {
    tree_.set_mounted(false);
    watch_.step({});
    EXPECT_EQ(watch_.problem(), "the root is missing");
    tree_.set_mounted(true);
    watch_.step({});
    EXPECT_EQ(watch_.problem(), "");
}

class MirrorWatchOfDirectories : public MirrorWatchOfFiles {
  protected:
    MirrorWatchOfDirectories() : MirrorWatchOfFiles(true) {}
};

TEST_F(MirrorWatchOfDirectories, AreItemsAndNoneWhenAFileComesIntoThem) {
    tree_.make_directory("empty");
    const uint32_t mode = tree_.stat("empty")->mode;
    record("empty/", {"directory-1", "x"}, verify::attributes_of_directory(mode));
    ASSERT_THAT(noticed(), IsEmpty());
    apply("empty/file");
    EXPECT_THAT(noticed(), IsEmpty());
    tree_.remove_all("empty");
    EXPECT_THAT(noticed(), ElementsAre("empty/", "empty/file"));
}

}  // namespace
}  // namespace antipode::secondary
