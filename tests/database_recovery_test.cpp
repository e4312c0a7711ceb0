// A database whose missing transactions nobody can send any more: compared, and only what differs
// is copied.
#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/ddl_setup.hpp"
#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

class DatabaseRecovery : public DatabaseLane {
  protected:
    void begin(const std::string& sql) {
        postgres::run_ddl_setup(a_.url("app"), "postgres");
        on_a(sql);
        start_capture();
        copy();
        on_a("CREATE TABLE passed ()");
        catch_up();
    }
    /// The slot goes while `sql` is written.
    void lose_slot(const std::string& sql) {
        primary_->source.stop();
        on_a(sql);
        on_a("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
        restart_primary();
        stream_.clear();
        EXPECT_THAT(error_of([&] { primary_->capture.poll(milliseconds(0)); }, Reaction::Stop),
                    HasSubstr("antipode database new-slot"));
        primary_->control.give_up_slot();
        start_capture();
    }
    /// `requests` of rows are counted.
    void recover() {
        on_a("INSERT INTO t VALUES (1000000, 'behind what is lost')");
        capture_up_to(primary_->capture.wal_position());
        EXPECT_THAT(error_of([&] { apply(); }, Reaction::Resync), HasSubstr("is missing"));
        secondary_->apply.compare_anew();
        EXPECT_FALSE(secondary_->apply.position().copied);
        compare();
        given_ = {};
        catch_up();
    }
    void compare() {
        DirectBulk bulk(primary_->bulk);
        bulk.before = before_;
        secondary_->apply.initial_copy(bulk, [](const auto&) {}, {});
        for (const BulkRequest& request : bulk.asked) {
            if (request.path.ends_with("/check/copy")) {
                const std::string& chunks = request.query.at("chunks");
                chunks_ += 1 + static_cast<size_t>(std::count(chunks.begin(), chunks.end(), ','));
            } else if (request.path.ends_with("/copy")) {
                whole_.push_back(request.query.at("table"));
            }
        }
    }

    std::function<void(const BulkRequest&)> before_;
    size_t chunks_ = 0;               ///< transferred
    std::vector<std::string> whole_;  ///< tables
};

constexpr const char* tables = R"(
    CREATE TABLE t (id int PRIMARY KEY, v text);
    CREATE TABLE other (id int PRIMARY KEY REFERENCES t, v text UNIQUE);
    CREATE TABLE keyless (v int); CREATE TABLE small (id serial PRIMARY KEY);
    CREATE TABLE replaced (id int PRIMARY KEY, v int);
    INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 3000) i;
    INSERT INTO other SELECT i, 'v' || i FROM generate_series(1, 3000) i;
    INSERT INTO keyless SELECT i % 500 FROM generate_series(1, 1000) i;
    INSERT INTO small SELECT FROM generate_series(1, 10);
    INSERT INTO replaced SELECT i, i FROM generate_series(1, 2000) i;
    ANALYZE)";

TEST_F(DatabaseRecovery, CopiesOnlyWhatDiffers) {
    begin(tables);
    lose_slot(R"(UPDATE t SET v = 'changed' WHERE id BETWEEN 150 AND 160;
        DELETE FROM other WHERE id > 2990; DELETE FROM t WHERE id = 2999;
        INSERT INTO keyless VALUES (7), (7); INSERT INTO small DEFAULT VALUES;
        UPDATE replaced SET v = -v;
        UPDATE other SET v = 'gone' WHERE id = 5; UPDATE other SET v = 'v5' WHERE id = 2500)");
    recover();
    expect_equal();
    EXPECT_LE(chunks_, 9U);
    EXPECT_THAT(whole_, testing::ElementsAre("replaced"));
    EXPECT_EQ(on_b("SELECT nextval('small_id_seq')"), on_a("SELECT nextval('small_id_seq')"));
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.copied_table"), "0") << "apply is past them";
    on_a("UPDATE t SET v = 'later'; DELETE FROM keyless WHERE v = 7");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseRecovery, GoesOnWhereItWasCutOffWhileRowsAreWritten) {
    begin(tables);
    lose_slot("UPDATE t SET v = 'changed' WHERE id = 150; DELETE FROM keyless WHERE v = 8");
    int calls = 0;
    std::set<std::string> compared;
    before_ = [&](const BulkRequest& request) {
        if (request.path.ends_with("/check/digests")) {
            EXPECT_TRUE(compared.insert(request.query.at("table")).second ||
                        request.query.at("table") == "replaced")
                << "compared twice";
            on_a(
                "UPDATE t SET v = v || '.' WHERE id % 100 = 0; INSERT INTO keyless VALUES (1); "
                "UPDATE replaced SET v = v + 1 WHERE id < 30; INSERT INTO small DEFAULT VALUES");
            on_a("CREATE TABLE later_" + std::to_string(++calls) + " AS SELECT 1 AS v");
            if (calls == 4) {
                b_.kill();
                b_.start();
            }
        }
    };
    secondary_->apply.compare_anew();
    error_of([&] { compare(); }, Reaction::Retry);
    EXPECT_EQ(calls, 4);
    restart_secondary();
    compare();
    catch_up();
    expect_equal();
}

TEST_F(DatabaseRecovery, NamesStructureThatWasLostAndGoesOnOnceItIsHere) {
    begin(tables);
    lose_slot("ALTER TABLE t ADD COLUMN more int DEFAULT 5; CREATE INDEX by_v ON t (v)");
    on_a("INSERT INTO t VALUES (1000000, 'behind', 1)");
    secondary_->apply.compare_anew();
    const std::string problem = error_of([&] { compare(); }, Reaction::Stop);
    EXPECT_THAT(problem, HasSubstr("more"));
    EXPECT_THAT(problem, HasSubstr("pg_dump"));
    on_b("ALTER TABLE t ADD COLUMN more int DEFAULT 5; CREATE INDEX by_v ON t (v)");
    compare();
    catch_up();
    expect_equal();
    on_a("ALTER TABLE t DROP COLUMN more");
    catch_up();
    expect_equal();
}

TEST_F(DatabaseRecovery, BeginsByItselfWhereTheServerEndedTheSlot) {
    begin(tables);
    primary_->source.stop();
    on_a("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    on_a("SELECT pg_reload_conf()");
    ASSERT_TRUE(eventually([&] {
        on_a("UPDATE t SET v = md5(random()::text)");
        on_a("SELECT pg_switch_wal()");
        on_a("CHECKPOINT");
        return on_a("SELECT wal_status FROM pg_replication_slots") == "lost";
    }));
    on_a("ALTER SYSTEM RESET max_slot_wal_keep_size");
    on_a("SELECT pg_reload_conf()");
    restart_primary();
    stream_.clear();
    start_capture();
    recover();
    expect_equal();
    EXPECT_THAT(whole_, testing::ElementsAre("t"));
}

}  // namespace
}  // namespace antipode::test
