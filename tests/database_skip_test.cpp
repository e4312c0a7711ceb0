#include "apps/antipode/database_skip.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/ddl_setup.hpp"
#include "tests/support/database_roles.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Transactions that cannot be applied, and the operator's way past them.
class DatabaseSkip : public DatabaseLane {
  protected:
    DatabaseSkip() {
        on_a(
            "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY, v "
            "text); INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) i");
        start_capture();
        copy();
        catch_up();
        config_.databases = {primary_->config};
        config_.databases[0].url = b_.url("app");
        skip_.yes = true;
    }

    void restart_secondary_as_app() {
        secondary_.reset();
        secondary_.emplace(b_, "postgres");
        given_ = Position{};
    }
    /// The message with which apply stops, and the LSN in the command that it names.
    std::string stops() {
        capture_up_to(primary_->capture.wal_position());
        given_ = Position{};
        const std::string said = error_of([&] { apply(); }, Reaction::Stop);
        const std::string mark = "antipode database skip --lsn ";
        const size_t at = said.find(mark);
        skip_.lsn = at == std::string::npos ? "" : said.substr(at + mark.size());
        return said;
    }
    std::string skip() {
        out_.str("");
        EXPECT_EQ(cli::skip_transaction(config_, table_, skip_), cli::ExitCode::Ok);
        return out_.str();
    }
    std::string skipped() {
        out_.str("");
        EXPECT_EQ(cli::list_skipped(config_, json_, std::nullopt), cli::ExitCode::Ok);
        return out_.str();
    }
    std::string refusal() {
        try {
            cli::skip_transaction(config_, table_, skip_);
        } catch (const cli::CommandError& error) {
            return std::string(error.what()) + " Try: " + error.next_step();
        }
        return "";
    }
    /// As the daemon's worker: the tables are copied, apply goes on.
    void repair_and_follow() {
        given_ = Position{};
        EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("copied again"));
        EXPECT_FALSE(secondary_->apply.position().copied);
        copy();
        given_ = Position{};
        catch_up();
    }

    Config config_;
    cli::SkipOptions skip_;
    std::ostringstream out_;
    const cli::Output table_{out_, out_};
    const cli::Output json_{out_, out_, cli::Format::Json};
};

TEST_F(DatabaseSkip, NamesTableKeyAndPlaceAndSkipsOnlyWhatItStandsAt) {
    on_b("DELETE FROM t WHERE id = 5");
    on_a("INSERT INTO u VALUES (1, 'before')");
    on_a("INSERT INTO u VALUES (2, 'same'); UPDATE t SET v = 'b' WHERE id IN (5, 6)");
    on_a("BEGIN; INSERT INTO u VALUES (3, 'same'); UPDATE t SET v = 'b' WHERE id = 5; COMMIT");
    on_a("INSERT INTO u VALUES (4, 'after')");
    EXPECT_THAT(stops(), AllOf(HasSubstr("public.t, key (id = 5)"), HasSubstr("transaction "),
                               HasSubstr(" at 0/")));
    ASSERT_TRUE(Lsn::parse(skip_.lsn));
    // Neither by itself, nor another one, nor without a word.
    EXPECT_THAT(skipped(), HasSubstr("\"skipped\":[]"));
    const std::string right = std::exchange(skip_.lsn, "0/1");
    EXPECT_THAT(refusal(), AllOf(HasSubstr("stands at " + right), HasSubstr("--lsn " + right)));
    skip_.lsn = right;
    skip_.yes = false;
    EXPECT_THAT(refusal(), AllOf(HasSubstr("for ever"), HasSubstr("--yes")));
    skip_.yes = true;
    EXPECT_THAT(skip(), HasSubstr("copies its tables again"));
    repair_and_follow();
    expect_equal();
    EXPECT_THAT(skipped(),
                AllOf(HasSubstr("\"lsn\":\"" + right + "\""), HasSubstr("\"repair\":\"done\""),
                      HasSubstr("update public.t (id = 5)\\nupdate public.t (id = 6)"),
                      HasSubstr("\"tables\":[\"public.t\"]"), HasSubstr("\"asked_by\":\""),
                      HasSubstr("rows have this identity")));
    EXPECT_THAT(refusal(), HasSubstr("stands at no transaction"));
}

TEST_F(DatabaseSkip, LeavesOutOneTableOnlyAndSurvivesARestart) {
    on_b("INSERT INTO t VALUES (100, 'local')");
    on_a(
        "BEGIN; INSERT INTO u VALUES (1, 'kept'); INSERT INTO t VALUES (100, 'theirs'), (101, "
        "'too'); INSERT INTO u VALUES (2, 'kept'); COMMIT");
    EXPECT_THAT(stops(), AllOf(HasSubstr("public.t, key (id = 100)"), HasSubstr("duplicate key")));
    skip_.table = "public.t";
    skip();
    restart_secondary_as_app();
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("copied again"));
    EXPECT_EQ(on_b("SELECT count(*) FROM u"), "2");
    EXPECT_EQ(on_b("SELECT count(*) FROM t WHERE id = 101"), "0");
    EXPECT_THAT(skipped(), HasSubstr("\"repair\":\"pending\""));
    restart_secondary_as_app();
    EXPECT_FALSE(secondary_->apply.position().copied);
    copy();
    given_ = Position{};
    catch_up();
    expect_equal();
    EXPECT_THAT(skipped(), AllOf(HasSubstr("\"table\":\"public.t\""), HasSubstr("\"done\""),
                                 HasSubstr("\"changes\":2")));
}

TEST_F(DatabaseSkip, LeavesTheDifferenceWhereNoRepairIsWanted) {
    on_b("DELETE FROM t WHERE id = 5");
    on_a("UPDATE t SET v = 'b' WHERE id = 5");
    stops();
    skip_.repair = false;
    skip();
    given_ = Position{};
    apply();
    on_a("INSERT INTO t VALUES (200, 'on')");
    catch_up();
    EXPECT_EQ(on_b("SELECT count(*), count(*) FILTER (WHERE id = 5) FROM t"), "20|0");
    EXPECT_THAT(skipped(), HasSubstr("\"repair\":\"none\""));
}

TEST_F(DatabaseSkip, StopsAtConstraintsTypesAndColumnsAndTriesAgainWhatPasses) {
    on_b("ALTER TABLE t ADD CHECK (v <> 'bad')");
    on_a("INSERT INTO t VALUES (50, 'bad')");
    EXPECT_THAT(stops(), AllOf(HasSubstr("key (id = 50)"), HasSubstr("check constraint")));
    on_b("ALTER TABLE t DROP CONSTRAINT t_v_check; ALTER TABLE t ALTER v TYPE int USING 1");
    EXPECT_THAT(stops(), HasSubstr("public.t"));
    on_b("ALTER TABLE t DROP v");
    given_ = Position{};
    EXPECT_THAT(error_of([&] { apply(); }, Reaction::Stop),
                AllOf(HasSubstr("public.t"), HasSubstr("at 0/")));
    on_b("ALTER TABLE t ADD v text; UPDATE t SET v = 'a'");
    given_ = Position{};
    apply();
    expect_equal();
    EXPECT_THAT(skipped(), HasSubstr("\"skipped\":[]"));
}

TEST_F(DatabaseSkip, LeavesOutALargeTransactionThatComesInParts) {
    on_b("INSERT INTO t VALUES (29000, 'local')");
    on_a("INSERT INTO t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1000, 30000) i");
    EXPECT_THAT(stops(), HasSubstr("key (id = 29000)"));
    ASSERT_GT(stream_.back().payload.transaction().part(), 1U);
    skip();
    repair_and_follow();
    expect_equal();
    EXPECT_THAT(skipped(), AllOf(HasSubstr("\"changes\":29001"), HasSubstr("and more")));
}

TEST_F(DatabaseSkip, LeavesOutAStructureThatCannotBeRepeatedAndCopiesItsTable) {
    postgres::run_ddl_setup(a_.url("app"), "postgres");
    on_a(
        "CREATE FUNCTION add_r() RETURNS void LANGUAGE sql AS 'ALTER TABLE t ADD r float DEFAULT "
        "random()'; CREATE FUNCTION add_r(int) RETURNS void LANGUAGE sql AS ''");
    catch_up();
    on_a("SELECT add_r()");
    on_a("INSERT INTO t (id, v) VALUES (300, 'after')");
    EXPECT_THAT(stops(), AllOf(HasSubstr("cannot be repeated here"), HasSubstr("copies its")));
    on_b("ALTER TABLE t ADD r float DEFAULT random()");
    skip();
    repair_and_follow();
    expect_equal();
    EXPECT_THAT(skipped(), AllOf(HasSubstr("ALTER TABLE"), HasSubstr("\"tables\":[\"public.t\"]"),
                                 HasSubstr("\"done\"")));
}

TEST_F(DatabaseSkip, KeepsTheRowsOfATableThatThePrimaryHasRenamedSince) {
    postgres::run_ddl_setup(a_.url("app"), "postgres");
    on_b("DELETE FROM t WHERE id = 5");
    on_a("UPDATE t SET v = 'b' WHERE id = 5");
    on_a("ALTER TABLE t RENAME TO renamed");
    stops();
    skip();
    repair_and_follow();
    EXPECT_EQ(on_b("SELECT count(*) FROM renamed"), "19");
    EXPECT_THAT(skipped(), HasSubstr("\"repair\":\"none\"")) << "no word of it would be a lie";
}

TEST_F(DatabaseSkip, LeavesOutATableThatIsMissingWhereTheStructureIsTheOperators) {
    // These may share a message; the one that lacks the table is to blame, no other.
    on_a("CREATE TABLE n (id int PRIMARY KEY); INSERT INTO t VALUES (399, 'before')");
    on_a("INSERT INTO n VALUES (1)");
    on_a("INSERT INTO t VALUES (400, 'after')");
    capture_up_to(primary_->capture.wal_position());
    secondary_.reset();
    postgres::ReplicaWriter session({b_.url("app"), store.to_string(), "antipode apply app@b"});
    secondary::TransactionApply halting(store, session, secondary::DdlPolicy::Halt);
    const auto apply_rest = [&] {
        const Position position = halting.position().position;
        for (const protocol::Event& event : stream_) {
            if (event.position > position) {
                halting.apply(std::vector{&event});
            }
        }
    };
    const std::string said = error_of(apply_rest, Reaction::Stop);
    const std::string mark = "antipode database skip --lsn ";
    ASSERT_NE(said.find(mark), std::string::npos) << said;
    EXPECT_EQ(on_b("SELECT v FROM t WHERE id = 399"), "before");
    skip_.lsn = said.substr(said.find(mark) + mark.size());
    skip_.repair = false;
    skip();
    apply_rest();
    EXPECT_EQ(on_b("SELECT v FROM t WHERE id = 400"), "after");
    EXPECT_THAT(skipped(), HasSubstr("insert public.n (id = 1)"));
}

TEST_F(DatabaseSkip, TriesAgainWhenResourcesAreMissing) {
    // What the server has too little of, like a full disk, is no fault of the transaction's.
    on_b(
        "CREATE FUNCTION full_check(v text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
        "IF v = 'full' THEN RAISE disk_full USING MESSAGE = 'no space left'; END IF; RETURN "
        "true; END $$; ALTER TABLE t ADD CONSTRAINT room CHECK (full_check(v))");
    on_a("INSERT INTO t VALUES (60, 'full')");
    capture_up_to(primary_->capture.wal_position());
    for (int i = 0; i < 2; ++i) {
        given_ = Position{};
        EXPECT_THAT(error_of([&] { apply(); }, Reaction::Retry), HasSubstr("no space left"));
    }
    skip_.lsn = Lsn{stream_.back().payload.transaction().commit_lsn()}.to_string();
    EXPECT_THAT(refusal(), HasSubstr("stands at no transaction"));
    on_b("ALTER TABLE t DROP CONSTRAINT room");
    given_ = Position{};
    apply();
    expect_equal();
}

}  // namespace
}  // namespace antipode::test
