// Changes of the structure that give rows values which differ on each server: the rows are copied.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_ddl.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DatabaseRecopy : public DatabaseDdl {
  protected:
    DatabaseRecopy() {
        on_a(
            "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM "
            "generate_series(1, 1000) i; CREATE TABLE other (id int PRIMARY KEY)");
        follow();
    }
    std::string awaited() {
        return on_b("SELECT relation::regclass, copied FROM antipode.awaited_copy ORDER BY 1");
    }
    /// All of it is in place again, and what copying needed is forgotten.
    void expect_settled() {
        on_a("INSERT INTO other SELECT coalesce(max(id), 0) + 1 FROM other");
        follow();
        EXPECT_EQ(awaited(), "");
        EXPECT_EQ(on_b("SELECT phase FROM antipode.replica"), "complete");
    }
};

TEST_F(DatabaseRecopy, NewColumnsWithVolatileDefaults) {
    on_a("ALTER TABLE t ADD r float8 DEFAULT random()");
    on_a("UPDATE t SET v = 'w' WHERE r < 0.5; DELETE FROM t WHERE r > 0.9");
    EXPECT_EQ(follow_copying(), 1);
    expect_same();
    EXPECT_EQ(awaited(), "t|t");
    on_a(
        "ALTER TABLE t ADD u uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE; "
        "INSERT INTO t (id) VALUES (2001)");
    on_a(
        "ALTER TABLE t ADD s serial, ADD at timestamptz DEFAULT clock_timestamp(); "
        "INSERT INTO t (id) VALUES (2002)");
    on_a("ALTER TABLE t ADD i bigint GENERATED ALWAYS AS IDENTITY");
    on_a("INSERT INTO t (id) VALUES (2003); UPDATE t SET v = s || ' ' || i WHERE s % 2 = 0");
    EXPECT_GE(follow_copying(), 1);
    expect_same();
    expect_settled();
    EXPECT_GT(std::stoi(on_b("SELECT nextval('t_s_seq')")),
              std::stoi(on_a("SELECT max(s) FROM t")));
}

TEST_F(DatabaseRecopy, TypesThatAreChangedUsingVolatileExpressions) {
    on_a("ALTER TABLE t ALTER v TYPE float8 USING random()");
    EXPECT_EQ(follow_copying(), 1);
    expect_same();
    on_a(
        "CREATE FUNCTION public.\"Odd (fn\"(x float8) RETURNS text LANGUAGE sql VOLATILE AS "
        "'SELECT md5(random()::text)'");
    on_a("ALTER TABLE t ALTER v TYPE text USING public.\"Odd (fn\"(v)");
    EXPECT_EQ(follow_copying(), 1);
    on_a(
        "ALTER TABLE t ALTER COLUMN v SET DATA TYPE timestamptz USING now() - id * interval '1 s'");
    on_a("ALTER TABLE t ALTER v TYPE date USING CURRENT_DATE - id");
    EXPECT_GE(follow_copying(), 1);
    expect_same();
    expect_settled();
    // What is the same everywhere is not copied.
    on_a(
        "ALTER TABLE t ALTER v TYPE text USING upper(v::text) || ' random()'; "
        "ALTER TABLE t ALTER id TYPE bigint; SELECT random()");
    EXPECT_EQ(follow_copying(), 0);
    expect_same();
}

TEST_F(DatabaseRecopy, UnloggedTablesThatBecomeLogged) {
    on_a(
        "CREATE UNLOGGED TABLE fast (id int PRIMARY KEY, v text); INSERT INTO fast SELECT i, 'f' "
        "FROM generate_series(1, 500) i");
    catch_up();
    EXPECT_EQ(on_b("SELECT count(*) FROM fast"), "0");
    on_a("ALTER TABLE fast SET LOGGED; INSERT INTO fast VALUES (1000, 'after')");
    EXPECT_EQ(follow_copying(), 1);
    expect_same();
    EXPECT_EQ(on_b("SELECT count(*) FROM fast"), "501");
    expect_settled();
}

TEST_F(DatabaseRecopy, ChildrenPartitionsAndTablesThatOthersReferTo) {
    on_a(
        "CREATE TABLE parted (id int, day int) PARTITION BY LIST (day); CREATE TABLE p1 PARTITION "
        "OF parted FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF parted FOR VALUES IN (2); "
        "CREATE TABLE p3 PARTITION OF parted FOR VALUES IN (3); "
        "INSERT INTO parted SELECT i, 1 + i % 2 FROM generate_series(1, 50) i; "
        "CREATE TABLE child (c int) INHERITS (before); INSERT INTO child VALUES (7, 'x', 1);"
        "CREATE TABLE refers (t int REFERENCES t); INSERT INTO refers VALUES (1)");
    follow();
    on_a("ALTER TABLE parted ADD r float8 DEFAULT random()");
    on_a("ALTER TABLE before ADD r float8 DEFAULT random()");
    on_a("ALTER TABLE t ADD r float8 DEFAULT random()");
    EXPECT_GE(follow_copying(), 1);
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.awaited_copy"), "5");
    expect_same();
    expect_settled();
    EXPECT_EQ(on_b("SELECT convalidated FROM pg_constraint WHERE conname = 'refers_t_fkey'"), "t");
}

TEST_F(DatabaseRecopy, ChangesThatFollowBeforeTheCopyCanBeMade) {
    // Everything is on the primary already when the secondary comes to the first statement.
    on_a("ALTER TABLE t ADD r float8 DEFAULT random(); UPDATE t SET v = 'x' WHERE r < 0.3");
    on_a("ALTER TABLE t ADD extra text NOT NULL DEFAULT 'e'; INSERT INTO t VALUES (5001, 'n', 1)");
    on_a("ALTER TABLE t RENAME TO renamed; UPDATE renamed SET v = 'y' WHERE id < 20");
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, v text, r float8, extra text); "
        "INSERT INTO t VALUES (1, 'new', 2, 'z')");
    on_a(
        "ALTER TABLE renamed ADD s serial; ALTER TABLE renamed DROP COLUMN v; "
        "INSERT INTO renamed VALUES (5002, 3); INSERT INTO t VALUES (2, 'new', 2, 'z')");
    capture_up_to(primary_->capture.wal_position());
    DirectBulk bulk(primary_->bulk);
    // One event a call, and a try to copy after each.
    int copies = 0;
    for (const protocol::Event& event :
         std::vector<protocol::Event>(stream_.begin(), stream_.end())) {
        try {
            secondary_->apply.apply(std::vector{&event});
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
        }
        try {
            if (!secondary_->apply.position().copied) {
                ++copies;
                secondary_->apply.initial_copy(bulk, [](const auto&) {}, {});
            }
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
        }
    }
    EXPECT_GE(copies, 2);
    follow_copying();
    expect_same();
    expect_settled();
}

TEST_F(DatabaseRecopy, TablesThatAreDroppedBeforeTheyAreCopied) {
    on_a("ALTER TABLE t ADD r float8 DEFAULT random()");
    on_a("UPDATE t SET r = 1; DROP TABLE t; INSERT INTO other VALUES (1)");
    follow_copying();
    expect_same();
    expect_settled();
}

TEST_F(DatabaseRecopy, WritesAndCrashesMeanwhile) {
    std::atomic<bool> stop = false;
    std::jthread writer([&] {
        for (int i = 0; !stop; ++i) {
            const std::string n = std::to_string(i);
            test::run({PostgresServer::program("psql"), "-Xq", a_.url("app"), "-c",
                       "INSERT INTO t (id) VALUES (10000 + " + n + "); UPDATE t SET v = 'w" + n +
                           "' WHERE id % 7 = " + n + " % 7; DELETE FROM t WHERE id = " + n +
                           "; INSERT INTO other VALUES (10 + " + n + ")"});
        }
    });
    on_a("ALTER TABLE t ADD r float8 DEFAULT random()");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("are to be copied"));
    // What is to be copied is remembered with the statement.
    b_.kill();
    b_.start();
    restart_secondary();
    given_ = Position{};
    EXPECT_FALSE(secondary_->apply.position().copied);
    int troubles = 0;
    const auto cut_once = [&](DirectBulk& bulk) {
        bulk.before = [&](const BulkRequest& request) {
            if (request.path.ends_with("/copy") && troubles++ == 0) {
                throw Error(Reaction::Retry, "the connection was cut");
            }
        };
    };
    follow_copying(cut_once);
    EXPECT_GT(troubles, 1);
    stop = true;
    writer.join();
    given_ = Position{};
    follow_copying();
    expect_same();
    expect_settled();
}

TEST_F(DatabaseRecopy, OldTriggersAndOldSecondariesHaltAsTheyDid) {
    on_a("ALTER TABLE t ADD r float8 DEFAULT random()");
    capture_up_to(primary_->capture.wal_position());
    int found = 0;
    for (protocol::Event& event : stream_) {
        for (v1::Ddl& ddl : *event.payload.mutable_transaction()->mutable_statements()) {
            if (ddl.copies_size() > 0) {
                EXPECT_THAT(ddl.problem(), HasSubstr("\"r\""));
                ddl.clear_copies();
                ++found;
            }
        }
    }
    EXPECT_EQ(found, 1);
    EXPECT_THAT(
        error_of([&] { apply(); }, Reaction::Stop),
        AllOf(HasSubstr("ALTER TABLE t ADD r"), HasSubstr("transaction "), HasSubstr("Try: ")));
}

}  // namespace
}  // namespace antipode::test
