#include <deque>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/change_source.hpp"
#include "adapters/postgres/replica_session.hpp"
#include "adapters/postgres/source_control.hpp"
#include "adapters/postgres/source_export.hpp"
#include "base/error.hpp"
#include "primary/database/bulk.hpp"
#include "primary/database/slot_capture.hpp"
#include "protocol/message.hpp"
#include "secondary/database/transaction_apply.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

/// The database lane with real PostgreSQL servers on both sides. Events go through the wire format,
/// without a broker.
namespace antipode::test {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

const StoreId store{StoreKind::Database, "app"};

/// The bulk service without HTTP. May be told to cut an answer short.
class DirectBulk final : public BulkSource {
  public:
    explicit DirectBulk(BulkHandler& handler) : handler_(handler) {}

    Answer get(const BulkRequest& request, uint64_t /*offset*/, const Headers& on_headers,
               const Sink& sink, const std::stop_token& /*stop*/) override {
        requests.push_back(request.path);
        if (before) {
            before(request);
        }
        const auto body = handler_.open(request);
        if (!body) {
            return {};
        }
        const Answer answer{true, body->size(), body->headers()};
        if (on_headers) {
            on_headers(answer);
        }
        std::vector<char> buffer(buffer_bytes);
        while (const size_t size = body->read(buffer)) {
            sink({buffer.data(), size});
        }
        return answer;
    }

    std::function<void(const BulkRequest&)> before;
    std::vector<std::string> requests;
    size_t buffer_bytes = 10'000;

  private:
    BulkHandler& handler_;
};

/// Everything of the lane on the primary, as apps wire it.
struct Primary {
    explicit Primary(const PostgresServer& server, const std::string& user = "postgres",
                     const std::string& replica_identity = "set")
        : config{.name = "app",
                 .url = server.url("app", user),
                 .slot = "antipode_test_app",
                 .publication = "antipode_app",
                 .replica_identity = replica_identity},
          source({config.url, config.slot, config.publication, "antipode capture app"}),
          control({config.url, config.slot, config.publication, "antipode control app"}),
          wal(config.url, "antipode wal app"),
          tables({config.url, config.slot, "antipode copy app", ""}),
          capture(config, source, control, wal, clock),
          bulk(store, tables) {}

    Config::Database config;
    SystemClock clock;
    postgres::SlotSource source;
    postgres::SourceSetup control;
    postgres::WalEnd wal;
    postgres::TableExport tables;
    primary::SlotCapture capture;
    primary::DatabaseBulk bulk;
};

struct Secondary {
    explicit Secondary(const PostgresServer& server, const std::string& user = "postgres")
        : session({server.url("app", user), "app", "antipode apply app@b"}),
          apply(store, session) {}
    postgres::ReplicaWriter session;
    secondary::TransactionApply apply;
};

/// Two sites; what the sequencer, the stream and the receiver do between them is played here.
class DatabaseLane : public testing::Test {
  protected:
    DatabaseLane() : a_(directory_ / "a"), b_(directory_ / "b") {
        a_.psql("CREATE DATABASE app");
        b_.psql("CREATE DATABASE app");
        restart_primary();
        restart_secondary();
    }

    void restart_primary() {
        primary_.reset();
        primary_.emplace(a_);
        sealer_.emplace("test", 1, ++session_, previous_);
    }
    void restart_secondary() {
        secondary_.reset();
        secondary_.emplace(b_);
    }

    std::string on_a(const std::string& sql) { return a_.psql(sql, "app"); }
    std::string on_b(const std::string& sql) { return b_.psql(sql, "app"); }

    /// The first poll makes publication and slot.
    void start_capture() { publish(primary_->capture.poll(milliseconds(0))); }

    void copy() {
        DirectBulk bulk(primary_->bulk);
        secondary_->apply.initial_copy(bulk, [](const auto&) {}, {});
    }

    /// Seals events and keeps their messages, as the stream does.
    void publish(const std::vector<primary::DatabaseEvent>& events) {
        for (const auto& event : events) {
            if (const auto* through = std::get_if<primary::DecodedThrough>(&event)) {
                decoded_ = through->lsn;
                continue;
            }
            v1::Payload payload;
            *payload.mutable_transaction() =
                std::get<primary::CapturedTransaction>(event).transaction;
            for (std::string& message :
                 sealer_->seal(store, SystemClock().now(), payload).messages) {
                previous_ = sha256(message);
                auto opened = protocol::open(message, "test", 1);
                auto whole = assembler_.add(std::get<protocol::Message>(opened));
                if (auto& complete = std::get<std::optional<protocol::Event>>(whole)) {
                    stream_.push_back(std::move(*complete));
                }
            }
        }
    }

    /// Applies what the secondary has not applied yet.
    void apply() {
        const Position position = secondary_->apply.position().position;
        std::vector<const protocol::Event*> events;
        for (const protocol::Event& event : stream_) {
            if (event.position > std::max(position, given_)) {
                events.push_back(&event);
            }
        }
        if (!events.empty()) {
            secondary_->apply.apply(events);
            given_ = events.back()->position;
        }
    }

    void capture_up_to(Lsn lsn) {
        ASSERT_TRUE(eventually([&] {
            publish(primary_->capture.poll(milliseconds(100)));
            return decoded_ >= lsn;
        }));
    }

    void catch_up() {
        capture_up_to(primary_->capture.wal_position());
        apply();
        primary_->capture.confirm(secondary_->apply.position().lsn);
    }

    std::string contents(const PostgresServer& server) {
        const std::string tables = server.psql(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN "
            "('pg_catalog', 'information_schema', 'antipode') ORDER BY 1",
            "app");
        std::string script;
        size_t begin = 0;
        while (begin < tables.size()) {
            const size_t end = std::min(tables.find('\n', begin), tables.size());
            const std::string table = tables.substr(begin, end - begin);
            script += "\\echo " + table + "\nCOPY (SELECT * FROM ONLY " + table +
                      " t ORDER BY t::text COLLATE \"C\") TO STDOUT;\n";
            begin = end + 1;
        }
        return server.psql(script, "app");
    }
    void expect_equal() { EXPECT_EQ(contents(a_), contents(b_)); }

    void expect_equal_except(const std::string& table) {
        on_a("DROP TABLE IF EXISTS " + table);
        on_b("DROP TABLE IF EXISTS " + table);
        expect_equal();
    }

    void catch_up_without_confirming() {
        capture_up_to(primary_->capture.wal_position());
        apply();
    }

    /// Applies events [0, end) in calls of one event each.
    void apply_each(const std::vector<protocol::Event>& events, size_t end) {
        for (size_t i = 0; i < end; ++i) {
            secondary_->apply.apply(std::vector{&events[i]});
        }
    }

    /// What `use` throws, as operators read it.
    static std::string error_of(const std::function<void()>& use, Reaction expected) {
        try {
            use();
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), expected) << error.describe();
            return error.describe();
        }
        ADD_FAILURE() << "nothing was thrown";
        return {};
    }

    const TemporaryDirectory directory_;
    PostgresServer a_;
    PostgresServer b_;
    std::optional<Primary> primary_;
    std::optional<Secondary> secondary_;
    uint64_t session_ = 0;
    std::optional<Sha256> previous_;
    std::optional<protocol::Sealer> sealer_;
    protocol::Assembler assembler_;
    std::deque<protocol::Event> stream_;
    Position given_;
    Lsn decoded_;
};

TEST_F(DatabaseLane, CopiesAndThenFollows) {
    on_a(
        "CREATE TABLE items (id int PRIMARY KEY, v text); "
        "INSERT INTO items SELECT i, 'before ' || i FROM generate_series(1, 1000) i");
    start_capture();
    copy();
    EXPECT_EQ(on_b("SELECT count(*) FROM items"), "1000");
    on_a(
        "INSERT INTO items VALUES (2000, 'after'); UPDATE items SET v = 'new' WHERE id = 5; "
        "DELETE FROM items WHERE id = 6");
    catch_up();
    expect_equal();
    EXPECT_EQ(secondary_->apply.position().transactions, 3U);
}

constexpr const char* every_type = R"(
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE TABLE types (
        id bigint PRIMARY KEY, b boolean, i2 smallint, n numeric, n2 numeric(12, 4), r real,
        d double precision, m money, c char(5), vc varchar(20), t text, ba bytea, ts timestamp,
        tz timestamptz, da date, ti time, tiz timetz, iv interval, u uuid, js json, jb jsonb,
        x xml, ip inet, mac macaddr, bi bit(3), vb bit varying, p point, po polygon, tv tsvector,
        r4 int4range, a int[], ta text[], e mood, co pair, dom positive, nm name, ch "char",
        o oid, ls pg_lsn);
)";

constexpr const char* rows_of_every_type = R"(
    INSERT INTO types VALUES (1, true, -7, 123456789012345678901234567890.000100, 1.5, 0.1,
        1e300, '12.34', 'ab', 'x', E'tab\t, quote \' and \\ and newline\n', '\x00ff5c',
        '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+07', '0044-03-15 BC',
        '23:59:59.999999', '12:00:00+05:30', '1 year 2 mons -3 days 04:05:06.7',
        '12345678-1234-5678-1234-567812345678', '{"a":  1}', '{"b": [1, null]}',
        '<a>x</a>', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '1', '(1.5,-2)', '((0,0),(1,1),(2,0))',
        'a:1 fat:2', '[1,5)', '{1,NULL,3}', '{"a,b","c\"d",NULL,""}', 'ok', '(1,"x y")', 5, 'nam',
        'c', 12, '16/B374D848');
    INSERT INTO types (id) VALUES (2);
    INSERT INTO types (id, r, d, n, ts, tz, t) VALUES (3, 'NaN', '-Infinity', 'NaN', 'infinity',
        '-infinity', 'ünicöde 😀');
    INSERT INTO types (id, d) VALUES (4, 0.1::float8 + 0.2), (5, '-0');
    UPDATE types SET t = '', c = '     ', ba = '' WHERE id = 2;
    UPDATE types SET d = 3.3, tz = tz WHERE id = 3;
)";

TEST_F(DatabaseLane, KeepsValuesOfEveryTypeWhateverTheDatabasesSettings) {
    on_a(
        "ALTER DATABASE app SET DateStyle = 'German'; ALTER DATABASE app SET bytea_output = "
        "escape; "
        "ALTER DATABASE app SET extra_float_digits = -5; ALTER DATABASE app SET TimeZone = 'Asia/"
        "Kolkata'; ALTER DATABASE app SET IntervalStyle = 'sql_standard'");
    on_b("ALTER DATABASE app SET DateStyle = 'SQL, DMY'; ALTER DATABASE app SET TimeZone = 'UTC'");
    on_a(std::string(every_type) + rows_of_every_type);
    start_capture();
    restart_primary();
    copy();
    on_a(
        "BEGIN; CREATE TEMP TABLE hidden (LIKE types); INSERT INTO hidden SELECT * FROM types; "
        "DELETE FROM types; COMMIT");
    on_a(rows_of_every_type);
    catch_up();
    const std::string digest =
        "SET DateStyle = ISO; SET TimeZone = UTC; SET bytea_output = hex; SET IntervalStyle = "
        "postgres; SET extra_float_digits = 3; SELECT * FROM types ORDER BY id";
    EXPECT_EQ(on_a(digest), on_b(digest));
    EXPECT_THAT(on_b("SELECT d FROM types WHERE id = 4"), HasSubstr("0.30000000000000004"));
}

TEST_F(DatabaseLane, KeepsUnchangedLargeValuesAndFollowsKeyChanges) {
    const std::string big = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 3000) i)";
    on_a(
        "CREATE TABLE docs (a int, b text, n int, big text, other text, PRIMARY KEY (a, b)); "
        "ALTER TABLE docs ALTER big SET STORAGE external; INSERT INTO docs VALUES (1, 'x', 0, " +
        big + ", 'o')");
    start_capture();
    copy();
    on_a(
        "UPDATE docs SET n = 1; UPDATE docs SET a = 2; UPDATE docs SET b = 'y', n = 3; "
        "INSERT INTO docs VALUES (5, 'z', 0, " +
        big +
        ", NULL); "
        "UPDATE docs SET big = 'short' WHERE a = 5; UPDATE docs SET other = big WHERE a = 2; "
        "BEGIN; UPDATE docs SET a = 9 WHERE a = 5; UPDATE docs SET a = 5 WHERE a = 2; "
        "UPDATE docs SET a = 2 WHERE a = 9; COMMIT");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT length(big) FROM docs WHERE a = 5"), "96000");
}

TEST_F(DatabaseLane, ChangesExactlyOneOfSeveralEqualRowsWithoutAKey) {
    on_a(
        "CREATE TABLE log (a int, b text, j json, c char(4), f float8); "
        "INSERT INTO log SELECT 1, NULL, '{}', 'x', 0.1 FROM generate_series(1, 4); "
        "CREATE TABLE uniq (u int NOT NULL, v text); CREATE UNIQUE INDEX ON uniq (u); "
        "INSERT INTO uniq VALUES (1, 'a')");
    start_capture();
    EXPECT_EQ(on_a("SELECT relname, relreplident FROM pg_class WHERE relname IN ('log', 'uniq') "
                   "ORDER BY 1"),
              "log|f\nuniq|i");
    copy();
    on_a(
        "DELETE FROM log WHERE ctid = '(0,1)'; "
        "UPDATE log SET b = '' WHERE ctid = '(0,2)'; UPDATE log SET a = NULL WHERE b = ''; "
        "INSERT INTO log VALUES (1, NULL, '{ }', 'x', 0.1), (NULL, NULL, NULL, NULL, '-0'); "
        "DELETE FROM log WHERE f = 0; UPDATE uniq SET v = NULL; UPDATE uniq SET u = 7");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM log"), "4");
}

TEST_F(DatabaseLane, HandlesOddNamesGeneratedAndDroppedColumnsAndPartitions) {
    on_a(R"(CREATE SCHEMA "Odd.Schema"" x";
        CREATE TABLE "Odd.Schema"" x"."Täble > *'""" (
            "Id %" int PRIMARY KEY, gone text, "select" text, "a""b" int,
            g int GENERATED ALWAYS AS ("Id %" * 2) STORED);
        ALTER TABLE "Odd.Schema"" x"."Täble > *'""" DROP COLUMN gone;
        CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
        CREATE TABLE only_key (k int PRIMARY KEY);
        CREATE TABLE no_columns ();
        CREATE TABLE parts (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
        CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (100);
        CREATE TABLE base (id int PRIMARY KEY, v text);
        CREATE TABLE derived (extra text, PRIMARY KEY (id)) INHERITS (base);
        CREATE UNLOGGED TABLE scratch (id int);
        INSERT INTO scratch VALUES (1); INSERT INTO no_columns DEFAULT VALUES)");
    const std::string changes = R"(
        INSERT INTO "Odd.Schema"" x"."Täble > *'""" VALUES (:n, 'x', 1);
        UPDATE "Odd.Schema"" x"."Täble > *'""" SET "select" = 'y', "Id %" = :n + 100 WHERE "Id %" = :n;
        INSERT INTO ident (v) VALUES ('a'), ('b'); UPDATE ident SET v = 'c' WHERE v = 'b';
        INSERT INTO only_key VALUES (:n); UPDATE only_key SET k = k + 1000 WHERE k = :n;
        INSERT INTO no_columns DEFAULT VALUES;
        INSERT INTO parts VALUES (:n, 'low'); UPDATE parts SET id = 10 + :n WHERE id = :n;
        INSERT INTO base VALUES (:n, 'base'); INSERT INTO derived VALUES (:n, 'derived', 'e');
        UPDATE base SET v = 'both'; DELETE FROM ONLY base WHERE id > 1;)";
    on_a("\\set n 1\n" + changes);
    start_capture();
    copy();
    expect_equal_except("scratch");
    on_a("\\set n 2\n" + changes);
    catch_up();
    expect_equal_except("scratch");
    EXPECT_EQ(on_b("SELECT count(*) FROM no_columns"), "3");
}

TEST_F(DatabaseLane, TruncatesAndKeepsTriggersSilent) {
    on_a(R"(CREATE TABLE parent (id serial PRIMARY KEY, v int);
        CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
        CREATE TABLE audit (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.audit VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT OR DELETE ON child FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO parent (v) VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1), (2, 2))");
    start_capture();
    copy();
    on_a("DELETE FROM parent WHERE id = 1; INSERT INTO child VALUES (3, 3)");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM pg_constraint WHERE contype = 'f'"), "1");
    on_a("TRUNCATE parent RESTART IDENTITY CASCADE; INSERT INTO parent (v) VALUES (9)");
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT id FROM parent"), "1");
}

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
    for (int i = 0; i < 500; ++i) {
        script += "UPDATE counter SET n = n + 1; INSERT INTO counter VALUES (" +
                  std::to_string(i + 10) + ", 0);\n";
    }
    for (int round = 0; round < 3; ++round) {
        on_a(round == 0 ? script : "UPDATE counter SET n = n + 1 WHERE id > 300");
        // Nothing was confirmed: everything comes again, in a new session of the publisher.
        restart_primary();
        catch_up_without_confirming();
        expect_equal();
        restart_secondary();
    }
    EXPECT_EQ(secondary_->apply.position().transactions, 1002U);
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

TEST_F(DatabaseLane, CopiesWhileTheApplicationWrites) {
    on_a(
        "CREATE TABLE accounts (id int PRIMARY KEY, n int); CREATE TABLE moves (id serial PRIMARY "
        "KEY, a int REFERENCES accounts, b int, n int); "
        "INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 200) i");
    start_capture();
    std::atomic<bool> stop{false};
    const std::string move = R"(
        DO $$ DECLARE x int := 1 + random() * 198; y int := 1 + random() * 198; BEGIN
        FOR i IN 1..20 LOOP
            UPDATE accounts SET n = n - 1 WHERE id = x; UPDATE accounts SET n = n + 1 WHERE id = y;
            INSERT INTO moves (a, b, n) VALUES (x, y, 1);
            IF random() < 0.1 THEN DELETE FROM moves WHERE id = (SELECT min(id) FROM moves); END IF;
            COMMIT;
            x := 1 + random() * 198; y := 1 + random() * 198;
        END LOOP; END $$;)";
    std::vector<std::jthread> writers;
    for (int i = 0; i < 3; ++i) {
        writers.emplace_back([&] {
            while (!stop) {
                run({PostgresServer::program("psql"), "-Xq", a_.url("app")}, move);
            }
        });
    }
    // The copy is cut off after the first table, and goes on there; writes pass between the tables.
    DirectBulk bulk(primary_->bulk);
    std::string last = on_a("SELECT count(*) FROM moves");
    bulk.before = [&](const BulkRequest& request) {
        if (request.path.ends_with("copy")) {
            const std::string seen = last;
            ASSERT_TRUE(eventually([&] {
                last = on_a("SELECT max(id) FROM moves");
                return last != seen;
            }));
        }
        if (request.query.contains("table") && request.query.at("table") == "moves" &&
            bulk.requests.size() < 6) {
            throw Error(Reaction::Retry, "the connection was cut");
        }
    };
    const auto copy_all = [&] { secondary_->apply.initial_copy(bulk, [](const auto&) {}, {}); };
    EXPECT_THROW(copy_all(), Error);
    EXPECT_FALSE(secondary_->apply.position().copied);
    restart_secondary();
    copy_all();
    EXPECT_EQ(std::count(bulk.requests.begin(), bulk.requests.end(), "database/app/copy"), 3)
        << "accounts once, moves twice";
    stop = true;
    writers.clear();
    catch_up();
    expect_equal();
    EXPECT_EQ(on_b("SELECT sum(n) FROM accounts"), "20000");
    EXPECT_EQ(on_b("SELECT convalidated FROM pg_constraint WHERE contype = 'f'"), "t");
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.copied_table"), "0");
    EXPECT_EQ(on_b("SELECT last_value >= (SELECT max(id) FROM moves) - 2000 FROM moves_id_seq"),
              "t");
}

TEST_F(DatabaseLane, NeverOverwritesRowsThatItDidNotCopy) {
    on_a("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    on_b("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (7)");
    start_capture();
    EXPECT_THAT(error_of([&] { copy(); }, Reaction::Stop),
                testing::AllOf(HasSubstr("public.t"), HasSubstr("not empty")));
    EXPECT_EQ(on_b("SELECT id FROM t"), "7");
    // Empty tables of the operator's are filled, and left as they are.
    on_b("TRUNCATE t; ALTER TABLE t ADD local text DEFAULT 'here'");
    copy();
    EXPECT_EQ(on_b("SELECT * FROM t"), "1|here");
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
                                        HasSubstr("DROP PUBLICATION")));
    restart_primary();
    EXPECT_THAT(error(), HasSubstr("is gone")) << "a new process knows it from the publication";
    on_a("DROP PUBLICATION antipode_app");
    start_capture();
}

TEST_F(DatabaseLane, SaysThatTheServerRemovedTheSlotsLog) {
    start_capture();
    primary_->source.stop();
    ASSERT_TRUE(eventually(
        [&] { return on_a("SELECT count(*) FROM pg_replication_slots WHERE active") == "0"; }));
    on_a("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'");
    on_a("ALTER SYSTEM SET min_wal_size = '32MB'; ALTER SYSTEM SET max_wal_size = '32MB'");
    on_a("SELECT pg_reload_conf()");
    ASSERT_TRUE(eventually([&] {
        on_a("CREATE TABLE IF NOT EXISTS w (i int PRIMARY KEY); TRUNCATE w");
        on_a("SELECT pg_switch_wal()");
        on_a("CHECKPOINT");
        return on_a("SELECT wal_status FROM pg_replication_slots") == "lost";
    }));
    restart_primary();
    EXPECT_THAT(error_of([&] { primary_->capture.poll(milliseconds(0)); }, Reaction::Stop),
                testing::AllOf(HasSubstr("is lost"), HasSubstr("max_slot_wal_keep_size"),
                               HasSubstr("pg_drop_replication_slot")));
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
    on_a("CREATE TABLE unknown_here (id int PRIMARY KEY); INSERT INTO unknown_here VALUES (1)");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop), HasSubstr("public.unknown_here"));
    on_b("CREATE TABLE unknown_here (id int PRIMARY KEY)");
    apply();
    expect_equal();
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

TEST_F(DatabaseLane, ProgressIsProvenSoonAlsoAfterAsynchronousCommits) {
    on_a("CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    for (int i = 0; i < 20; ++i) {
        on_a("SET synchronous_commit = off; INSERT INTO t VALUES (" + std::to_string(i) + ")");
        const auto begin = std::chrono::steady_clock::now();
        capture_up_to(primary_->capture.wal_position());
        EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1000));
    }
    EXPECT_EQ(stream_.size(), 20U);
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
