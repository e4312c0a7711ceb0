#include "secondary/registry.hpp"

#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "base/error.hpp"
#include "protocol/message.hpp"
#include "secondary/registry_schema.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::secondary {
namespace {

const StoreId blobs{StoreKind::Blobs, "files"};
const StoreId repositories{StoreKind::Repositories, "git"};
const Digest digest{"blob-1", "value"};

Position at(uint64_t number) {
    return {1, 1, number};
}
TimePoint second(int64_t seconds) {
    return from_microseconds(seconds * 1'000'000);
}

Exception exception(const std::string& item, uint64_t number, ExceptionKind kind) {
    Exception exception;
    exception.store = blobs;
    exception.item = item;
    exception.kind = kind;
    exception.reason = "because";
    exception.position = at(number);
    exception.since = second(5);
    exception.tries = 1;
    exception.next_try = second(6);
    return exception;
}

class RegistryTest : public testing::Test {
  protected:
    void applied(const std::string& item, uint64_t number, const Digest& now = digest) {
        const Registry::Outcome outcome{item, at(number), at(number), now, {}};
        registry_.record(blobs, {&outcome, 1}, at(number));
    }
    void parked(const std::string& item, uint64_t number) {
        const Registry::Outcome outcome{
            item, at(number), at(number), {}, exception(item, number, ExceptionKind::Parked)};
        registry_.record(blobs, {&outcome, 1}, at(number));
    }
    ManualClock clock_;
    Registry registry_{"", clock_};
};

TEST_F(RegistryTest, RecordsItemsTogetherWithTheLanesPosition) {
    applied(std::string("a\0\xff", 3), 7);
    EXPECT_EQ(registry_.find(blobs, std::string("a\0\xff", 3))->position, at(7));
    EXPECT_EQ(registry_.lane(blobs).finished, at(7));
    EXPECT_FALSE(registry_.find(repositories, std::string("a\0\xff", 3)));
    EXPECT_EQ(registry_.count(blobs), 1U);
}

TEST(Registry, AnOldOneGetsWhatIsRecordedSince) {
    const test::TemporaryDirectory directory;
    const auto file = directory.path() / "registry.db";
    ManualClock clock;
    const Registry::Outcome old{"old", at(7), at(7), digest, {}};
    Registry(file, clock).record(blobs, {&old, 1}, at(7));
    {
        // As a version before these made it.
        sqlite::Database database(file, sqlite::Database::Sync::Normal);
        database.execute("ALTER TABLE gap DROP COLUMN rows_came");
        database.execute("DROP INDEX item_unproven");
        database.execute("ALTER TABLE item DROP COLUMN unproven_us");
        database.execute("DROP TABLE found");
        database.execute("ALTER TABLE item DROP COLUMN mode");
        database.execute("ALTER TABLE item DROP COLUMN mtime_s");
        database.execute("PRAGMA user_version = " +
                         std::to_string(registry_migrations().size() - 4));
    }
    Registry registry(file, clock);
    const auto total = registry.total(blobs);
    EXPECT_EQ(registry.find(blobs, "old")->digest, digest);
    EXPECT_EQ(registry.find(blobs, "old")->attributes, verify::Attributes{});
    EXPECT_EQ(registry.unproven(blobs), 0U);
    const Registry::Outcome again{"old", at(8), at(8), digest, {}, true, {0640, 17}};
    registry.record(blobs, {&again, 1}, at(8));
    EXPECT_EQ(registry.find(blobs, "old")->attributes, (verify::Attributes{0640, 17}));
    EXPECT_EQ(registry.total(blobs), total);
}

TEST_F(RegistryTest, FindsItemsByTheContentOfLargeFiles) {
    const auto of_size = [](const std::string& size) {
        return Digest{"blob-1", std::string(32, 'h') + std::string("\0\0\0\0\0", 5) + size};
    };
    const Digest wanted = of_size(std::string("\x04\x00\x01", 3));
    const Digest small = of_size(std::string("\x04\x00\x00", 3));
    applied("a", 1, wanted);
    applied("b", 2, wanted);
    applied("small", 3, small);
    applied("other", 4, of_size(std::string("\x04\x00\x02", 3)));
    const auto find = [&](const Digest& content, size_t most) {
        return registry_.with_content(blobs, content, most);
    };
    EXPECT_EQ(find(wanted, 9), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(find(wanted, 1).size(), 1U);
    EXPECT_TRUE(find(small, 9).empty()) << "it travels in its event";
    applied("a", 5, Digest{});
    EXPECT_EQ(find(wanted, 9), (std::vector<std::string>{"b"}));
    EXPECT_TRUE(registry_.with_content(repositories, wanted, 9).empty());
}

TEST_F(RegistryTest, ARemovedItemIsRememberedButDoesNotCount) {
    applied("a", 7);
    applied("a", 9, Digest{});
    EXPECT_EQ(registry_.count(blobs), 0U);
    EXPECT_EQ(registry_.find(blobs, "a")->position, at(9));
    size_t listed = 0;
    registry_.for_each(blobs, [&](const std::string&, const ItemState&) { ++listed; });
    EXPECT_EQ(listed, 0U);
    applied("a", 11);
    applied("a", 12);
    applied("b", 13);
    applied("c", 14, Digest{});
    EXPECT_EQ(registry_.count(blobs), 2U);
    EXPECT_EQ(registry_.count(repositories), 0U);
    registry_.compare_anew(blobs, clock_.now());
    EXPECT_EQ(registry_.count(blobs), 0U);
}

TEST_F(RegistryTest, AnExceptionKeepsItsAgeUntilTheItemIsApplied) {
    parked("a", 7);
    parked("a", 9);
    const auto exceptions = registry_.exceptions(9);
    ASSERT_EQ(exceptions.size(), 1U);
    EXPECT_EQ(exceptions[0].position, at(7));
    EXPECT_TRUE(registry_.is_exception(blobs, "a"));
    EXPECT_EQ(registry_.oldest_exception(), at(7));
    applied("a", 11);
    EXPECT_EQ(registry_.exception_count(blobs), 0U);
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
}

TEST_F(RegistryTest, WhatIsMendedIsLookedAtAgainThoughRowsBeforeItAreStillToCome) {
    applied("a", 7);
    parked("a", 9);
    EXPECT_EQ(registry_.ask_for_look(blobs), 1U);
    EXPECT_EQ(registry_.looks(blobs).failing, 1U);
    EXPECT_EQ(registry_.looks(blobs).failing_since, second(5));
    EXPECT_TRUE(registry_.due_for_look(blobs, clock_.now(), 9).empty());

    applied("a", 11);
    ASSERT_EQ(registry_.exceptions(9).at(0).kind, ExceptionKind::Mended);
    EXPECT_EQ(registry_.looks(blobs).failing, 0U);
    EXPECT_EQ(registry_.looks(blobs).failing_since, std::nullopt);
    EXPECT_EQ(registry_.looks(blobs).asked, 1U);
    EXPECT_EQ(registry_.due_for_look(blobs, clock_.now(), 9), std::vector<std::string>{"a"});
}

TEST_F(RegistryTest, WhatIsMendedStaysAnExceptionUntilTheRowsBeforeAreApplied) {
    parked("a", 7);
    applied("a", 11);
    registry_.remove_mended(at(10), {});
    EXPECT_TRUE(registry_.is_exception(blobs, "a")) << "row 10 may change what names its old state";
    EXPECT_EQ(registry_.oldest_exception(), at(7));
    EXPECT_EQ(registry_.exceptions(9)[0].kind, ExceptionKind::Mended);
    EXPECT_TRUE(registry_.due(second(99), 9).empty());
    registry_.remove_mended(at(12), {});
    EXPECT_FALSE(registry_.is_exception(blobs, "a"));
    parked("b", 13);
    applied("b", 14);
    registry_.remove_mended(std::nullopt, {});
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(RegistryTest, EachTimeThatAnItemWasWrongEndsByItself) {
    parked("a", 7);
    applied("a", 11);
    parked("a", 20);
    EXPECT_TRUE(registry_.is_awaited(blobs, "a"));
    EXPECT_EQ(registry_.exception_count(blobs), 1U);
    EXPECT_EQ(registry_.oldest_exception(), at(7));
    registry_.remove_mended(at(12), {});
    EXPECT_EQ(registry_.oldest_exception(), at(20)) << "of before, all rows are applied";
    applied("a", 22);
    applied("a", 30);
    registry_.remove_mended(at(25), {});
    EXPECT_FALSE(registry_.oldest_exception()) << "it was right when it was applied the last time";
}

TEST_F(RegistryTest, AnItemThatIsWrongAHundredTimesHasFewRows) {
    for (uint64_t number = 1; number <= 100; ++number) {
        parked("a", number * 10);
        applied("a", number * 10 + 1);
    }
    const auto exceptions = registry_.exceptions(1000);
    EXPECT_LT(exceptions.size(), 10U);
    EXPECT_EQ(registry_.oldest_exception(), at(10));
    registry_.remove_mended(at(1001), {});
    EXPECT_NE(registry_.oldest_exception(), std::nullopt) << "the last time is not forgotten";
    registry_.remove_mended(at(1002), {});
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(RegistryTest, AnEventFromBeforeTheNewestFailureMendsNothing) {
    parked("a", 7);
    registry_.add_exception(exception("a", 20, ExceptionKind::Expired));
    EXPECT_EQ(registry_.exceptions(9)[0].kind, ExceptionKind::Parked);
    applied("a", 11);
    EXPECT_TRUE(registry_.is_awaited(blobs, "a"));
    applied("a", 20);
    EXPECT_FALSE(registry_.is_awaited(blobs, "a"));
}

TEST_F(RegistryTest, AWholeStoreIsMendedByAMarkerAndWhatCameBeforeIt) {
    registry_.add_exception(exception(protocol::whole_store, 7, ExceptionKind::Parked));
    EXPECT_TRUE(registry_.due(second(99), 9).empty()) << "nobody can be asked for it";
    registry_.mend_whole_store(blobs, at(7), at(30));
    EXPECT_EQ(registry_.exception_count(blobs), 1U);
    registry_.mend_whole_store(blobs, at(8), at(30));
    registry_.remove_mended(std::nullopt, {{blobs, at(29)}});
    EXPECT_TRUE(registry_.is_exception(blobs, protocol::whole_store));
    registry_.remove_mended(std::nullopt, {{blobs, at(31)}});
    EXPECT_FALSE(registry_.is_exception(blobs, protocol::whole_store));
}

TEST_F(RegistryTest, AnItemThatTurnedOutUnchangedMendsNothing) {
    parked("parked", 7);
    registry_.add_exception(exception("expired", 8, ExceptionKind::Expired));
    const std::vector<Registry::Outcome> outcomes{{"parked", at(9), at(9), {}, {}},
                                                  {"expired", at(10), at(10), {}, {}}};
    registry_.record(blobs, outcomes, at(10));
    EXPECT_EQ(registry_.exception_count(blobs), 2U);
}

TEST_F(RegistryTest, ExceptionsAreDueWhenTheirTimeComes) {
    parked("a", 7);
    EXPECT_TRUE(registry_.due(second(5), 9).empty());
    EXPECT_EQ(registry_.due(second(6), 9).size(), 1U);
    registry_.tried(blobs, "a", second(60));
    EXPECT_TRUE(registry_.due(second(59), 9).empty());
    EXPECT_EQ(registry_.due(second(60), 9)[0].tries, 2U);
}

TEST_F(RegistryTest, WhatIsWrongHereDoesNotWaitForThePrimaryToReadItsOwnAgain) {
    Exception of_primary = exception("a", 7, ExceptionKind::Parked);
    of_primary.failure = FailureClass::PrimaryDefect;
    of_primary.next_try = second(300);
    registry_.add_exception(of_primary);
    Exception of_here = exception("a", 8, ExceptionKind::Parked);
    of_here.failure = FailureClass::LocalDefect;
    of_here.next_try = second(10);
    registry_.add_exception(of_here);
    EXPECT_EQ(registry_.due(second(10), 9).size(), 1U);
    // But it is not asked for at each of its changes.
    registry_.tried(blobs, "a", second(60));
    registry_.add_exception(of_here);
    EXPECT_TRUE(registry_.due(second(59), 9).empty());
}

TEST_F(RegistryTest, AGapHoldsEverythingUntilItIsMended) {
    registry_.set_gap(blobs, at(20), second(1));
    EXPECT_EQ(registry_.oldest_exception(), Position{});
    EXPECT_EQ(registry_.gap(blobs), (Registry::Gap{at(20), second(1), false, true, at(20)}));
    registry_.set_gap_passed(blobs, at(20));
    registry_.let_rows_pass(blobs, at(20));
    EXPECT_EQ(registry_.gap(blobs), (Registry::Gap{at(20), second(1), true, false, at(20), true}));
    registry_.mend_gap(blobs, at(20));
    EXPECT_FALSE(registry_.gap(blobs));
    EXPECT_FALSE(registry_.oldest_exception());
}

TEST_F(RegistryTest, AGapThatHasGrownIsNotMendedByAnEarlierLook) {
    registry_.set_gap(blobs, at(20), second(1));
    registry_.set_gap_passed(blobs, at(20));
    registry_.set_gap(blobs, at(30), second(2));
    EXPECT_EQ(registry_.gap(blobs), (Registry::Gap{at(30), second(1), false, true, at(20)}));
    registry_.set_gap_passed(blobs, at(20));
    registry_.mend_gap(blobs, at(20));
    EXPECT_EQ(registry_.gap(blobs), (Registry::Gap{at(30), second(1), false, true, at(20)}));
    registry_.set_gap(blobs, at(25), second(3));
    EXPECT_EQ(registry_.gap(blobs)->at, at(30)) << "it does not shrink";
}

TEST_F(RegistryTest, RowsWaitFromTheOldestPlaceThatAGapSwallowed) {
    registry_.set_gap(blobs, at(20), second(1));
    registry_.let_rows_wait_from(blobs, at(15));
    registry_.let_rows_wait_from(blobs, at(17));
    registry_.set_gap(blobs, at(30), second(2));
    EXPECT_EQ(registry_.gap(blobs)->rows_from, at(15));
    registry_.let_rows_pass(blobs, at(30));
    registry_.set_gap(blobs, at(40), second(3));
    EXPECT_EQ(registry_.gap(blobs)->rows_from, at(40)) << "what was before is here";
    EXPECT_TRUE(registry_.gap(blobs)->rows_came) << "and may name what was removed since";
}

TEST_F(RegistryTest, RowsWaitFromAnEarlierGapThatIsFoundLater) {
    registry_.set_gap(blobs, at(20), second(1));
    registry_.set_gap(blobs, at(10), second(2));
    EXPECT_EQ(registry_.gap(blobs), (Registry::Gap{at(20), second(1), false, true, at(10)}));
    registry_.set_gap_passed(blobs, at(20));
    registry_.let_rows_pass(blobs, at(20));
    registry_.set_gap(blobs, at(5), second(3));
    EXPECT_FALSE(registry_.gap(blobs)->rows_wait) << "all that came before the gap was here";
}

TEST(RegistryFile, WhatCouldNotBeReadIsNotTakenForNone) {
    const test::TemporaryDirectory directory;
    const auto file = directory.path() / "registry.db";
    const ManualClock clock;
    Registry registry(file, clock);
    registry.set_gap(blobs, at(4), second(1));
    registry.set_lane(blobs, {at(3), {}});
    sqlite::Database other(file, sqlite::Database::Sync::Normal);
    other.execute("ALTER TABLE gap RENAME TO away");
    other.execute("ALTER TABLE lane RENAME TO gone");
    for (int i = 0; i < 2; ++i) {
        EXPECT_THROW(registry.gap(blobs), Error);
        EXPECT_THROW(registry.oldest_exception(), Error);
        EXPECT_THROW(registry.lane(blobs), Error);
    }
    other.execute("ALTER TABLE away RENAME TO gap");
    other.execute("ALTER TABLE gone RENAME TO lane");
    EXPECT_EQ(registry.gap(blobs)->at, at(4));
    EXPECT_EQ(registry.lane(blobs).finished, at(3));
}

TEST(RegistryFile, SurvivesARestart) {
    const test::TemporaryDirectory directory;
    const auto file = directory.path() / "registry.db";
    const ManualClock clock;
    {
        Registry registry(file, clock);
        const Registry::Outcome outcome{"a", at(3), at(3), digest, {}};
        registry.record(blobs, {&outcome, 1}, at(3));
        registry.set_fact("recovery_point", "12");
        registry.set_gap(blobs, at(4), second(1));
    }
    Registry registry(file, clock);
    EXPECT_EQ(registry.find(blobs, "a")->digest, digest);
    EXPECT_EQ(registry.fact("recovery_point"), "12");
    EXPECT_EQ(registry.gap(blobs)->at, at(4));
}

}  // namespace
}  // namespace antipode::secondary
