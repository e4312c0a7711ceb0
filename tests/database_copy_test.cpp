#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/worker.hpp"
#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

/// The initial copy with several workers and small ranges.
class DatabaseCopy : public DatabaseLane {
  protected:
    DatabaseCopy() { restart_copier(); }

    void restart_copier() {
        secondary_.reset();
        secondary_.emplace(b_, "postgres",
                           secondary::CopyOptions{.workers = 2, .part_bytes = 512 * limits::kib});
    }
    secondary::CopyProgress copy_with(DirectBulk& bulk) {
        secondary::CopyProgress last;
        secondary_->apply.initial_copy(bulk, [&](const auto& progress) { last = progress; }, {});
        return last;
    }
    void make_big() {
        on_a(
            "CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, v text); "
            "INSERT INTO big SELECT i, 0, repeat(md5(i::text), 3) FROM generate_series(1, 30000) "
            "i; CREATE TABLE small (id int PRIMARY KEY, v text); "
            "INSERT INTO small SELECT i, 's' FROM generate_series(1, 100) i; ANALYZE");
    }
    /// "big 100 200": which rows a request asks for.
    static std::string rows_of(const BulkRequest& request) {
        const auto word = [&](const char* name) {
            const auto found = request.query.find(name);
            return found == request.query.end() ? std::string("-") : found->second;
        };
        return word("table") + " " + word("after") + " " + word("up_to");
    }
    static std::map<std::string, int> copies_of(const std::vector<BulkRequest>& asked) {
        std::map<std::string, int> copies;
        for (const BulkRequest& request : asked) {
            if (request.path.ends_with("/copy")) {
                ++copies[rows_of(request)];
            }
        }
        return copies;
    }
    std::string copied_parts() {
        return on_b(
            "SELECT table_name, coalesce(nullif(after_key, ''), '-'), "
            "coalesce(nullif(up_to_key, ''), '-') FROM antipode.copied_table "
            "WHERE table_name <> '' ORDER BY 1, 2");
    }
};

TEST_F(DatabaseCopy, CopiesRangesAtOnceWhileRowsMoveBetweenThem) {
    make_big();
    on_a("CREATE SEQUENCE fresh START 100000");
    start_capture();
    std::atomic<bool> stop = false;
    std::vector<std::jthread> writers;
    const std::string move =
        "UPDATE big SET n = n + 1 WHERE id IN (SELECT 1 + (random() * 30000)::int FROM "
        "generate_series(1, 5)); DELETE FROM big WHERE id = 1 + (random() * 30000)::int; "
        "INSERT INTO big SELECT nextval('fresh'), 0, 'new'; "
        "UPDATE big SET id = 50000 + id, n = n + 1 WHERE id = 1 + (random() * 30000)::int; "
        "UPDATE big SET id = id - 49999, v = 'back' WHERE id = (SELECT max(b.id) FROM big b WHERE "
        "b.id BETWEEN 50000 AND 90000 AND NOT EXISTS (SELECT FROM big o WHERE o.id = b.id - "
        "49999))";
    for (int i = 0; i < 2; ++i) {
        writers.emplace_back([&] {
            while (!stop) {
                run({PostgresServer::program("psql"), "-Xq", a_.url("app"), "-c", move});
            }
        });
    }
    DirectBulk bulk(primary_->bulk);
    bulk.before = [&](const BulkRequest& request) {
        if (request.path.ends_with("/copy")) {
            const std::string seen = on_a("SELECT last_value FROM fresh");
            ASSERT_TRUE(eventually([&] { return on_a("SELECT last_value FROM fresh") != seen; }));
        }
    };
    const auto progress = copy_with(bulk);
    EXPECT_EQ(progress.tables_done, 2U);
    EXPECT_EQ(progress.tables, 2U);
    EXPECT_GT(progress.rows, 25000U);
    EXPECT_GT(progress.source_bytes, 3 * limits::mib);
    EXPECT_EQ(progress.source_bytes_done, progress.source_bytes);
    const auto copies = copies_of(bulk.asked);
    EXPECT_GT(copies.size(), 5U);
    EXPECT_EQ(on_b("SELECT sum(rows) FROM antipode.copied_table WHERE table_name = 'big'"),
              on_b("SELECT count(*) FROM big"));
    stop = true;
    writers.clear();
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.copied_table"), "0");
}

TEST_F(DatabaseCopy, RepeatsNoFinishedRangeAfterAnyKill) {
    make_big();
    start_capture();
    DirectBulk bulk(primary_->bulk);
    std::atomic<int> requests = 0;
    // A server dies with the thread that started it; those of a copy end with it.
    std::vector<std::jthread> starters;
    const auto start_for_good = [&](PostgresServer& server) {
        const auto started = std::make_shared<std::promise<void>>();
        starters.emplace_back([&server, started](const std::stop_token& stop) {
            server.start();
            started->set_value();
            while (!sleep_unless_stopped(std::chrono::hours(1), stop)) {
            }
        });
        started->get_future().wait();
    };
    // One after the other: the connection is cut, each server is killed, the daemon starts anew.
    const std::vector<std::function<void()>> troubles = {
        [] { throw Error(Reaction::Retry, "the connection was cut"); },
        [&] {
            b_.kill();
            start_for_good(b_);
        },
        [&] {
            a_.kill();
            start_for_good(a_);
            throw Error(Reaction::Retry, "the primary is gone");
        }};
    size_t trouble = 0;
    bulk.before = [&](const BulkRequest& request) {
        if (request.path.ends_with("/copy") && ++requests % 3 == 0) {
            const size_t next = trouble++;
            if (next < troubles.size()) {
                troubles[next]();
            }
        }
    };
    std::map<std::string, int> finished;
    bool done = false;
    for (int run = 0; run < 10 && !done; ++run) {
        bulk.asked.clear();
        try {
            copy_with(bulk);
            done = true;
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
        }
        for (const auto& [rows, times] : copies_of(bulk.asked)) {
            EXPECT_EQ(times, 1) << rows << " in run " << run;
            EXPECT_EQ(finished[rows], 0) << rows << " was finished before run " << run;
        }
        std::istringstream parts(copied_parts());
        on_b("CHECKPOINT");  // what a range's commit does not wait for
        for (std::string line; std::getline(parts, line);) {
            std::replace(line.begin(), line.end(), '|', ' ');
            finished[line] = 1;
        }
        restart_copier();
    }
    EXPECT_TRUE(done);
    EXPECT_GE(trouble, troubles.size());
    EXPECT_GT(finished.size(), 5U);
    EXPECT_EQ(on_b("SELECT count(*) FROM big"), "30000");
    given_ = Position{};
    ASSERT_TRUE(eventually([&] {
        try {
            catch_up();
            return true;
        } catch (const Error&) {
            return false;  // capture connects again
        }
    }));
    expect_equal();
}

TEST_F(DatabaseCopy, CopiesATableAgainThatIsTruncatedBetweenItsRanges) {
    make_big();
    // What has fired there does not fire again here.
    on_a(R"(CREATE TABLE log (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END';
        CREATE TRIGGER noted AFTER INSERT OR DELETE OR TRUNCATE ON big
            FOR EACH STATEMENT EXECUTE FUNCTION note();
        ALTER TABLE big ENABLE ALWAYS TRIGGER noted)");
    start_capture();
    DirectBulk bulk(primary_->bulk);
    std::atomic<bool> truncated = false;
    bulk.before = [&](const BulkRequest& request) {
        const bool finished_one = request.path.ends_with("/copy") && !copied_parts().empty() &&
                                  copied_parts().find("big") != std::string::npos;
        if (finished_one && !truncated.exchange(true)) {
            on_a(
                "TRUNCATE big; INSERT INTO big SELECT i, 1, 'after' FROM generate_series(1, 50) "
                "i; INSERT INTO big SELECT i, 1, 'after' FROM generate_series(29000, 29900) i");
        }
    };
    copy_with(bulk);
    ASSERT_TRUE(truncated);
    bulk.before = nullptr;
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("truncates public.big"));
    EXPECT_FALSE(secondary_->apply.position().copied);
    copy_with(bulk);
    EXPECT_TRUE(secondary_->apply.position().copied);
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT tgenabled FROM pg_trigger WHERE tgname = 'noted'"), "A");
}

TEST_F(DatabaseCopy, CopiesATableAloneThatWasMadeUnnoticed) {
    on_a("CREATE TABLE old (id int PRIMARY KEY); INSERT INTO old VALUES (1)");
    start_capture();
    copy();
    catch_up();
    // Nobody captures DDL here.
    on_a(
        "CREATE TABLE \"L\u00e4te .x\" (id serial PRIMARY KEY, o int REFERENCES old, v text "
        "UNIQUE); "
        "INSERT INTO \"L\u00e4te .x\" (o, v) SELECT 1, i FROM generate_series(1, 500) i; "
        "CREATE TABLE brief (id int PRIMARY KEY); INSERT INTO brief VALUES (1)");
    primary_->capture.poll(milliseconds(0));
    on_a("UPDATE \"L\u00e4te .x\" SET v = v || 'x'; DELETE FROM \"L\u00e4te .x\" WHERE id = 7");
    on_a("DROP TABLE brief; INSERT INTO old VALUES (2)");
    restart_primary();
    DirectBulk bulk(primary_->bulk);
    int copies = 0;
    ASSERT_TRUE(eventually([&] {
        try {
            given_ = Position{};
            catch_up();
            return true;
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
            EXPECT_FALSE(secondary_->apply.position().copied);
            ++copies;
            copy_with(bulk);
            return false;
        }
    }));
    EXPECT_EQ(copies, 2);
    expect_equal();
    on_a("UPDATE \"L\u00e4te .x\" SET v = 'y' || id WHERE id < 10");
    catch_up();
    expect_equal();
    EXPECT_THAT(
        on_b("SELECT conname FROM pg_constraint WHERE conrelid = '\"L\u00e4te .x\"'::regclass "
             "AND contype = 'f' AND convalidated"),
        HasSubstr("_o_fkey"));
}

TEST_F(DatabaseCopy, CopiesATableThatAppearedAfterTheSchemaWasRead) {
    start_capture();
    on_a("CREATE TABLE early (id int PRIMARY KEY)");
    DirectBulk bulk(primary_->bulk);
    bulk.before = [&](const BulkRequest& request) {
        if (request.path.ends_with("copy")) {
            throw Error(Reaction::Retry, "the connection was cut");
        }
    };
    EXPECT_THROW(copy_with(bulk), Error);
    bulk.before = nullptr;
    on_a(
        "CREATE TABLE \"l\u00e4te\" (id int PRIMARY KEY); INSERT INTO \"l\u00e4te\" VALUES (1); "
        "CREATE INDEX late_twice ON \"l\u00e4te\" ((id * 2))");
    copy_with(bulk);
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_indexes WHERE indexname = 'late_twice'"), "1");
}

TEST_F(DatabaseCopy, ComesAsTextWhereThisSitesTypesAreOthers) {
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n numeric); "
        "INSERT INTO t SELECT i, '2026-01-02 03:04:05+00'::timestamptz + i * interval '1 s', i / "
        "7.0 FROM generate_series(1, 100) i");
    on_b("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz, n numeric)");
    start_capture();
    DirectBulk bulk(primary_->bulk);
    copy_with(bulk);
    EXPECT_EQ(bulk.asked.back().path, "database/app/sequences");
    std::vector<bool> binary;
    for (const BulkRequest& request : bulk.asked) {
        if (request.path.ends_with("/copy")) {
            binary.push_back(request.query.contains("binary"));
        }
    }
    EXPECT_EQ(binary, (std::vector<bool>{true, false}));
    catch_up();
    expect_equal();
}

/// A daemon that is killed while it makes its bookkeeping goes on with what is missing.
TEST_F(DatabaseCopy, MakesWhatIsMissingOfItsBookkeeping) {
    on_a("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    start_capture();
    const auto bookkeeping = [&] {
        return on_b(
            "SELECT relname FROM pg_class WHERE relnamespace = 'antipode'::regnamespace AND "
            "relkind = 'r' ORDER BY 1");
    };
    secondary_->apply.position();
    const std::string whole = bookkeeping();
    std::string missing;
    // The reverse of how it is made.
    for (const char* made_at_once :
         {"antipode.awaited_copy",
          "antipode.stopped, antipode.skip_request, antipode.skipped, antipode.repair",
          "antipode.done_by_hand", "antipode.replica, antipode.copied_table"}) {
        missing += (missing.empty() ? "" : ", ") + std::string(made_at_once);
        restart_copier();
        on_b("DROP TABLE " + missing);
        secondary_->apply.position();
        EXPECT_EQ(bookkeeping(), whole) << "without " << missing;
    }
    copy();
    expect_equal();
}

TEST_F(DatabaseCopy, LeavesRowsThatNobodyMustWriteToAgain) {
    make_big();
    start_capture();
    copy();
    on_b("CREATE EXTENSION pg_visibility");
    EXPECT_EQ(on_b("SELECT bool_and(all_visible AND all_frozen) FROM "
                   "pg_visibility_map('small'::regclass)"),
              "t");
}

}  // namespace
}  // namespace antipode::test
