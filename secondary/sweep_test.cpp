#include "secondary/sweep.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::secondary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

const StoreId blobs{StoreKind::Blobs, "uploads"};

Digest digest(const std::string& content) {
    return {"blob-1", content};
}

class Shelf final : public ItemLook {
  public:
    Look look(const std::string& item, const Pace& pace, const std::stop_token&) override {
        looked.push_back(item);
        pace(1);
        if (unreadable.contains(item)) {
            throw Error(Reaction::Retry, item + " cannot be read", "look");
        }
        const auto found = here.find(item);
        const Look seen = found == here.end() ? Look{} : found->second;
        if (during) {
            std::exchange(during, {})();
        }
        return seen;
    }
    void for_each(const std::function<bool(const std::string& name)>& use,
                  const std::stop_token&) override {
        for (const auto& [name, look] : here) {
            if (!use(name)) {
                return;
            }
        }
    }
    std::map<std::string, Look> here;
    std::vector<std::string> looked;
    std::set<std::string> unreadable;
    std::function<void()> during;  ///< once, behind where a look has read already
};

class SweepTest : public testing::Test {
  protected:
    SweepTest() { make({.store = blobs, .every = 24h}); }
    void make(Sweep::Options options) {
        sweep_ = std::make_unique<Sweep>(
            options, shelf_, registry_,
            Sweep::Lane{[this] { return newest_; },
                        [this] {
                            if (before_finished_) {
                                before_finished_();
                            }
                            return finished_;
                        },
                        [this](const std::string& item) { return item == applying_; }},
            clock_);
    }
    /// As apply does.
    void apply(const std::string& item, const std::string& content, bool also_here = true) {
        newest_ = {1, 1, ++number_};
        finished_ = {1, 1, number_ + 1};
        if (also_here) {
            shelf_.here[item] = {digest(content), {}};
        }
        const Registry::Outcome outcome{item, newest_, newest_,    digest(content),
                                        {},   true,    attributes_};
        registry_.record(blobs, {&outcome, 1}, newest_);
    }
    /// What was looked at.
    std::vector<std::string> step() {
        shelf_.looked.clear();
        while (sweep_->step({})) {
        }
        return shelf_.looked;
    }
    std::string exceptions() const {
        std::string text;
        for (const Exception& exception : registry_.exceptions(10)) {
            if (exception.kind == ExceptionKind::Parked) {
                text += exception.item + ": " + exception.reason + "\n";
            }
        }
        return text;
    }

    ManualClock clock_;
    Registry registry_{"", clock_};
    Shelf shelf_;
    uint64_t number_ = 0;
    Position newest_;
    Position finished_;
    verify::Attributes attributes_;  ///< of what is applied
    std::function<void()> before_finished_;
    std::string applying_;
    std::unique_ptr<Sweep> sweep_;
};

TEST_F(SweepTest, WhatIsAskedForWhileItIsReadIsReadAgain) {
    for (const bool all : {false, true}) {
        const std::string item = all ? "a" : "b";
        apply(item, "1");
        registry_.ask_for_look(blobs, item);
        shelf_.during = [&] {
            shelf_.here[item] = {digest("by hand"), {}};
            if (all) {
                registry_.ask_for_look(blobs);
            } else {
                registry_.ask_for_looks(blobs, {item});
            }
        };
        EXPECT_THAT(step(), ElementsAre(item, item, item)) << "and once more to be sure";
        EXPECT_THAT(exceptions(), HasSubstr(item + ": found by a check of its content"));
    }
}

TEST_F(SweepTest, LooksAtEachItemOnceInAnInterval) {
    apply("a", "1");
    clock_.advance(1h);
    apply("b", "2");
    EXPECT_THAT(step(), IsEmpty()) << "what was written was verified then";
    clock_.advance(23h);
    EXPECT_THAT(step(), ElementsAre("a"));
    clock_.advance(1h);
    EXPECT_THAT(step(), ElementsAre("b"));
    clock_.advance(23h);
    EXPECT_THAT(step(), ElementsAre("a"));
    EXPECT_EQ(exceptions(), "");
    EXPECT_EQ(registry_.looks(blobs).oldest, clock_.now() - 23h);
    EXPECT_EQ(sweep_->status().looked, 3U);
}

TEST_F(SweepTest, LooksAtWhatIsAskedForAndAtNothingElse) {
    make({.store = blobs, .every = 0h});
    apply("a", "1");
    apply("b", "2");
    clock_.advance(1000h);
    EXPECT_THAT(step(), IsEmpty());
    EXPECT_EQ(registry_.ask_for_look(blobs, "b"), 1U);
    EXPECT_EQ(registry_.ask_for_look(blobs, "c"), 0U);
    EXPECT_EQ(registry_.looks(blobs).asked, 1U);
    EXPECT_THAT(step(), ElementsAre("b"));
    EXPECT_EQ(registry_.looks(blobs).asked, 0U);
    EXPECT_EQ(registry_.ask_for_look(blobs), 2U);
    EXPECT_THAT(step(), testing::UnorderedElementsAre("a", "b"));
}

TEST_F(SweepTest, WhatWasMendedAndIsDamagedAgainIsNamedThoughRowsBeforeAreStillToCome) {
    apply("a", "1");
    clock_.advance(24h);
    shelf_.here["a"] = {digest("x"), {}};
    step();
    apply("a", "1");
    ASSERT_EQ(exceptions(), "");
    ASSERT_TRUE(registry_.is_exception(blobs, "a")) << "mended: the rows are still to come";
    clock_.advance(24h);
    shelf_.here["a"] = {digest("y"), {}};
    step();
    EXPECT_THAT(exceptions(), HasSubstr("a: found by a check"));
}

TEST_F(SweepTest, WhatDiffersIsNamedSentAgainAndLookedAtAgain) {
    apply("a", "1");
    apply("b", "2");
    apply("c", "3");
    clock_.advance(24h);
    shelf_.here["a"] = {digest("x"), {}};
    shelf_.here["b"] = {};
    step();
    EXPECT_EQ(exceptions(),
              "a: found by a check of its content: its content here is blob-1:78, what was applied "
              "is blob-1:31\nb: found by a check of its content: it is missing here\n");
    EXPECT_EQ(registry_.due(clock_.now(), 10).size(), 2U) << "at once";
    EXPECT_EQ(registry_.found_differing(blobs), 2U);
    EXPECT_EQ(registry_.found_by_reading(blobs), 2U);
    EXPECT_THAT(step(), IsEmpty()) << "they are on their way";
    apply("a", "1");
    apply("b", "2", false);
    registry_.remove_mended({}, {});
    EXPECT_EQ(exceptions(), "");
    step();
    EXPECT_THAT(exceptions(), HasSubstr("b: found by a check")) << "it is missing still";
    EXPECT_EQ(registry_.due(clock_.now(), 10).size(), 0U) << "a second time in a day: later";
}

TEST_F(SweepTest, WhatBreaksAgainAndAgainIsBroughtLaterEachTimeAndAlarms) {
    apply("a", "1");
    for (unsigned times = 1; times <= 5; ++times) {
        clock_.advance(3h);
        registry_.ask_for_look(blobs, "a");
        shelf_.here["a"] = {digest("x"), {}};
        step();
        const auto found = registry_.exceptions(1);
        ASSERT_EQ(found.size(), 1U);
        const auto delay = found[0].next_try - clock_.now();
        EXPECT_EQ(delay, times == 1 ? 0s : 1s * (1 << (times - 1))) << times;
        EXPECT_EQ(registry_.repeated(blobs).items, times < 3 ? 0U : 1U) << times;
        EXPECT_EQ(found[0].reason.find("within a day") != std::string::npos, times >= 3);
        apply("a", "1");
        registry_.remove_mended({}, {});
        // Another process goes on where this one stood.
        make({.store = blobs, .every = 24h});
    }
    EXPECT_EQ(registry_.repeated(blobs).most_often, "a");
    EXPECT_EQ(registry_.repeated(blobs).times, 5U);
    clock_.advance(25h);
    EXPECT_EQ(registry_.repeated(blobs).items, 0U) << "it is over";
    shelf_.here["a"] = {digest("x"), {}};
    step();
    EXPECT_EQ(registry_.due(clock_.now(), 10).size(), 1U) << "at once: the first time in a day";
}

TEST_F(SweepTest, ModesAndTimesAreComparedWhereTheyAreKnown) {
    attributes_ = {0644, 1'795'358'407};
    for (const char* item : {"same", "mode", "time", "unseen"}) {
        apply(item, "1");
        shelf_.here[item].attributes = attributes_;
    }
    attributes_ = {};
    apply("unknown", "1");  // as what was applied before they were recorded
    shelf_.here["unknown"].attributes = {0600, 5};
    shelf_.here["mode"].attributes.mode = 0600;
    shelf_.here["time"].attributes.mtime_s = 1'795'358'408;
    shelf_.here["unseen"].attributes = {};
    clock_.advance(24h);
    step();
    EXPECT_EQ(exceptions(),
              "mode: found by a check of its content: it has mode 0600, time "
              "2026-11-22T14:40:07.000Z here, what was applied is mode 0644, time "
              "2026-11-22T14:40:07.000Z\n"
              "time: found by a check of its content: it has mode 0644, time "
              "2026-11-22T14:40:08.000Z here, what was applied is mode 0644, time "
              "2026-11-22T14:40:07.000Z\n");
    // What says nothing of them leaves what was known.
    apply("mode", "1");
    registry_.remove_mended({}, {});
    EXPECT_EQ(registry_.find(blobs, "mode")->attributes, (verify::Attributes{0644, 1'795'358'407}));
}

TEST_F(SweepTest, WhatIsBrokenIsNamedInItsStoresWords) {
    apply("a", "1");
    clock_.advance(24h);
    shelf_.here["a"].problem = "git fsck: missing blob";
    step();
    EXPECT_EQ(exceptions(), "a: found by a check of its content: git fsck: missing blob\n");
    EXPECT_EQ(sweep_->status().last_differing, "a: git fsck: missing blob");
}

TEST_F(SweepTest, AChangeOnItsWayIsNoFinding) {
    apply("a", "1");
    clock_.advance(24h);
    shelf_.here["a"] = {digest("2"), {}};  // written, not recorded yet
    finished_ = newest_;
    before_finished_ = [&] {
        before_finished_ = {};
        apply("a", "2");
    };
    step();
    EXPECT_EQ(exceptions(), "");
    EXPECT_EQ(registry_.found_differing(blobs), 0U);
}

TEST_F(SweepTest, WhatIsAppliedWhileItIsLookedAtIsNoFinding) {
    apply("a", "");
    registry_.ask_for_look(blobs, "a");
    shelf_.here["a"] = {digest("half"), {}};
    int waits = 0;
    before_finished_ = [&] {
        if (++waits == 1) {
            // In its place, and not recorded before the second look has ended.
            shelf_.here["a"] = {digest("whole"), {}};
            applying_ = "a";
        } else if (waits == 2) {
            applying_.clear();
            apply("a", "whole");
        }
    };
    EXPECT_THAT(step(), ElementsAre("a", "a", "a"));
    EXPECT_EQ(exceptions(), "");
    shelf_.here["a"] = {digest("by hand"), {}};
    registry_.ask_for_look(blobs, "a");
    step();
    EXPECT_THAT(exceptions(), HasSubstr("a: found by a check of its content"));
}

TEST_F(SweepTest, AHalfWrittenItemIsNoFinding) {
    apply("a", "1");
    clock_.advance(24h);
    shelf_.here["a"] = {digest("half"), {}};
    before_finished_ = [&] { shelf_.here["a"] = {digest("1"), {}}; };
    EXPECT_THAT(step(), ElementsAre("a", "a"));
    EXPECT_EQ(exceptions(), "");
    EXPECT_THAT(step(), IsEmpty());
}

TEST_F(SweepTest, SaysWhenItCannotKnow) {
    make({.store = blobs, .every = 24h, .patience = 0ms});
    apply("a", "1");
    finished_ = newest_;
    clock_.advance(24h);
    shelf_.here["a"] = {};
    try {
        step();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), HasSubstr("1 item of blobs/uploads differs from what was "));
    }
    EXPECT_EQ(exceptions(), "");
}

/// An initial sync takes longer than that, and has applied by then what was seen.
TEST_F(SweepTest, WhatWasAppliedMeanwhileIsInDoubtNoMore) {
    make({.store = blobs, .every = 24h, .patience = 0ms});
    sweep_->look_for_extras({});
    apply("a", "1");
    finished_ = {};
    sweep_->seen("b", true);
    before_finished_ = [&] {
        before_finished_ = {};
        apply("b", "1");
        finished_ = {};
    };
    EXPECT_TRUE(sweep_->look_for_extras({}));
    EXPECT_EQ(sweep_->status().extras, 0U);
    sweep_->seen("stray", true);
    try {
        sweep_->look_for_extras({});
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("1 item of blobs/uploads is here and"));
    }
}

TEST_F(SweepTest, AnEmptyDiskIsNoThousandFindings) {
    for (int i = 0; i < 100; ++i) {
        apply("file " + std::to_string(i), "1");
    }
    clock_.advance(24h);
    shelf_.here.clear();
    try {
        step();
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.describe(), HasSubstr("none of 100 items of blobs/uploads is here. Try: "
                                                "mount its file system"));
    }
    EXPECT_EQ(exceptions(), "");
    // A directory of them is lost: that is no disk.
    shelf_.here["file 99"] = {digest("1"), {}};
    step();
    EXPECT_EQ(registry_.exception_count(blobs), 99U);
}

TEST_F(SweepTest, OneThatCannotBeReadHoldsUpNoOther) {
    apply("a", "1");
    apply("b", "2");
    apply("c", "3");
    clock_.advance(24h);
    shelf_.unreadable = {"a"};
    shelf_.here["c"] = {};
    EXPECT_THAT(step(), ElementsAre("a", "b", "c", "c"));
    EXPECT_EQ(exceptions(), "c: found by a check of its content: it is missing here\n");
    EXPECT_THAT(step(), IsEmpty());
    shelf_.unreadable.clear();
    clock_.advance(10min);
    EXPECT_THAT(step(), ElementsAre("a"));
}

TEST_F(SweepTest, WhatCouldNotBeReadIsLookedAtAgainSoonAndThenLaterEachTime) {
    apply("a", "1");
    clock_.advance(24h);
    shelf_.unreadable = {"a"};
    EXPECT_THAT(step(), ElementsAre("a"));
    EXPECT_THAT(step(), IsEmpty());
    for (const auto wait : {5s, 10s, 20s, 40s}) {
        clock_.advance(wait - 1s);
        EXPECT_THAT(step(), IsEmpty());
        clock_.advance(1s);
        EXPECT_THAT(step(), ElementsAre("a"));
    }
    shelf_.unreadable.clear();
    clock_.advance(80s);
    EXPECT_THAT(step(), ElementsAre("a"));
    shelf_.unreadable = {"a"};
    clock_.advance(24h);
    EXPECT_THAT(step(), ElementsAre("a"));
    clock_.advance(5s);
    EXPECT_THAT(step(), ElementsAre("a")) << "it was read in between";
}

TEST_F(SweepTest, SaysWhenNothingCanBeReadAndForgetsNothing) {
    for (int i = 0; i < 30; ++i) {
        const std::string item = std::to_string(i);
        apply(item, "1");
        clock_.advance(1s);  // in this order
        if (i > 4) {
            shelf_.unreadable.insert(item);
        }
    }
    clock_.advance(24h);
    EXPECT_THROW(step(), Error);
    EXPECT_EQ(registry_.due_for_look(blobs, clock_.now() - 24h, 100).size(), 25U)
        << "those before are done with";
}

TEST_F(SweepTest, WhatIsWrittenAllTheTimeIsDoneWithAtLast) {
    apply("a", "1");
    registry_.ask_for_look(blobs);
    shelf_.here["a"] = {digest("2"), {}};
    before_finished_ = [&] {
        before_finished_ = {};
        apply("a", "2");
        shelf_.here["a"] = {digest("3"), {}};
    };
    step();
    EXPECT_EQ(registry_.looks(blobs).asked, 0U);
    EXPECT_EQ(exceptions(), "");
}

TEST_F(SweepTest, WhatIsPublishedAgainUnchangedIsNotThereforeRight) {
    apply("a", "1");
    const auto applied_at = registry_.list(blobs, {}).front().applied_at;
    registry_.ask_for_look(blobs);
    shelf_.here["a"] = {digest("damaged"), {}};
    before_finished_ = [&] {
        before_finished_ = {};
        clock_.advance(1min);
        finished_ = {1, 1, ++number_};
        Registry::Outcome outcome{"a", finished_, finished_, digest("1"), {}};
        outcome.written = false;
        registry_.record(blobs, {&outcome, 1}, finished_);
    };
    step();
    EXPECT_THAT(exceptions(), HasSubstr("a: found by a check of its content: its content here"));
    EXPECT_EQ(registry_.list(blobs, {}).front().applied_at, applied_at);
}

TEST_F(SweepTest, WhatIsBrokenIsNamedAlsoWhereItIsWrittenAllTheTime) {
    apply("a", "1");
    registry_.ask_for_look(blobs);
    shelf_.here["a"].problem = "git fsck: missing blob";
    int writes = 1;
    before_finished_ = [&] {
        if (writes < 50) {
            const std::string content = std::to_string(++writes);
            apply("a", content, false);
            shelf_.here["a"].digest = digest(content);
        }
    };
    step();
    EXPECT_LT(writes, 10);
    EXPECT_THAT(exceptions(), HasSubstr("a: found by a check of its content: git fsck: missing"));
}

TEST_F(SweepTest, WhatNobodyAppliedIsNamedAndLeftAlone) {
    make({.store = blobs, .every = 24h, .excludes = [](const std::string& name) {
              return name == "excluded";
          }});
    apply("a", "1");
    apply("coming", "1", false);
    for (const char* name : {"excluded", "stray", "stray too", "on its way"}) {
        shelf_.here[name] = {digest("x"), {}};
    }
    before_finished_ = [&] {
        before_finished_ = {};
        apply("on its way", "x");
    };
    EXPECT_TRUE(sweep_->look_for_extras({}));
    EXPECT_EQ(sweep_->status().extras, 2U);
    EXPECT_FALSE(registry_.gap(blobs));
    EXPECT_EQ(sweep_->status().first_extra, "stray");
    EXPECT_FALSE(sweep_->look_for_extras({})) << "once in an interval";
    shelf_.here.erase("stray");
    registry_.ask_for_look(blobs);
    EXPECT_TRUE(sweep_->look_for_extras({})) << "or when all is asked for";
    EXPECT_EQ(sweep_->status().first_extra, "stray too");
    EXPECT_EQ(exceptions(), "");
}

TEST_F(SweepTest, WhatIsSeenIsNamedWithoutLookingThroughEverything) {
    apply("a", "1");
    ASSERT_TRUE(sweep_->look_for_extras({}));
    EXPECT_EQ(sweep_->status().extras, 0U);
    shelf_.here["dir/stray"] = {digest("x"), {}};
    shelf_.here["another"] = {digest("x"), {}};
    sweep_->seen("dir/stray", true);
    sweep_->seen("a", true);  // it was applied
    EXPECT_TRUE(sweep_->look_for_extras({}));
    EXPECT_EQ(sweep_->status().extras, 1U);
    EXPECT_EQ(sweep_->status().first_extra, "dir/stray");
    EXPECT_FALSE(sweep_->look_for_extras({}));
    sweep_->seen("dir", false);
    EXPECT_TRUE(sweep_->look_for_extras({}));
    EXPECT_EQ(sweep_->status().extras, 0U);

    // What apply is just bringing is none.
    newest_ = {1, 1, ++number_};
    sweep_->seen("b", true);
    before_finished_ = [&] {
        before_finished_ = {};
        apply("b", "1");
    };
    sweep_->look_for_extras({});
    EXPECT_EQ(sweep_->status().extras, 0U);
}

TEST_F(SweepTest, ItemsThatFailedAreLeftAlone) {
    apply("a", "1");
    clock_.advance(24h);
    registry_.add_exception({.store = blobs,
                             .item = "a",
                             .reason = "disk full",
                             .next_step = {},
                             .position = newest_,
                             .since = clock_.now(),
                             .next_try = clock_.now()});
    shelf_.here["a"] = {};
    EXPECT_THAT(step(), IsEmpty());
    EXPECT_EQ(exceptions(), "a: disk full\n");
}

}  // namespace
}  // namespace antipode::secondary
