// The primary is gone: another site is promoted on the operator's word, and the old one comes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

int64_t now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// A machine is gone with all that ran on it.
void lose(Site& site) {
    site.kill();
    site.nats.kill();
    site.postgres.kill();
    std::filesystem::remove(Pair::opened(site));
}

TEST(Promotion, WithoutThePrimaryIsToldWhatIsLostAndFencesItWhenItReturns) {
    Pair pair;
    Writer writer(pair);
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(writer.write());
    }
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    const int safe = writer.acknowledged();

    const auto promote = [&](const std::vector<std::string>& more) {
        std::vector<std::string> command = {"promote", "sydney", "--confirm",
                                            "sydney",  "-o",     "json"};
        command.insert(command.end(), more.begin(), more.end());
        return pair.sydney.antipode(command);
    };
    // While the primary answers there is a better way.
    const CommandResult alive = promote({"--fenced-by", "a wish"});
    EXPECT_EQ(alive.status, 4) << alive.error;
    EXPECT_THAT(alive.error, HasSubstr("antipode switchover --to sydney"));

    // What sydney does not get: it is away while london writes on.
    pair.sydney.kill();
    const int64_t before_lost = now_us();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(writer.write());
    }
    const int given_out = std::stoi(pair.london.sql("SELECT last_value FROM journal_id_seq"));
    lose(pair.london);
    pair.sydney.start();
    ASSERT_TRUE(eventually([&] {
        return pair.sydney.antipode({"preflight", "--to", "sydney", "--mode", "failover"}).status ==
               0;
    })) << pair.describe();
    const CommandResult look =
        pair.sydney.antipode({"preflight", "--to", "sydney", "--mode", "failover", "-o", "json"});
    EXPECT_EQ(value_of(look.output, ".lost_if_run_now.known_lost"), "0") << look.output;
    EXPECT_LE(std::stoll(value_of(look.output, ".lost_if_run_now.unknown_since_us // 0")),
              before_lost);
    EXPECT_GT(std::stoll(value_of(look.output, ".lost_if_run_now.unknown_since_us // 0")), 0);
    EXPECT_THAT(value_of(look.output, ".run"), HasSubstr("--confirm sydney"));
    const CommandResult unsure = promote({});
    EXPECT_EQ(unsure.status, 2) << unsure.error;
    EXPECT_THAT(unsure.error, HasSubstr("--fenced-by"));
    EXPECT_EQ(pair.sydney.status(".failover.state"), "following");

    const auto incoming = pair.sydney.files_root / ".antipode/incoming";
    write_file(incoming / (std::string(64, 'a') + ".part"), "what came of a file");
    // Whoever writes below a root does not choose what the daemon deletes.
    const auto elsewhere = pair.temporary / "elsewhere";
    write_file(elsewhere / "somebody's", "not Antipode's");
    const auto linked = pair.sydney.git_root / ".antipode/incoming";
    std::filesystem::remove_all(linked);
    std::filesystem::create_directory_symlink(elsewhere, linked);
    const auto begun = std::chrono::steady_clock::now();
    const CommandResult done = promote({"--fenced-by", "power is off, seen by hand"});
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair.describe();
    const auto took = std::chrono::steady_clock::now() - begun;
    std::cout << "open " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
              << " ms after the word\n";
    EXPECT_LT(took, 30s);
    EXPECT_EQ(value_of(done.output, ".loss.fenced_by"), "power is off, seen by hand");
    EXPECT_EQ(value_of(done.output, ".loss.known_lost"), "0") << done.output;
    EXPECT_EQ(value_of(done.output, ".loss.old_primary"), "london");
    EXPECT_EQ(value_of(done.output, ".loss.sequences[0] | \"\\(.store) \\(.headroom) \\(.moved)\""),
              "database/app 1000 1");
    const int64_t unknown_since = std::stoll(value_of(done.output, ".loss.unknown_since_us"));
    EXPECT_GT(unknown_since, 0);
    EXPECT_LE(unknown_since, before_lost) << "it says that it has what it never got";
    EXPECT_EQ(pair.open_site(), &pair.sydney);
    EXPECT_TRUE(std::filesystem::is_empty(incoming));
    EXPECT_EQ(read_file(elsewhere / "somebody's"), "not Antipode's");
    std::filesystem::remove(linked);
    EXPECT_EQ(pair.sydney.sql("SELECT count(*) FROM uploads"), std::to_string(safe));
    EXPECT_GT(std::stoi(pair.sydney.sql("SELECT nextval('journal_id_seq')")), given_out)
        << "a number is given out again that london gave out";
    pair.sydney.sql("INSERT INTO uploads VALUES (1000, 'x', 'y')");

    // It comes back as it was left.
    pair.london.nats.start();
    pair.london.postgres.start();
    write_file(Pair::opened(pair.london), "");
    for (int start = 0; start < 2; ++start) {
        pair.london.start();
        ASSERT_TRUE(eventually([&] {
            return pair.london.status(".failover.state") == "quarantined" &&
                   !std::filesystem::exists(Pair::opened(pair.london));
        })) << pair.describe();
        EXPECT_EQ(pair.london.status(".role"), "fenced");
        EXPECT_EQ(pair.london.status(".stores | length"), "0") << "it works on its stores";
        pair.london.kill();
    }
    pair.london.start();
    EXPECT_TRUE(eventually([&] {
        const std::string seen = pair.london.antipode({"status"}).output;
        return seen.find("only this site has 4 transactions, 1 ref of 1 repository, 2 files") !=
                   std::string::npos &&
               seen.find("antipode rejoin london") != std::string::npos;
    })) << pair.london.antipode({"status"}).output;
    const CommandResult push =
        run({"git", "-C", (pair.temporary / "work").string(), "push", "-q",
             (pair.london.git_root / "app.git").string(), "HEAD:refs/heads/wrong"});
    EXPECT_THAT(push.error, HasSubstr("the primary is sydney"));
    const CommandResult connect = run({PostgresServer::program("psql"), "-Xc", "SELECT 1",
                                       pair.london.postgres.url("app", "app")});
    EXPECT_THAT(connect.error, HasSubstr("permission denied for database"));
    // Somebody starts the service by hand, and lets it in.
    write_file(Pair::opened(pair.london), "");
    pair.london.sql("GRANT CONNECT ON DATABASE app TO app");
    EXPECT_TRUE(eventually([&] {
        return !std::filesystem::exists(Pair::opened(pair.london)) &&
               run({PostgresServer::program("psql"), "-Xc", "SELECT 1",
                    pair.london.postgres.url("app", "app")})
                       .status != 0;
    })) << pair.describe();
    // Nothing of what only london has is touched.
    EXPECT_EQ(pair.london.sql("SELECT count(*) FROM uploads"), std::to_string(safe + 2));
    EXPECT_EQ(pair.sydney.status(".failover.state"), "serving");
    EXPECT_EQ(pair.sydney.sql("SELECT count(*) FROM uploads"), std::to_string(safe + 1));
    // The promotion waited for nobody to see it, and says that nobody has.
    const auto seen = [&] {
        return value_of(pair.sydney.antipode({"op", "show", "-o", "json"}).output,
                        "\"\\(.outcome) \\(.seen)\"");
    };
    EXPECT_TRUE(eventually([&] { return seen() != "done null"; }, 60s)) << seen();
    EXPECT_THAT(seen(), HasSubstr("done no other site has seen the new epoch within 30 s of writes "
                                  "opening: what is written is here alone. Try: antipode status"));
}

TEST(Promotion, WaitsForWhatIsHereAndStillBeingApplied) {
    Pair pair;
    Writer writer(pair);
    ASSERT_TRUE(writer.write());
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    ASSERT_EQ(pair.sydney.antipode({"database", "setup"}).status, 0);
    ASSERT_TRUE(pair.ready(pair.sydney)) << pair.describe();
    // A reader's lock holds up the row, which is safe here.
    Process lock(
        {PostgresServer::program("psql"), "-Xc", "BEGIN; LOCK TABLE uploads; SELECT pg_sleep(600)",
         pair.sydney.postgres.url("app")},
        {});
    ASSERT_TRUE(eventually([&] {
        return pair.sydney.sql(
                   "SELECT count(*) FROM pg_locks WHERE relation = "
                   "'uploads'::regclass AND mode = 'AccessExclusiveLock'") == "1";
    }));
    ASSERT_TRUE(writer.write());
    // Not for items: those have come then.
    ASSERT_TRUE(eventually([&] {
        return pair.sydney.sql(
                   "SELECT count(*) FROM pg_locks WHERE relation = 'uploads'::regclass AND NOT "
                   "granted") == "1";
    })) << pair.describe();
    lose(pair.london);
    const std::vector<std::string> promote = {
        ANTIPODE,      "--config", (pair.sydney.directory / "antipode.toml").string(),
        "promote",     "sydney",   "--confirm",
        "sydney",      "-o",       "json",
        "--fenced-by", "by hand"};
    Process::Options logged;
    logged.log = pair.temporary / "promote.log";
    Process command(promote, logged);
    const auto journaled = [&](const std::string& state) {
        return read_file(pair.sydney.directory / "state/failover.journal")
                   .find("\"" + state + "\"") != std::string::npos;
    };
    ASSERT_TRUE(eventually([&] { return journaled("cutting"); })) << pair.describe();
    EXPECT_FALSE(eventually([&] { return journaled("claiming"); }, 4s))
        << "it has given up a row that it holds";
    pair.sydney.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE "
        "'BEGIN; LOCK%'");
    ASSERT_EQ(command.wait(60s), 0) << read_file(pair.temporary / "promote.log") << pair.describe();
    EXPECT_EQ(writer.missing(pair.sydney), -1);
    EXPECT_THAT(read_file(pair.temporary / "promote.log"), HasSubstr("\"known_lost\":0"));
}

}  // namespace
}  // namespace antipode::test
