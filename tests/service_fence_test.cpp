// Whoever but the daemon could write to a database is kept out of it, on a real server.
#include "adapters/postgres/service_fence.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/write_trial.hpp"
#include "base/error.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

class ServiceFence : public testing::Test {
  protected:
    void SetUp() override {
        unsetenv("PGAPPNAME");
        server_.start();
        server_.psql("CREATE ROLE app LOGIN; CREATE ROLE reader LOGIN REPLICATION");
        server_.psql("CREATE DATABASE app OWNER app");
        server_.psql("CREATE TABLE t (id int); GRANT ALL ON t TO app, reader", "app");
    }

    CommandResult connect(const std::string& role) {
        return run({PostgresServer::program("psql"), "-Xc", "INSERT INTO t VALUES (1)",
                    server_.url("app", role)});
    }
    /// A session that stays open until somebody ends it.
    Process session(const std::string& url) {
        Process process({PostgresServer::program("psql"), "-Xc", "SELECT pg_sleep(600)", url}, {});
        EXPECT_TRUE(eventually([&] {
            return server_.psql(
                       "SELECT count(*) FROM pg_stat_activity WHERE query = "
                       "'SELECT pg_sleep(600)'") != "0";
        }));
        return process;
    }
    std::string refusal() {
        try {
            fence_.close();
            return {};
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Stop);
            EXPECT_FALSE(error.next_step().empty());
            return error.what();
        }
    }

    TemporaryDirectory directory_;
    PostgresServer server_{directory_ / "postgres",
                           {.settings = {{"max_prepared_transactions", "5"}}}};
    postgres::ServiceFence fence_{server_.url("app"), "antipode fence"};
};

TEST_F(ServiceFence, EndsSessionsAndRefusesNewOnesUntilItIsOpened) {
    const std::string grants = fence_.grants();
    Process open = session(server_.url("app", "app"));
    EXPECT_EQ(refusal(), "");
    EXPECT_NE(open.wait(std::chrono::seconds(20)), 0) << "it is still connected";
    EXPECT_FALSE(fence_.leak());
    EXPECT_THAT(connect("app").error, HasSubstr("permission denied for database"));
    EXPECT_EQ(refusal(), "") << "a second time";
    server_.psql("GRANT CONNECT ON DATABASE app TO app");
    EXPECT_THAT(fence_.leak().value_or(""), HasSubstr("may still connect: app"));
    fence_.open(grants);
    EXPECT_EQ(connect("app").status, 0);
    EXPECT_EQ(connect("reader").status, 0) << "it could by PUBLIC, as before";
}

TEST_F(ServiceFence, EndsReplicationConnectionsBecauseTheyTakeSqlToo) {
    Process open = session(server_.url("app", "reader") + " replication=database");
    EXPECT_EQ(refusal(), "");
    EXPECT_NE(open.wait(std::chrono::seconds(20)), 0) << "it is still connected";
    EXPECT_NE(connect("reader").status, 0);
}

TEST_F(ServiceFence, DoesNotHoldOverATransactionThatOnlyWaitsToBeCommitted) {
    server_.psql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'later'", "app");
    EXPECT_EQ(fence_.problems().size(), 1U);
    EXPECT_THAT(refusal(), HasSubstr("prepared and not ended: later"));
    server_.psql("ROLLBACK PREPARED 'later'", "app");
    EXPECT_EQ(refusal(), "");
}

/// A daemon that is no superuser cannot see what others' sessions are.
TEST_F(ServiceFence, OfADaemonThatIsNoSuperuserHoldsOverNobodyItCannotSeeOrEnd) {
    server_.psql("CREATE ROLE daemon LOGIN; GRANT app TO daemon");
    postgres::ServiceFence fence(server_.url("app", "daemon"), "antipode fence");
    Process open = session(server_.url("app", "reader"));
    EXPECT_EQ(fence.problems().size(), 2U) << "neither see nor end";
    EXPECT_THROW(fence.close(), Error);
    EXPECT_TRUE(open.running());
    EXPECT_THAT(fence.leak().value_or(""), HasSubstr("reader"));
    server_.psql("GRANT pg_read_all_stats, pg_signal_backend TO daemon");
    EXPECT_TRUE(fence.problems().empty());
    fence.close();
    EXPECT_NE(open.wait(std::chrono::seconds(20)), 0);
    EXPECT_FALSE(fence.leak());
}

/// What a service does: it connects, as its own role.
class WriteTrial : public ServiceFence {
  protected:
    postgres::WriteTrial as(const std::string& role, const std::string& more = "") {
        return postgres::try_to_write(server_.url("app", role) + more, "antipode trial");
    }
    Error error_of(const std::string& url) {
        try {
            const bool could =
                postgres::try_to_write(url, "antipode trial", std::chrono::seconds(1)).could_write;
            ADD_FAILURE() << "no error, could write: " << could;
        } catch (const Error& error) {
            return error;
        }
        return {Reaction::Resync, "none"};
    }
};

TEST_F(WriteTrial, SucceedsUntilTheFenceIsClosed) {
    const std::string grants = fence_.grants();
    EXPECT_TRUE(as("app").could_write);
    fence_.close();
    EXPECT_FALSE(fence_.leak()) << "a trial that is over is no session";
    const auto refused = as("app");
    EXPECT_FALSE(refused.could_write);
    EXPECT_THAT(refused.said, HasSubstr("permission denied for database"));
    EXPECT_TRUE(as("postgres").could_write) << "no right to connect keeps a superuser out";
    fence_.open(grants);
    EXPECT_TRUE(as("app").could_write);
    server_.psql("ALTER DATABASE app SET default_transaction_read_only = on");
    EXPECT_TRUE(as("app").could_write) << "one SET undoes that";
}

TEST_F(WriteTrial, IsRefusedByFencesThatACommandCloses) {
    server_.psql("ALTER ROLE app NOLOGIN");
    EXPECT_FALSE(as("app").could_write);
    server_.psql("ALTER ROLE app LOGIN; ALTER DATABASE app ALLOW_CONNECTIONS false");
    EXPECT_FALSE(as("app").could_write);
    server_.psql("ALTER DATABASE app ALLOW_CONNECTIONS true");
    const auto hba = directory_ / "postgres/data/pg_hba.conf";
    const std::string before = read_file(hba);
    write_file(hba, "host all app 127.0.0.1/32 reject\n" + before);
    server_.psql("SELECT pg_reload_conf()");
    EXPECT_TRUE(eventually([&] { return !as("app").could_write; }));
    EXPECT_THAT(as("app").said, HasSubstr("pg_hba.conf rejects"));
    write_file(hba, "host all app 127.0.0.1/32 scram-sha-256\n" + before);
    server_.psql("ALTER ROLE app PASSWORD 'right'; SELECT pg_reload_conf()");
    EXPECT_TRUE(eventually([&] { return as("app", " password=right").could_write; }));
    EXPECT_EQ(error_of(server_.url("app", "app") + " password=wrong").reaction(), Reaction::Stop)
        << "that would be refused with the fence open, too";
}

TEST_F(WriteTrial, SaysWhenNothingCanBeSaid) {
    EXPECT_EQ(error_of(server_.url("no_such_database", "app")).reaction(), Reaction::Stop);
    server_.freeze();
    EXPECT_EQ(error_of(server_.url("app", "app")).reaction(), Reaction::Retry) << "it hangs";
    server_.thaw();
    server_.kill();
    EXPECT_EQ(error_of(server_.url("app", "app")).reaction(), Reaction::Retry) << "it is away";
}

}  // namespace
}  // namespace antipode::test
