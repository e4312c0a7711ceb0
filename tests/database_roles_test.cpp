#include "tests/support/database_roles.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/replica_setup.hpp"
#include "apps/antipode/database.hpp"
#include "secondary/database/requirements.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(DatabaseRoles, CopiesAndAppliesEverythingWithoutASuperuser) {
    as("app_owner",
       R"(CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'ok');
       CREATE TABLE t (id serial PRIMARY KEY, v citext, m mood, secret text);
       CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE);
       INSERT INTO t (v, m) SELECT i, 'ok' FROM generate_series(1, 200) i;
       INSERT INTO child SELECT i, i FROM generate_series(1, 100) i;
       CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS c FROM t;
       ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
       CREATE POLICY own ON t USING (id < 0);
       CREATE POLICY more ON t FOR INSERT WITH CHECK (true);
       CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN NEW.t := NEW.t + 1; RETURN NEW; END'; GRANT SELECT, INSERT ON child TO reader;
       GRANT CREATE ON SCHEMA public TO other; COMMENT ON TABLE t IS 'rows')");
    as("other",
       "CREATE TABLE others (id int PRIMARY KEY, v text); "
       "INSERT INTO others SELECT i, 'x' FROM generate_series(1, 50) i");
    start_capture();
    copy();
    expect_equal();
    EXPECT_EQ(on_b("SELECT count(*) FROM t"), "200");
    EXPECT_EQ(on_b("SELECT rolsuper FROM pg_roles WHERE rolname = 'mirror'"), "f");

    as("postgres",
       "UPDATE t SET v = 'y' WHERE id < 50; DELETE FROM t WHERE id > 190; "
       "UPDATE others SET v = 'z'; SELECT nextval('t_id_seq')");
    follow();
    as("app_owner", R"(ALTER TABLE t ADD w int DEFAULT 3; CREATE SCHEMA s;
        CREATE TABLE s.u (id int PRIMARY KEY); INSERT INTO s.u VALUES (1);
        CREATE TRIGGER note BEFORE INSERT OR UPDATE ON child FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO child VALUES (500, 5);
        ALTER TABLE child ENABLE ALWAYS TRIGGER note; REFRESH MATERIALIZED VIEW mv;
        REVOKE SELECT, INSERT, UPDATE, DELETE ON child FROM app_owner)");
    as("other", "ALTER TABLE others ADD n numeric; TRUNCATE others");
    follow();
    as("postgres",
       "INSERT INTO child VALUES (501, 6); "
       "DELETE FROM child WHERE id = 1");
    follow();
    as("app_owner",
       "TRUNCATE t RESTART IDENTITY CASCADE; DROP TABLE s.u; DROP SCHEMA s; "
       "DROP MATERIALIZED VIEW mv; ALTER TABLE t RENAME TO renamed");
    follow();
    as("postgres", "SELECT setval('t_id_seq', 4711)");
    primary_->sequences.publish_all(true);
    catch_up();
    EXPECT_EQ(on_b("SELECT last_value FROM t_id_seq"), "4711");
}

TEST_F(DatabaseRoles, ThePrimarysDaemonCapturesAndMayWriteNothing) {
    as("app_owner", "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE keyless (v int)");
    start_capture();
    EXPECT_EQ(on_a("SELECT relreplident FROM pg_class WHERE relname = 'keyless'"), "f");
    const SourceFacts facts = primary_->control.facts();
    EXPECT_FALSE(facts.superuser);
    EXPECT_EQ(facts.publication->slot_made, primary_->config.slot) << "so that its loss is noticed";
    EXPECT_THAT(error_of(
                    [&] {
                        postgres::Connection client(a_.url("app", "mirror"), "client");
                        client.execute("writing", "DELETE FROM public.t");
                    },
                    Reaction::Stop),
                HasSubstr("permission denied for table t"));
    // Made by whoever, refused where identities are the operator's.
    postgres::run_ddl_setup(a_.url("app"), "mirror", postgres::Identities::Chosen);
    as("app_owner", "CREATE TABLE \"No Key\" (v int)");
    const auto set_up = [&](bool set_identities) {
        postgres::run_capture_setup(a_.url("app"),
                                    {"mirror", primary_->config.publication, set_identities});
    };
    EXPECT_THAT(error_of([&] { set_up(false); }, Reaction::Stop),
                HasSubstr("would fail on public.\"No Key\""));
    set_up(true);
    as("app_owner", "INSERT INTO \"No Key\" VALUES (1); UPDATE \"No Key\" SET v = 2");
}

TEST_F(DatabaseRoles, ComparesWhatIsLostAsWell) {
    as("app_owner",
       "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ENABLE ROW LEVEL SECURITY; "
       "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 500) i; GRANT SELECT ON t TO reader");
    start_capture();
    copy();
    as("app_owner", "UPDATE t SET v = 'passed' WHERE id = 1");
    follow();
    primary_->source.stop();
    as("app_owner", "UPDATE t SET v = 'lost' WHERE id = 2; DELETE FROM t WHERE id = 400");
    on_a("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    primary_.emplace(a_, "mirror");
    EXPECT_THAT(error_of([&] { primary_->capture.poll(milliseconds(0)); }, Reaction::Stop),
                HasSubstr("antipode database new-slot"));
    primary_->control.give_up_slot();
    stream_.clear();
    start_capture();
    secondary_->apply.compare_anew();
    copy();
    as("app_owner", "UPDATE t SET v = 'behind' WHERE id = 3");
    given_ = {};
    follow();
}

TEST_F(DatabaseRoles, DdlOfASuperuserRunsWhereOwnersStayElseHaltsWithTheCommandToRun) {
    as("app_owner", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    start_capture();
    copy();
    on_a(
        "ALTER TABLE t ADD n int; CREATE INDEX t_n ON t (n); COMMENT ON TABLE t IS 'x'; "
        "GRANT SELECT ON t TO reader; INSERT INTO t VALUES (1, 'a', 2); DROP INDEX t_n");
    follow();
    on_a(
        "BEGIN; INSERT INTO t VALUES (2, 'b', 3); CREATE SCHEMA \"it's\"; SET search_path = "
        "\"it's\"; CREATE TABLE u (id int PRIMARY KEY, v text DEFAULT 'don''t'); "
        "INSERT INTO u VALUES (1); COMMIT");
    on_a("CREATE EXTENSION pageinspect; INSERT INTO t VALUES (3, 'c', 4)");
    capture_up_to(primary_->capture.wal_position());
    for (const char* what : {"CREATE SCHEMA", "CREATE TABLE u", "CREATE EXTENSION"}) {
        const std::string halted = error_of([&] { apply(); }, Reaction::Stop);
        EXPECT_THAT(halted, AllOf(HasSubstr("a superuser ran it"), HasSubstr(what)));
        const size_t begin = halted.find("PGOPTIONS=");
        ASSERT_NE(begin, std::string::npos) << halted;
        must_run({"sh", "-c", halted.substr(begin)});
        given_ = Position{};
    }
    follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM antipode.done_by_hand"), "0");
    EXPECT_EQ(on_b("SELECT v FROM \"it's\".u"), "don't");
}

TEST_F(DatabaseRoles, NamesTheRoleThatIsMissingOrThatItCannotActAs) {
    as("app_owner", "CREATE TABLE t (id int PRIMARY KEY)");
    start_capture();
    copy();
    for (const PostgresServer* server : {&a_, &b_}) {
        server->psql("CREATE ROLE late LOGIN");
        server->psql("GRANT CREATE ON DATABASE app TO late");
    }
    as("late", "CREATE SCHEMA lately CREATE TABLE u (id int PRIMARY KEY)");
    capture_up_to(primary_->capture.wal_position());
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop),
                AllOf(HasSubstr("permission denied"), HasSubstr("setup --owner 'late'")));
    auto more = setup();
    more.owners.emplace_back("late");
    postgres::run_replica_setup(b_.url("app"), more);
    given_ = Position{};
    follow();
}

TEST_F(DatabaseRoles, SetupMayBeRepeatedAndFactsNameWhatIsMissing) {
    ReplicaFacts facts = postgres::look_at_replica(b_.url("app", "mirror"));
    EXPECT_TRUE(secondary::unmet_needs(facts).empty()) << secondary::unmet_needs(facts)[0].what;
    postgres::run_replica_setup(b_.url("app"), setup());
    b_.psql(
        "SET default_transaction_read_only = off; SET session_replication_role = replica; "
        "CREATE ROLE nobody LOGIN; CREATE ROLE stranger; CREATE SCHEMA x AUTHORIZATION stranger; "
        "GRANT CONNECT ON DATABASE app TO nobody",
        "app");
    facts = postgres::look_at_replica(b_.url("app", "nobody"));
    std::string needs;
    for (const secondary::UnmetNeed& need : secondary::unmet_needs(facts)) {
        needs += need.what + "; Try: " + need.remedy + "\n";
    }
    EXPECT_THAT(needs, AllOf(HasSubstr("session_replication_role"), HasSubstr("stranger"),
                             HasSubstr("row-level security"), HasSubstr("database setup"),
                             HasSubstr("create schemas"), HasSubstr("in the way")));
    facts = postgres::look_at_replica(b_.url("app", "mirror"));
    EXPECT_EQ(facts.strange_owners, std::vector<std::string>{"stranger"});
    EXPECT_THAT(
        error_of(
            [&] {
                postgres::run_replica_setup(b_.url("app"), {"mirror", {"no"}, {}, "", true});
            },
            Reaction::Stop),
        HasSubstr("role no is missing"));
    EXPECT_THAT(error_of([&] { postgres::run_replica_setup(b_.url("app", "mirror"), setup()); },
                         Reaction::Stop),
                AllOf(HasSubstr("superuser"), HasSubstr("--url")));
    EXPECT_EQ(postgres::owners_in(b_.url("app")),
              (std::vector<std::string>{"app_owner", "stranger"}));
}

TEST_F(DatabaseRoles, TheCommandSetsUpASecondary) {
    b_.psql("CREATE ROLE daemon LOGIN");
    // Another role than that of before, which is kept out until then.
    Config config;
    config.databases = {primary_->config};
    config.databases[0].url = b_.url("app", "daemon");
    std::ostringstream out;
    const cli::Output table{out, out};
    const cli::OpenBucket no_nats = [](const auto&, bool) -> std::unique_ptr<KeyValue> {
        throw Error(Reaction::Retry, "no nats-server");
    };
    cli::DatabaseSetupOptions options;
    options.role = "secondary";
    options.owners = {"other"};
    options.dry_run = true;
    EXPECT_EQ(cli::setup_database(config, no_nats, table, options), cli::ExitCode::Ok);
    EXPECT_THAT(out.str(), AllOf(HasSubstr("session_replication_role"), HasSubstr("'daemon'"),
                                 HasSubstr("ARRAY['other']"), Not(HasSubstr("@"))));
    EXPECT_THROW(postgres::look_at_replica(b_.url("app", "daemon")), Error);
    options.dry_run = false;
    options.url = b_.url("app");
    EXPECT_EQ(cli::setup_database(config, no_nats, table, options), cli::ExitCode::Ok);
    EXPECT_TRUE(secondary::unmet_needs(postgres::look_at_replica(b_.url("app", "daemon"))).empty());
    // The primary's tells what to name.
    out.str("");
    config.databases[0].url = a_.url("app", "mirror");
    options.role = "primary";
    options.url = a_.url("app");
    EXPECT_EQ(cli::setup_database(config, no_nats, table, options), cli::ExitCode::Ok);
    EXPECT_THAT(out.str(), HasSubstr("antipode database setup --url URL --owner app_owner"));
}

TEST_F(DatabaseRoles, ADatabaseOfASuperuserBecomesTheDaemons) {
    b_.psql("CREATE DATABASE fresh");
    postgres::run_replica_setup(b_.url("fresh"), setup());
    EXPECT_EQ(b_.psql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'fresh'"),
              "mirror");
}

}  // namespace
}  // namespace antipode::test
