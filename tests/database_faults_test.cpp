#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

TEST_F(DatabaseLane, CutsALargeTransactionAndAppliesItAsItComes) {
    on_a("CREATE TABLE items (id int PRIMARY KEY, v text)");
    start_capture();
    copy();
    on_a(
        "BEGIN; INSERT INTO items SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, "
        "20000) "
        "i; ALTER TABLE items ADD extra int; UPDATE items SET v = 'x' WHERE id % 2 = 0; COMMIT");
    on_b("ALTER TABLE items ADD extra int");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_GT(stream_.size(), 20U);
    for (const protocol::Event& event : stream_) {
        EXPECT_LT(event.payload.transaction().changes().size(), 300'000U);
    }
    // Part by part; in the middle the secondary's daemon dies, and then its server.
    const std::vector<protocol::Event> events(stream_.begin(), stream_.end());
    apply_each(events, events.size() / 2);
    EXPECT_EQ(on_b("SELECT count(*) FROM items"), "0");
    restart_secondary();
    apply_each(events, events.size() / 2);
    b_.kill();
    b_.start();
    EXPECT_THROW(secondary_->apply.apply(std::vector{&events.back()}), Error);
    // Capture starts again in the middle, too: the parts come once more.
    apply_each(events, events.size() - 1);
    apply_each(events, events.size());
    EXPECT_EQ(on_b("SELECT count(*) FROM items"), "20000");
    expect_equal();
}

TEST_F(DatabaseLane, ManySmallTransactionsAndReplaysAreAppliedOnce) {
    on_a("CREATE TABLE counter (id int PRIMARY KEY, n int); INSERT INTO counter VALUES (1, 0)");
    start_capture();
    copy();
    std::string script;
    for (int i = 0; i < 150; ++i) {
        script += "UPDATE counter SET n = n + 1; INSERT INTO counter VALUES (" +
                  std::to_string(i + 10) + ", 0);\n";
    }
    for (int round = 0; round < 3; ++round) {
        on_a(round == 0 ? script : "UPDATE counter SET n = n + 1 WHERE id > 100");
        // Nothing was confirmed: everything comes again, in a new session of the publisher.
        restart_primary();
        catch_up_without_confirming();
        expect_equal();
        restart_secondary();
    }
    EXPECT_EQ(secondary_->apply.position().transactions, 302U);
    // Confirmed: the next start begins behind.
    catch_up();
    ASSERT_TRUE(eventually([&] {
        publish(primary_->capture.poll(milliseconds(50)));
        return on_a("SELECT confirmed_flush_lsn >= '" +
                    secondary_->apply.position().lsn.to_string() + "' FROM pg_replication_slots") ==
               "t";
    }));
    restart_primary();
    stream_.clear();
    on_a("DELETE FROM counter WHERE id = 10");
    catch_up();
    EXPECT_LE(stream_.size(), 2U);
    expect_equal();
}

TEST_F(DatabaseLane, SurvivesKillNineOfEitherServerAtAnyTime) {
    on_a("CREATE TABLE t (id serial PRIMARY KEY, v text)");
    start_capture();
    copy();
    for (int round = 0; round < 4; ++round) {
        on_a(
            "INSERT INTO t (v) SELECT md5(i::text) FROM generate_series(1, 100) i; "
            "UPDATE t SET v = v || 'x' WHERE id % 7 = 0");
        if (round % 2 == 0) {
            publish(primary_->capture.poll(milliseconds(200)));
            a_.kill();
            a_.start();
        } else {
            capture_up_to(primary_->capture.wal_position());
            apply();
            b_.kill();
            b_.start();
        }
        // The workers' loop: an error, and the same call again.
        ASSERT_TRUE(eventually([&] {
            try {
                catch_up();
                return true;
            } catch (const Error& error) {
                EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
                given_ = Position{};
                return false;
            }
        }));
        expect_equal();
    }
}

TEST_F(DatabaseLane, NamesEachUnmetNeedWithItsRemedy) {
    const auto error = [&](const std::string& user, const std::string& identity = "set") {
        Primary primary(a_, user, identity);
        return error_of([&] { primary.capture.poll(milliseconds(0)); }, Reaction::Stop);
    };
    a_.psql("CREATE ROLE plain LOGIN");
    EXPECT_THAT(error("plain"), testing::AllOf(HasSubstr("may not replicate"),
                                               HasSubstr("ALTER ROLE \"plain\" REPLICATION"),
                                               HasSubstr("CREATE PUBLICATION")));
    on_a("CREATE TABLE \"no key\" (v int)");
    EXPECT_THAT(error("postgres", "check"),
                testing::AllOf(HasSubstr("\"public\".\"no key\""), HasSubstr("REPLICA IDENTITY")));
    EXPECT_EQ(on_a("SELECT count(*) FROM pg_publication"), "0") << "checked before publishing";
    on_a(
        "DROP TABLE \"no key\"; CREATE PUBLICATION antipode_app FOR ALL TABLES WITH (publish = "
        "'insert')");
    EXPECT_THAT(error("postgres"), HasSubstr("leaves out operations"));
    on_a(
        "DROP PUBLICATION antipode_app; CREATE TABLE t (id int PRIMARY KEY); "
        "CREATE PUBLICATION antipode_app");
    EXPECT_THAT(error("postgres"), HasSubstr("leaves out \"public\".\"t\""));
    on_a("DROP PUBLICATION antipode_app");
    for (int i = 0; i < 8; ++i) {
        on_a("SELECT pg_create_physical_replication_slot('other" + std::to_string(i) + "')");
    }
    EXPECT_THAT(error("postgres"), testing::AllOf(HasSubstr("no replication slot is free"),
                                                  HasSubstr("max_replication_slots")));
    on_a("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    a_.stop();
    a_.set("wal_level", "replica");
    a_.start();
    EXPECT_THAT(error("postgres"),
                testing::AllOf(HasSubstr("wal_level is \"replica\""),
                               HasSubstr("ALTER SYSTEM SET wal_level = logical")));
}

TEST_F(DatabaseLane, SaysThatTheSlotWasLost) {
    start_capture();
    const auto error = [&] {
        return error_of(
            [&] {
                for (int i = 0; i < 100; ++i) {
                    try {
                        primary_->capture.poll(milliseconds(100));
                    } catch (const Error& lost) {
                        if (lost.reaction() == Reaction::Stop) {
                            throw;
                        }
                    }
                }
            },
            Reaction::Stop);
    };
    primary_->capture.restart();
    primary_->source.stop();
    ASSERT_TRUE(eventually(
        [&] { return on_a("SELECT count(*) FROM pg_replication_slots WHERE active") == "0"; }));
    on_a("SELECT pg_drop_replication_slot('antipode_test_app')");
    EXPECT_THAT(error(), testing::AllOf(HasSubstr("antipode_test_app is gone"),
                                        HasSubstr("antipode database new-slot")));
    restart_primary();
    EXPECT_THAT(error(), HasSubstr("is gone")) << "a new process knows it from the publication";
    primary_->control.give_up_slot();
    start_capture();
}

TEST_F(DatabaseLane, WorksWithoutSuperusers) {
    a_.psql("CREATE ROLE owner LOGIN REPLICATION; ALTER DATABASE app OWNER TO owner");
    b_.psql(
        "CREATE ROLE owner LOGIN; ALTER DATABASE app OWNER TO owner; "
        "GRANT SET ON PARAMETER session_replication_role TO owner");
    on_a(
        "SET ROLE owner; CREATE SCHEMA s; CREATE TABLE s.t (id serial PRIMARY KEY, v text); "
        "CREATE TABLE s.log (v text); INSERT INTO s.t (v) VALUES ('a')");
    on_a("CREATE PUBLICATION antipode_app FOR ALL TABLES");
    primary_.emplace(a_, "owner");
    secondary_.emplace(b_, "owner");
    start_capture();
    EXPECT_EQ(on_a("SELECT relreplident FROM pg_class WHERE relname = 'log'"), "f");
    copy();
    on_a("INSERT INTO s.t (v) VALUES ('b'); INSERT INTO s.log VALUES ('x'); DELETE FROM s.log");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT tableowner FROM pg_tables WHERE tablename = 't'"), "owner");
    // Named, with the remedy, when the right to do so is missing.
    b_.psql("REVOKE SET ON PARAMETER session_replication_role FROM owner");
    secondary_.emplace(b_, "owner");
    EXPECT_THAT(error_of([&] { secondary_->apply.position(); }, Reaction::Stop),
                HasSubstr("GRANT SET ON PARAMETER session_replication_role"));
}

TEST_F(DatabaseLane, NewTablesGetAnIdentityBeforeTheApplicationUpdatesThemForLong) {
    start_capture();
    on_a("CREATE TABLE fresh (v int); INSERT INTO fresh VALUES (1)");
    ASSERT_TRUE(eventually([&] {
        primary_->capture.poll(milliseconds(50));
        return on_a("SELECT relreplident FROM pg_class WHERE relname = 'fresh'") == "f";
    }));
    on_a("UPDATE fresh SET v = 2");
}

TEST_F(DatabaseLane, NamesTableKeyAndPlaceOfAChangeThatCannotBeApplied) {
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE later (id int PRIMARY KEY); "
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    start_capture();
    copy();
    on_b("DELETE FROM t WHERE id = 2");
    on_a("UPDATE t SET v = 'kept' WHERE id = 1; UPDATE t SET v = 'lost' WHERE id = 2");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop),
                testing::AllOf(HasSubstr("public.t, key (id = 2)"), HasSubstr("transaction "),
                               HasSubstr("/")));
    EXPECT_EQ(on_b("SELECT v FROM t WHERE id = 1"), "kept") << "what came before is applied";
    on_b("INSERT INTO t VALUES (2, 'b')");
    apply();
    on_b("INSERT INTO t VALUES (3, 'foreign')");
    on_a("INSERT INTO t VALUES (3, 'own')");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop),
                testing::AllOf(HasSubstr("public.t, key (id = 3)"), HasSubstr("duplicate key")));
    on_b("DELETE FROM t WHERE id = 3");
    apply();
    on_a("ALTER TABLE t ADD unknown_here int; INSERT INTO t VALUES (4, 'own', 1)");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop),
                testing::AllOf(HasSubstr("public.t"), HasSubstr("unknown_here")));
    on_b("ALTER TABLE t ADD unknown_here int");
    apply();
    expect_equal();
}

TEST_F(DatabaseLane, ACopyWaitsForCommitsThatNoSnapshotSeesYet) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    on_a("ALTER SYSTEM SET synchronous_standby_names = 'absent'");
    on_a("SELECT pg_reload_conf()");
    // In the log, decoded, but not visible: its commit waits for a standby.
    std::jthread writer([&] { on_a("INSERT INTO t VALUES (1)"); });
    ASSERT_TRUE(eventually([&] {
        publish(primary_->capture.poll(milliseconds(20)));
        return !stream_.empty();
    }));
    primary_->capture.confirm(Lsn{stream_.back().payload.transaction().end_lsn()});
    publish(primary_->capture.poll(milliseconds(20)));
    std::atomic<bool> copied{false};
    std::jthread standby([&] {
        eventually([&] {
            return copied || on_a(
                                 "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                                 "'antipode copy app' AND wait_event = 'PgSleep'") == "1";
        });
        on_a("ALTER SYSTEM RESET synchronous_standby_names");
        on_a("SELECT pg_reload_conf()");
    });
    copy();
    copied = true;
    standby.join();
    writer.join();
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM t"), "1");
}

TEST_F(DatabaseLane, EndsAnEarlierSessionThatHoldsTheDatabase) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    copy();
    // A daemon whose machine vanished in the middle of a transaction.
    Secondary ghost(b_);
    ghost.session.load();
    ghost.session.begin();
    restart_secondary();
    on_a("INSERT INTO t VALUES (1)");
    catch_up();
    expect_equal();
    EXPECT_THROW(ghost.session.commit(), Error);
    // The same for the slot.
    Primary other(a_);
    const auto taken_over = [&](Primary& next) {
        try {
            publish(next.capture.poll(milliseconds(0)));
            return true;
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
            return false;
        }
    };
    ASSERT_TRUE(eventually([&] { return taken_over(other); }));
    on_a("INSERT INTO t VALUES (2)");
    ASSERT_TRUE(eventually([&] { return taken_over(*primary_); }));
    catch_up();
    expect_equal();
}

TEST_F(DatabaseLane, IdlePrimaryShutsDownFastAndTheSlotMovesOn) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    copy();
    const std::string before = on_a("SELECT confirmed_flush_lsn FROM pg_replication_slots");
    // Another database writes; nothing of it is replicated.
    a_.psql("CREATE TABLE noise AS SELECT md5(i::text) FROM generate_series(1, 50000) i");
    catch_up();
    ASSERT_TRUE(eventually([&] {
        publish(primary_->capture.poll(milliseconds(50)));
        apply();
        primary_->capture.confirm(secondary_->apply.position().lsn);
        return on_a("SELECT confirmed_flush_lsn > '" + before +
                    "'::pg_lsn + 1000000 FROM pg_replication_slots") == "t";
    }));
    // Unconfirmed changes must not hold up a shutdown.
    on_a("INSERT INTO t VALUES (1)");
    std::jthread daemon([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            try {
                primary_->capture.poll(milliseconds(50));
                primary_->capture.wal_position();
            } catch (const Error&) {
            }
        }
    });
    EXPECT_TRUE(a_.stop(std::chrono::seconds(10)));
}

}  // namespace
}  // namespace antipode::test
