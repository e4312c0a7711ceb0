#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/lock_watch.hpp"
#include "base/worker.hpp"
#include "tests/support/database_roles.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Readers on the secondary, real sessions, and changes that need a table for themselves.
class DatabaseLocks : public DatabaseRoles {
  protected:
    DatabaseLocks() : watch_(options(std::chrono::seconds(1))) {
        as("app_owner",
           "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'a' FROM "
           "generate_series(1, 100) i; CREATE TABLE u (id int PRIMARY KEY); "
           "GRANT SELECT ON t, u TO reader");
        start_capture();
        copy();
    }

    postgres::LockWatch::Options options(std::chrono::milliseconds grace) const {
        return {b_.url("app", "mirror"), "antipode watch", "antipode apply app@b", grace};
    }

    /// Runs `use` while the watch looks, as in the daemon; what it saw.
    std::vector<postgres::HeldUp> watched(const std::function<void()>& use) {
        std::vector<postgres::HeldUp> seen;
        std::jthread watching([&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                if (const auto held_up = watch_.look()) {
                    seen.push_back(*held_up);
                }
                sleep_unless_stopped(milliseconds(50), stop);
            }
        });
        use();
        watching.request_stop();
        watching.join();
        return seen;
    }

    /// A reader's session that runs `sql` and then does nothing.
    std::unique_ptr<postgres::Connection> reader(const std::string& sql) {
        auto client = std::make_unique<postgres::Connection>(b_.url("app", "reader"), "report");
        client->execute("reading", sql);
        return client;
    }
    static bool is_alive(postgres::Connection& client) {
        try {
            client.execute("reading", "SELECT 1");
            return true;
        } catch (const Error&) {
            return false;
        }
    }
    std::string state_of(const std::string& query) {
        return b_.psql(
            "SELECT state FROM pg_stat_activity WHERE usename = 'reader' AND query "
            "LIKE '%" +
            query + "%'");
    }

    postgres::LockWatch watch_;
};

TEST_F(DatabaseLocks, LongReadersHoldUpNoRows) {
    const auto reading = reader("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM public.t");
    as("app_owner",
       "UPDATE t SET v = 'b'; DELETE FROM t WHERE id > 50; INSERT INTO t VALUES (101)");
    const auto seen = watched([&] { catch_up(); });
    EXPECT_TRUE(seen.empty());
    expect_equal();
    EXPECT_TRUE(is_alive(*reading));
}

TEST_F(DatabaseLocks, ATruncateEndsExactlyWhatIsInItsWay) {
    const auto idle = reader("BEGIN; SELECT * FROM public.t");
    const auto elsewhere = reader("BEGIN; SELECT * FROM public.u");
    std::string said;
    std::jthread long_query([&] {
        postgres::Connection client(b_.url("app", "reader"), "report");
        try {
            client.execute("reading", "SELECT pg_sleep(300), count(*) FROM public.t");
        } catch (const postgres::SqlError& error) {
            said = error.sqlstate();
        }
        // Only the statement was ended.
        EXPECT_TRUE(is_alive(client));
    });
    ASSERT_TRUE(eventually([&] { return state_of("pg_sleep(300)") == "active"; }));
    as("app_owner", "TRUNCATE t; INSERT INTO t VALUES (1, 'after')");
    const auto seen = watched([&] { catch_up(); });
    long_query.join();
    EXPECT_EQ(said, "57014");
    expect_equal();
    EXPECT_FALSE(is_alive(*idle));
    EXPECT_TRUE(is_alive(*elsewhere));
    ASSERT_FALSE(seen.empty());
    // Nobody was ended before the grace was over, both then.
    EXPECT_THAT(seen.front().to_string(),
                AllOf(HasSubstr("lock on public.t"), HasSubstr("reader, report"),
                      testing::Not(HasSubstr("which was"))));
    EXPECT_THAT(seen.front().next_step(watch_.grace()), HasSubstr("lock_grace (1 s)"));
    std::string told;
    for (const postgres::HeldUp& held_up : seen) {
        told += held_up.to_string() + "\n";
    }
    EXPECT_THAT(told, AllOf(HasSubstr("which was cancelled"), HasSubstr("which was disconnected")));
}

TEST_F(DatabaseLocks, DdlEndsWhatIsInItsWay) {
    const auto idle = reader("BEGIN; SELECT * FROM public.t");
    const auto elsewhere = reader("BEGIN; SELECT * FROM public.u");
    as("app_owner", "ALTER TABLE t ADD n int DEFAULT 5");
    watched([&] { follow(); });
    EXPECT_FALSE(is_alive(*idle));
    EXPECT_TRUE(is_alive(*elsewhere));
}

TEST_F(DatabaseLocks, ACopyOfATableAloneEndsWhatIsInItsWay) {
    secondary_->session.load();
    const auto idle = reader("BEGIN; SELECT * FROM public.t");
    DirectBulk bulk(primary_->bulk);
    watched([&] {
        secondary::InitialCopy(store, secondary_->session, bulk, {}, [](const auto&) {}, {})
            .copy_alone({"public", "t"});
    });
    EXPECT_FALSE(is_alive(*idle));
    EXPECT_EQ(on_b("SELECT count(*) FROM t"), "100");
}

TEST_F(DatabaseLocks, NamesWhatItMayNotEnd) {
    postgres::Connection admin(b_.url("app"), "admin");
    admin.execute("reading", "BEGIN; SELECT * FROM public.t");
    as("app_owner", "TRUNCATE t");
    capture_up_to(primary_->capture.wal_position());
    std::string remedy;
    std::jthread ending([&] {
        ASSERT_TRUE(eventually([&] {
            const auto held_up = watch_.look();
            remedy = held_up ? held_up->next_step(watch_.grace()) : "";
            return remedy.find("as a superuser") != std::string::npos;
        }));
        admin.execute("ending", "COMMIT");
    });
    apply();
    ending.join();
    EXPECT_THAT(remedy, AllOf(HasSubstr("as a superuser, SELECT pg_terminate_backend("),
                              HasSubstr("superuser process")));
    expect_equal();
}

TEST_F(DatabaseLocks, ADaemonThatStopsWaitsForNobody) {
    postgres::LockWatch patient(options(std::chrono::hours(1)));
    const auto idle = reader("BEGIN; SELECT * FROM public.t");
    as("app_owner", "TRUNCATE t");
    capture_up_to(primary_->capture.wal_position());
    std::jthread stopping([&] {
        ASSERT_TRUE(eventually([&] { return patient.look().has_value(); }));
        patient.let_go();
    });
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("canceling statement"));
    EXPECT_TRUE(is_alive(*idle));
}

TEST_F(DatabaseLocks, DeadlocksAndTimeoutsAreTriedAgain) {
    // A lock timeout: nobody watches.
    auto idle = reader("BEGIN; SELECT * FROM public.t");
    secondary_.reset();
    secondary_.emplace(b_, "mirror", secondary::CopyOptions{}, milliseconds(200));
    as("app_owner", "TRUNCATE t; INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("lock timeout"));
    idle.reset();
    given_ = Position{};
    apply();
    expect_equal();
    // A deadlock with an administrator's session, which PostgreSQL ends on the daemon's side.
    restart_mirror();
    postgres::Connection admin(b_.url("app"), "admin");
    admin.execute("writing",
                  "SET deadlock_timeout = '1h'; BEGIN; SELECT * FROM public.t WHERE id "
                  "= 2 FOR UPDATE");
    as("app_owner", "UPDATE t SET v = 'c' WHERE id = 1");
    as("app_owner", "INSERT INTO u VALUES (1); UPDATE t SET v = 'c' WHERE id = 2");
    capture_up_to(primary_->capture.wal_position());
    given_ = Position{};
    std::jthread crossing([&] {
        ASSERT_TRUE(eventually([&] {
            return b_.psql(
                       "SELECT count(*) FROM pg_stat_activity WHERE usename = 'mirror' AND "
                       "wait_event_type = 'Lock'") != "0";
        }));
        admin.execute("writing", "SELECT * FROM public.t WHERE id = 1 FOR UPDATE; ROLLBACK");
    });
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("deadlock"));
    crossing.join();
    given_ = Position{};
    apply();
    expect_equal();
}

}  // namespace
}  // namespace antipode::test
