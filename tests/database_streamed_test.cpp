// Large transactions, which the server sends while they run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/streamed_transactions.hpp"
#include "base/limits.hpp"
#include "tests/support/database_ddl.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

/// Where more than a little is large.
class DatabaseStreamed : public DatabaseDdl {
  protected:
    DatabaseStreamed() {
        primary_.reset();
        a_.set("max_prepared_transactions", "2");
        a_.stop();
        a_.start();
        restart_primary();
        restart_primary_with_little();
        on_a(
            "CREATE TABLE big (id int PRIMARY KEY, v text); "
            "CREATE TABLE other (id int PRIMARY KEY, v text); "
            "CREATE TABLE third (id int PRIMARY KEY); INSERT INTO third VALUES (1)");
        start_capture();
        follow();
    }
    void restart_primary_with_little() {
        primary_.reset();
        primary_.emplace(a_, "postgres", "set", 64 * limits::kib);
    }
    postgres::Connection client() const {
        postgres::Connection connection(a_.url("app"), "client");
        connection.execute("preparing", "SET search_path = public");
        return connection;
    }
    static std::string rows(const std::string& table, int from, int to) {
        return "INSERT INTO " + table + " SELECT i, repeat(md5(i::text), 3) FROM generate_series(" +
               std::to_string(from) + ", " + std::to_string(to) + ") i;";
    }
    /// Until decoding has passed what is in the log now, which is not committed yet.
    void decode() { capture_up_to(primary_->capture.wal_position()); }
    /// The place of each transaction of which a first part was published, in order.
    std::vector<Lsn> begun() const {
        std::vector<Lsn> places;
        for (const protocol::Event& event : stream_) {
            const v1::Transaction& transaction = event.payload.transaction();
            if (transaction.part() == 0 && !transaction.last()) {
                places.push_back(Lsn{transaction.commit_lsn()});
            }
        }
        return places;
    }
    Lsn log_end() { return Lsn::parse(on_a("SELECT pg_current_wal_insert_lsn()")).value(); }
    /// What stands in the log behind that place is decoded only once it is waited for: the server
    /// cannot send more than its socket takes.
    static constexpr int more_than_a_socket_takes = 60'000;

    std::string streamed() {
        return on_a("SELECT coalesce(max(stream_txns), 0) FROM pg_stat_replication_slots");
    }
};

TEST_F(DatabaseStreamed, ArrivesAsItWasCommittedWhateverIsRolledBackInside) {
    postgres::Connection one = client();
    postgres::Connection two = client();
    postgres::Connection three = client();
    one.execute("one", "BEGIN; SAVEPOINT s1;" + rows("other", 1, 2000) + "UPDATE third SET id = 9");
    two.execute("two", "BEGIN;" + rows("big", 10'000, 12'000));
    decode();
    // The table is known from what is rolled back.
    one.execute("one", "ROLLBACK TO s1;" + rows("other", 5000, 7000));
    three.execute("three", "BEGIN;" + rows("big", 20'000, 22'000) + "PREPARE TRANSACTION 'three'");
    decode();
    one.execute("one", "SAVEPOINT s2; SAVEPOINT s3;" + rows("big", 1, 900) + "RELEASE s3;" +
                           rows("other", 7500, 8000));
    on_a(rows("big", 30'000, 30'010));
    two.execute("two", "UPDATE other SET v = 'never' WHERE id = 1; ROLLBACK");
    decode();
    one.execute("one",
                "ROLLBACK TO s2; DELETE FROM other WHERE id < 5500; TRUNCATE third;"
                "CREATE TABLE made (id int PRIMARY KEY, v text); ALTER TABLE other ADD w int "
                "NOT NULL DEFAULT 3;" +
                    rows("made", 1, 2000));
    two.execute("two", "BEGIN;" + rows("big", 40'000, 42'000) + "COMMIT;");
    decode();
    one.execute("one", "UPDATE other SET w = id; SAVEPOINT s4; DROP TABLE made; ROLLBACK TO s4;" +
                           rows("made", 3000, 4000) + "COMMIT");
    three.execute("three", "COMMIT PREPARED 'three'");
    follow();
    EXPECT_EQ(on_b("SELECT count(*), min(id), count(DISTINCT w) FROM other"), "1501|5500|1501");
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "4013");
    EXPECT_TRUE(eventually([&] { return std::stoi(streamed()) >= 4; })) << streamed();
}

TEST_F(DatabaseStreamed, IsHandedOutBeforeDecodingHasComeToItsCommit) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes));
    on_a("SELECT pg_logical_emit_message(true, 'nothing', 'of ours')");
    const Lsn before_commit = log_end();
    one.execute("one", "COMMIT");
    follow();
    ASSERT_EQ(begun().size(), 1U);
    EXPECT_LT(begun()[0], before_commit);
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), std::to_string(more_than_a_socket_takes));

    // It comes once more, and is known to have been applied.
    restart_primary_with_little();
    on_a("UPDATE big SET v = 'x' WHERE id = 1");
    follow();
    EXPECT_EQ(on_b("SELECT v FROM big WHERE id = 1"), "x");
}

TEST_F(DatabaseStreamed, IsBrokenOffByAnotherThatCommittedBefore) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes));
    on_a("INSERT INTO third VALUES (2)");
    const Lsn before_commit = log_end();
    one.execute("one", rows("other", 1, 2000) + "COMMIT");
    on_a("UPDATE big SET v = 'x' WHERE id % 1000 = 0");
    follow();
    ASSERT_EQ(begun().size(), 2U);
    EXPECT_LT(begun()[0], before_commit);
    EXPECT_GE(begun()[1], before_commit);
    EXPECT_EQ(on_b("SELECT count(*) FROM big WHERE v = 'x'"), "60");

    // By another large one.
    postgres::Connection two = client();
    one.execute("one", "BEGIN;" + rows("big", 100'000, 100'000 + more_than_a_socket_takes));
    two.execute("two", "BEGIN;" + rows("other", 10'000, 12'000));
    one.execute("one", "DELETE FROM third");
    two.execute("two", "COMMIT");
    one.execute("one", "COMMIT");
    follow();
    EXPECT_GE(begun().size(), 4U);
    EXPECT_EQ(on_b("SELECT count(*) FROM third"), "0");
}

TEST_F(DatabaseStreamed, IsNotHandedOutAsFarAsItMayBeRolledBack) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes) + "SAVEPOINT s;" +
                           rows("other", 1, more_than_a_socket_takes) + "ROLLBACK TO s;" +
                           rows("other", 1, 10) + "COMMIT");
    one.execute("one", "BEGIN;" + rows("big", 100'000, 100'000 + more_than_a_socket_takes) +
                           "ALTER TABLE big ADD w int DEFAULT 5; INSERT INTO big VALUES (0); " +
                           "UPDATE big SET w = 6 WHERE id < 9; COMMIT");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM other"), "10");
    EXPECT_EQ(on_b("SELECT count(*) FROM big WHERE w = 6"), "9");
    EXPECT_EQ(begun().size(), 2U);
}

TEST_F(DatabaseStreamed, IsNotHandedOutWhatRuns) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes));
    decode();
    EXPECT_EQ(begun().size(), 0U);
    one.execute("one", "ROLLBACK");
    on_a("INSERT INTO third VALUES (2)");
    follow();
    EXPECT_EQ(begun().size(), 0U);
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "0");
}

/// While it runs its number is above all that have ended, and PostgreSQL may not know it yet.
TEST_F(DatabaseStreamed, IsAskedAboutWhileNothingEnds) {
    postgres::Connection older = client();
    older.execute("older", "BEGIN; SELECT pg_current_xact_id()");
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes));
    ASSERT_TRUE(eventually([&] {
        publish(primary_->capture.poll(milliseconds(10)));
        return on_a(
                   "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_xact_status%' "
                   "AND application_name LIKE '% commits'") == "1";
    }));
    one.execute("one", rows("big", 100'000, 100'000 + more_than_a_socket_takes));
    const Lsn before_commit = log_end();
    one.execute("one", "COMMIT");
    follow();
    ASSERT_EQ(begun().size(), 1U);
    EXPECT_LT(begun()[0], before_commit);
}

TEST_F(DatabaseStreamed, IsHandedOutAgainByAConnectionThatCannotKnowWhetherItWas) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, more_than_a_socket_takes));
    const Lsn before_commit = log_end();
    one.execute("one", "COMMIT");
    ASSERT_TRUE(eventually([&] {
        publish(primary_->capture.poll(milliseconds(10)));
        return !begun().empty();
    }));
    EXPECT_FALSE(stream_.back().payload.transaction().last());
    apply();
    primary_->capture.restart();
    follow();
    ASSERT_EQ(begun().size(), 2U);
    EXPECT_LT(begun()[0], before_commit);
    EXPECT_GE(begun()[1], before_commit);
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), std::to_string(more_than_a_socket_takes));
}

TEST_F(DatabaseStreamed, StructureThatIsRolledBackWithItsSavepointStays) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("big", 1, 2000));
    decode();
    one.execute("one", "SAVEPOINT s; DROP TABLE third; ALTER TABLE other ADD gone int;" +
                           rows("big", 3000, 5000));
    decode();
    one.execute("one", "ROLLBACK TO s;" + rows("other", 1, 10) + "COMMIT");
    EXPECT_THAT(error_of([&] { decode(); }, Reaction::Retry), HasSubstr("a savepoint was rolled"));
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "2000");
    EXPECT_EQ(on_b("SELECT count(*) FROM third"), "1");

    // Nothing but structure in it. Its connection streams again after the next one.
    primary_->capture.restart();
    one.execute("one", "BEGIN;" + rows("other", 1000, 3000) + "SAVEPOINT s; DROP TABLE third");
    one.execute("one", "SELECT pg_logical_emit_message(true, 'filler', repeat('x', 70000))");
    decode();
    one.execute("one", "ROLLBACK TO s; COMMIT");
    EXPECT_THAT(error_of([&] { decode(); }, Reaction::Retry), HasSubstr("a savepoint was rolled"));
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM other"), "2011");
    EXPECT_EQ(on_b("SELECT count(*) FROM third"), "1");
}

TEST_F(DatabaseStreamed, ATableIsAsItWasLastDescribed) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN;" + rows("other", 1, 10) + "SAVEPOINT s;" + rows("big", 1, 2000));
    decode();
    one.execute("one", "ROLLBACK TO s");
    on_a("ALTER TABLE big DROP v, ADD w int");
    on_a("INSERT INTO big VALUES (1, 5)");
    one.execute("one", rows("other", 100, 2000) + "COMMIT");
    on_a("INSERT INTO big VALUES (2, 6)");
    follow();
    EXPECT_EQ(on_b("SELECT sum(w) FROM big"), "11");
    EXPECT_EQ(on_b("SELECT count(*) FROM other"), "1911");
}

TEST_F(DatabaseStreamed, AConnectionThatIsCutInTheMiddleLosesAndRepeatsNothing) {
    postgres::Connection one = client();
    one.execute("one", "BEGIN; SAVEPOINT s;" + rows("big", 1, 3000));
    decode();
    on_a("INSERT INTO third VALUES (2)");
    catch_up();
    primary_->capture.restart();
    decode();
    one.execute("one", rows("other", 1, 3000));
    decode();
    on_a(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT "
        "NULL");
    EXPECT_THAT(error_of([&] { decode(); }, Reaction::Retry), HasSubstr("decoding"));
    one.execute("one", "UPDATE big SET v = 'x' WHERE id % 2 = 0; COMMIT");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM big WHERE v = 'x'"), "1500");
}

TEST_F(DatabaseStreamed, ManySavepointsAndLargeValues) {
    on_a(
        "DO $$ BEGIN FOR i IN 1..3000 LOOP BEGIN INSERT INTO big VALUES (i, repeat('v', 50)); "
        "IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; "
        "END; END LOOP; END $$");
    on_a(
        "INSERT INTO other SELECT i, repeat(md5(i::text), 50000) FROM generate_series(1, 5) i; "
        "UPDATE other SET v = v || 'x' WHERE id = 3");
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "2000");
    EXPECT_NE(streamed(), "0");
}

TEST_F(DatabaseStreamed, TheServerKeepsThemWhereThisSitesDiskRefuses) {
    primary_.reset();
    primary_.emplace(a_, "postgres", "set", 64 * limits::kib, "/nonexistent");
    start_capture();
    on_a(rows("big", 1, 5000));
    const std::string problem = error_of([&] { decode(); }, Reaction::Retry);
    EXPECT_THAT(problem, HasSubstr("/nonexistent: No such file or directory"));
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "5000");
}

TEST(StreamedTransactions, RefusesWhatBreaksTheFormatAndSaysWhatTheDiskLacks) {
    const std::string xid = {0, 0, 0, 7};
    postgres::StreamedTransactions streamed(std::filesystem::temp_directory_path());
    EXPECT_FALSE(streamed.take("I no segment", Lsn{1}));
    EXPECT_THROW(streamed.take("S\1", Lsn{1}), Error);
    EXPECT_THROW(streamed.take("c" + xid + std::string(25, '\0'), Lsn{1}), Error)
        << "nothing came of it";
    EXPECT_TRUE(streamed.take("A" + xid + xid, Lsn{1}))
        << "nothing came of it before it was rolled back";
    EXPECT_TRUE(streamed.take("S" + xid + '\1', Lsn{1}));
    EXPECT_TRUE(streamed.take("I" + xid + "row", Lsn{1}));
    EXPECT_THROW(streamed.take("I\1", Lsn{1}), Error);
    EXPECT_TRUE(streamed.take("E", Lsn{1}));
    EXPECT_EQ(streamed.next(), std::nullopt) << "it did not commit yet";
    EXPECT_TRUE(streamed.take("c" + xid + std::string(25, '\0'), Lsn{1}));
    EXPECT_EQ(streamed.next(), "B" + std::string(16, '\0') + xid);
    EXPECT_EQ(streamed.next(), "Irow");
    EXPECT_EQ(streamed.next(), "C" + std::string(25, '\0'));
    EXPECT_EQ(streamed.next(), std::nullopt);

    postgres::StreamedTransactions nowhere("/nonexistent");
    try {
        nowhere.take("S" + xid + '\1', Lsn{1});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.describe(), HasSubstr("/nonexistent: No such file or directory. Try: "));
    }
}

}  // namespace
}  // namespace antipode::test
