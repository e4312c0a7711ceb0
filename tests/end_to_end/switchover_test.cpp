// Another site becomes the primary, planned, and nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Switchover : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        ASSERT_EQ(pair_.sydney.antipode({"database", "setup"}).status, 0);
        writer_.start();
        ASSERT_TRUE(writer_.go_on(3)) << writer_.problem();
    }

    /// Also at a site that never was a primary.
    void expect_push_refused(const Site& secondary) {
        const CommandResult push =
            run({"git", "-C", (pair_.temporary / "work").string(), "push", "-q",
                 (secondary.git_root / "app.git").string(), "HEAD:refs/heads/wrong"});
        EXPECT_NE(push.status, 0);
        EXPECT_THAT(push.error, HasSubstr("this is the secondary site " + secondary.name + " of"));
        EXPECT_THAT(push.error, HasSubstr("the primary is " + pair_.other(secondary).name));
    }

    /// It follows the new epoch past the opening, and the operation's record says how soon.
    void expect_seen_by(const Site& secondary) {
        const auto seen = [&] {
            return value_of(secondary.antipode({"op", "show", "-o", "json"}).output, ".seen");
        };
        EXPECT_TRUE(eventually([&] { return seen() != "null"; })) << pair_.describe();
        EXPECT_THAT(seen(),
                    testing::MatchesRegex(secondary.name + " has applied the new epoch, "
                                                           "[0-9]+\\.[0-9] s after writes opened"));
        std::cout << seen() << "\n";
        EXPECT_THAT(secondary.antipode({"history"}).output, HasSubstr(seen()));
    }

    void expect_nothing_lost(Site& primary) {
        writer_.stop();
        std::cout << "writes stopped for at most " << writer_.longest_pause().count() << " ms, "
                  << writer_.acknowledged() << " writes\n";
        EXPECT_EQ(writer_.missing(primary), -1);
        ASSERT_TRUE(pair_.caught_up(pair_.other(primary))) << pair_.describe();
        EXPECT_EQ(writer_.missing(pair_.other(primary)), -1);
        pair_.expect_equal();
    }

    Pair pair_;
    Writer writer_{pair_};
};

/// Which versions of them stand on the site: a copy would make new ones.
std::string first_row_and_file(const Site& site) {
    return site.sql("SELECT ctid, xmin FROM uploads WHERE id = 0") + " " +
           must_run({"stat", "-c", "%i %z", (site.files_root / "u/0.bin").string()});
}

TEST_F(Switchover, UnderLoadThereAndBackLosesNothingAndCopiesNothing) {
    const std::string of_london = first_row_and_file(pair_.london);
    const std::string of_sydney = first_row_and_file(pair_.sydney);
    for (Site* to : {&pair_.sydney, &pair_.london}) {
        expect_push_refused(*to);
        ASSERT_TRUE(pair_.ready(*to)) << pair_.describe();
        const CommandResult done = pair_.switch_to(*to);
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
        EXPECT_THAT(done.output, HasSubstr("\"lost\":0"));
        EXPECT_TRUE(pair_.has_roles(*to)) << pair_.describe();
        EXPECT_EQ(pair_.open_site(), to);
        expect_seen_by(pair_.other(*to));
        ASSERT_TRUE(writer_.go_on(5)) << writer_.problem() << pair_.describe();
    }
    expect_nothing_lost(pair_.london);
    EXPECT_LT(writer_.longest_pause(), 15s);
    EXPECT_EQ(pair_.sydney.status(".epoch"), "3");
    EXPECT_EQ(first_row_and_file(pair_.london), of_london) << "they were written again";
    EXPECT_EQ(first_row_and_file(pair_.sydney), of_sydney) << "they were written again";
    // The site that hands over takes no slot's log with it.
    EXPECT_EQ(pair_.sydney.sql("SELECT count(*) FROM pg_replication_slots"), "0");
    // What tries to write on the wrong side is told where to go.
    expect_push_refused(pair_.sydney);
    const CommandResult connect = run({PostgresServer::program("psql"), "-Xc", "SELECT 1",
                                       pair_.sydney.postgres.url("app", "app")});
    EXPECT_THAT(connect.error, HasSubstr("permission denied for database"));
    // Numbers go on where they were.
    EXPECT_EQ(pair_.london.sql("SELECT last_value FROM journal_id_seq"),
              pair_.london.sql("SELECT max(id) FROM journal"));
}

TEST(SwitchoverWithoutSuperusers, ThereAndBack) {
    Pair pair("", Pair::Daemons::Unprivileged);
    Writer writer(pair);
    ASSERT_TRUE(writer.write());
    app(pair.london, "CREATE TABLE keyless (v int); INSERT INTO keyless VALUES (1)");
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    for (Site* to : {&pair.sydney, &pair.london}) {
        ASSERT_TRUE(pair.ready(*to)) << to->antipode({"preflight", "--to", to->name}).output;
        const CommandResult done = pair.switch_to(*to);
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair.describe();
        ASSERT_TRUE(writer.write()) << writer.problem();
        app(*to, "UPDATE keyless SET v = v + 1; ALTER TABLE keyless ADD of_" + to->name + " int");
        ASSERT_TRUE(pair.caught_up(pair.other(*to))) << pair.describe();
        pair.expect_equal();
        const CommandResult refused =
            run({PostgresServer::program("psql"), "-Xc", "INSERT INTO keyless VALUES (2)",
                 pair.other(*to).postgres.url("app", "app")});
        EXPECT_THAT(refused.error, HasSubstr("permission denied for database"));
    }
    EXPECT_EQ(pair.sydney.sql("SELECT v FROM keyless"), "3");
}

/// A power cut behind it would take what the application did not sync from a site that counts it as
/// applied.
TEST_F(Switchover, WhatAnOldPrimaryHasIsSyncedBeforeItFollows) {
    const CommandResult traced = run({"strace", "-qq", "-o", "/dev/null", "true"});
    ASSERT_NE(traced.status, 127) << "strace is missing: scripts/packages install";
    if (traced.status != 0) {
        GTEST_SKIP() << "this machine forbids ptrace: " << traced.error;
    }
    Site& london = pair_.london;
    const std::filesystem::path trace = london.directory / "trace";
    london.kill();
    london.start({"strace", "-f", "-qq", "-y", "-o", trace.string(), "-e", "trace=syncfs", "-e",
                  "signal=none"});
    ASSERT_TRUE(writer_.go_on(3)) << writer_.problem();
    writer_.stop();
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    const size_t before = read_file(trace).size();
    const CommandResult done = pair_.switch_to(pair_.sydney);
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    ASSERT_TRUE(pair_.caught_up(london)) << pair_.describe();
    const std::string calls = read_file(trace).substr(before);
    for (const auto& root : {london.git_root, london.files_root}) {
        EXPECT_THAT(calls, HasSubstr("<" + root.string() + ">"));
    }
    // strace writes a call in two pieces when another thread makes one meanwhile.
    EXPECT_THAT(calls, testing::Not(HasSubstr("= -1")));
    run({"pkill", "-KILL", "-P", std::to_string(london.daemon().pid())});
    ASSERT_TRUE(eventually([&] { return !london.daemon().running(); }));
}

/// kill -9 of a daemon once it has journaled that it begins a step, and of the command that asked.
TEST_F(Switchover, GoesOnWhereverADaemonIsKilled) {
    struct Kill {
        bool of_old_primary;
        const char* state;
    };
    const std::vector<Kill> kills = {
        {true, "fencing"},    {true, "capturing"}, {true, "handed-off"},   {true, "confirming"},
        {true, "committing"}, {true, "yielding"},  {false, "catching-up"}, {false, "ready"},
        {false, "preparing"}, {false, "opening"}};
    Site* primary = &pair_.london;
    int in_the_step = 0;
    for (const Kill& kill : kills) {
        SCOPED_TRACE(std::string(kill.of_old_primary ? "old primary " : "new primary ") +
                     kill.state);
        Site& to = pair_.other(*primary);
        Site& victim = kill.of_old_primary ? *primary : to;
        ASSERT_TRUE(pair_.ready(to)) << pair_.describe();
        const size_t before = read_file(journal_of(victim)).size();
        Process command({ANTIPODE, "--config", (to.directory / "antipode.toml").string(),
                         "switchover", "--to", to.name, "--yes"},
                        {});
        const std::string line = "\"state\":\"" + std::string(kill.state) + "\"";
        ASSERT_TRUE(eventually([&] {
            return read_file(journal_of(victim)).find(line, before) != std::string::npos;
        })) << pair_.describe();
        victim.kill();
        command.kill();
        const std::string journal = read_file(journal_of(victim));
        const size_t last = journal.rfind('\n', journal.size() - 2) + 1;
        in_the_step += journal.find(line, last) != std::string::npos ? 1 : 0;
        victim.start();
        ASSERT_TRUE(eventually([&] { return pair_.has_roles(to); }, 60s)) << pair_.describe();
        ASSERT_TRUE(writer_.go_on(2)) << writer_.problem() << pair_.describe();
        primary = &to;
    }
    std::cout << in_the_step << " of " << kills.size() << " kills came before the next step\n";
    EXPECT_GE(in_the_step, 3);
    expect_nothing_lost(*primary);
}

TEST_F(Switchover, WhoHasLostWhatItKnewComparesWhatCameInEarlierEpochs) {
    writer_.stop();
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    const CommandResult done = pair_.switch_to(pair_.sydney);
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    ASSERT_TRUE(pair_.caught_up(pair_.london)) << pair_.describe();
    pair_.london.kill();
    for (const char* name : {"registry.db", "inventory.db"}) {
        for (const char* end : {"", "-wal", "-shm"}) {
            std::filesystem::remove(pair_.london.directory / "state" / (std::string(name) + end));
        }
    }
    pair_.london.start();
    ASSERT_TRUE(pair_.caught_up(pair_.london)) << pair_.describe();
    const CommandResult verified = pair_.london.antipode({"verify"});
    EXPECT_EQ(verified.status, 0) << verified.output << verified.error;
    writer_.start();
    ASSERT_TRUE(writer_.go_on(2)) << writer_.problem();
    expect_nothing_lost(pair_.sydney);
}

/// What the fence of a database cannot keep out: a superuser, here.
TEST_F(Switchover, CapturesARowThatSlipsThroughTheFence) {
    writer_.stop();
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    pair_.sydney.postgres.freeze();  // so that the handoff is not reached yet
    Process command({ANTIPODE, "--config", (pair_.london.directory / "antipode.toml").string(),
                     "switchover", "--to", "sydney", "--yes"},
                    {});
    const bool handed_off =
        eventually([&] { return pair_.london.status(".failover.state") == "handed-off"; });
    pair_.london.sql("INSERT INTO uploads VALUES (100000, 'late', 'late')");
    pair_.sydney.postgres.thaw();
    ASSERT_TRUE(handed_off) << pair_.describe();
    ASSERT_EQ(command.wait(60s), 0) << pair_.describe();
    EXPECT_EQ(pair_.sydney.sql("SELECT oid FROM uploads WHERE id = 100000"), "late");
    EXPECT_THAT(read_file(journal_of(pair_.london)), HasSubstr("\"event\":\"changed\""))
        << "it came by luck: nobody looked whether it is behind the handoff";
    writer_.start();
    ASSERT_TRUE(writer_.go_on(2)) << writer_.problem();
    expect_nothing_lost(pair_.sydney);
}

TEST_F(Switchover, IsRefusedBeforeAnythingHappens) {
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    const CommandResult unsure = pair_.london.antipode({"switchover", "--to", "sydney"});
    EXPECT_EQ(unsure.status, 2) << unsure.error;
    EXPECT_THAT(unsure.error, HasSubstr("not confirmed"));
    const CommandResult planned =
        pair_.london.antipode({"switchover", "--to", "sydney", "--yes", "--dry-run"});
    EXPECT_EQ(planned.status, 0) << planned.error;
    EXPECT_EQ(pair_.london.status(".failover.operation"), "") << "a dry run has changed something";
    // The application could connect by a way that the fence does not close.
    pair_.london.sql("GRANT postgres TO app");
    const auto preflight = [&] { return pair_.london.antipode({"preflight", "--to", "sydney"}); };
    EXPECT_TRUE(eventually([&] {
        return preflight().output.find("members of the daemon's role: app") != std::string::npos;
    })) << preflight().output;
    EXPECT_EQ(pair_.switch_to(pair_.sydney).status, 4);
    pair_.london.sql("REVOKE postgres FROM app");
    pair_.sydney.kill();
    const CommandResult away = pair_.london.antipode({"switchover", "--to", "sydney", "--yes"});
    EXPECT_EQ(away.status, 4) << away.error;
    EXPECT_THAT(away.output, HasSubstr("sydney does not answer"));
    ASSERT_TRUE(writer_.go_on(2)) << writer_.problem();
    EXPECT_EQ(pair_.london.status(".failover.operation"), "");
    pair_.sydney.start();
    expect_nothing_lost(pair_.london);
}

TEST(SwitchoverThatFails, IsRolledBackAndTheOldPrimaryServesOn) {
    Pair pair("switchover_timeout = \"5s\"\n");
    Writer writer(pair);
    ASSERT_TRUE(writer.write());
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    ASSERT_EQ(pair.sydney.antipode({"database", "setup"}).status, 0);
    ASSERT_TRUE(pair.ready(pair.sydney)) << pair.describe();
    // The command that stops the service cannot.
    std::filesystem::remove(Pair::opened(pair.london));
    std::filesystem::create_directory(Pair::opened(pair.london));
    const CommandResult failed = pair.switch_to(pair.sydney);
    EXPECT_EQ(failed.status, 1) << failed.error;
    EXPECT_THAT(failed.error, HasSubstr("fence_command failed"));
    EXPECT_THAT(failed.error, HasSubstr("serves on as before"));
    EXPECT_TRUE(pair.has_roles(pair.london)) << pair.describe();
    ASSERT_TRUE(writer.write()) << pair.describe();
    // The target's daemon dies behind the handoff, and does not come back in time.
    std::filesystem::remove(Pair::opened(pair.london));
    write_file(Pair::opened(pair.london), "");
    ASSERT_TRUE(pair.ready(pair.sydney)) << pair.describe();
    Process command({ANTIPODE, "--config", (pair.london.directory / "antipode.toml").string(),
                     "switchover", "--to", "sydney", "--yes"},
                    {});
    ASSERT_TRUE(eventually([&] {
        return read_file(journal_of(pair.london)).find("\"capturing\"") != std::string::npos;
    }));
    pair.sydney.kill();
    ASSERT_EQ(command.wait(30s), 1) << pair.describe();
    EXPECT_EQ(pair.london.status(".failover.state"), "serving");
    EXPECT_EQ(pair.open_site(), &pair.london);
    ASSERT_TRUE(writer.write()) << "the fences are not lifted";
    pair.sydney.start();
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    EXPECT_EQ(writer.missing(pair.sydney), -1);
    pair.expect_equal();
    EXPECT_EQ(pair.london.status(".epoch"), "1");
}

TEST(SwitchoverThatFails, IsRolledBackAlsoWhileTheBrokerIsAway) {
    Pair pair("switchover_timeout = \"5s\"\n");
    Writer writer(pair);
    ASSERT_TRUE(writer.write());
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    ASSERT_EQ(pair.sydney.antipode({"database", "setup"}).status, 0);
    ASSERT_TRUE(pair.ready(pair.sydney)) << pair.describe();
    pair.sydney.postgres.freeze();
    Process command({ANTIPODE, "--config", (pair.london.directory / "antipode.toml").string(),
                     "switchover", "--to", "sydney", "--yes"},
                    {});
    const bool fenced = eventually([&] {
        return read_file(journal_of(pair.london)).find("\"handed-off\"") != std::string::npos;
    });
    pair.london.nats.kill();
    pair.sydney.postgres.thaw();
    ASSERT_TRUE(fenced) << pair.describe();
    EXPECT_TRUE(eventually([&] { return pair.open_site() == &pair.london; })) << pair.describe();
    ASSERT_TRUE(writer.write()) << "writes wait for the broker";
    pair.london.nats.start();
    ASSERT_TRUE(eventually([&] { return pair.has_roles(pair.london); }, 60s)) << pair.describe();
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    EXPECT_EQ(writer.missing(pair.sydney), -1);
    pair.expect_equal();
    EXPECT_EQ(pair.london.status(".epoch"), "1");
}

}  // namespace
}  // namespace antipode::test
