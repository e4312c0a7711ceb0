// A third nats-server arbitrates: under its lease a primary that is cut off takes no writes, and
// another site becomes primary without anybody's word.
#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

class Witness : public testing::Test {
  protected:
    explicit Witness(Pair::Daemons daemons = Pair::Daemons::Superusers)
        : pair_("[witness]\nnats = \"" + witness_.url() + "\"\n", daemons), daemons_(daemons) {
        for (Site* site : {&pair_.london, &pair_.sydney}) {
            start_fencer(*site);
        }
        // A repository for what tries to write by itself.
        must_run({"git", "init", "-q", "-b", "main", clone().string()});
    }
    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        if (daemons_ == Pair::Daemons::Superusers) {
            ASSERT_EQ(pair_.sydney.antipode({"database", "setup"}).status, 0);
        }
        ASSERT_TRUE(eventually([&] { return holds_both_ways(pair_.london); })) << describe();
    }
    void start_fencer(const Site& site) {
        fencers_[site.name] =
            Process({ANTIPODE_FENCER, "--config", (site.directory / "antipode.toml").string()},
                    {.log = site.directory / "fencer.log",
                     .directory = {},
                     .environment = {},
                     .as_unprivileged_user = false});
    }
    static bool holds_both_ways(const Site& site) {
        return site.status(
                   "[.lease.holds, .lease.at_witness, .lease.at_sites, "
                   ".lease.fencer.runs] | all") == "true";
    }
    std::filesystem::path clone() const { return pair_.temporary / "probe"; }

    // An application that tries to write to each store.
    static bool takes_row(const Site& site) {
        return run({PostgresServer::program("psql"), "-Xc",
                    "INSERT INTO journal (what) VALUES ('probe')", site.postgres.url("app", "app")})
                   .status == 0;
    }
    bool takes_push(const Site& site) const {
        Process::Options options;
        options.directory = clone();
        must_run({"git", "-c", "user.name=T", "-c", "user.email=t@example.org", "commit", "-q",
                  "--allow-empty", "-m", "probe"},
                 {}, options);
        return run({"git", "push", "-q", "-f", (site.git_root / "app.git").string(),
                    "HEAD:refs/heads/probe"},
                   {}, options)
                   .status == 0;
    }
    static bool takes_file(const Site& site) { return std::filesystem::exists(Pair::opened(site)); }
    bool takes_any(const Site& site) const {
        const bool row = takes_row(site);
        const bool push = takes_push(site);
        return takes_file(site) || row || push;
    }
    bool takes_all(const Site& site) const {
        return takes_file(site) && takes_row(site) && takes_push(site);
    }
    /// All stores refuse writes soon enough from now on.
    void expect_refused(const Site& site, const char* what) {
        const auto begun = steady_clock::now();
        EXPECT_TRUE(eventually([&] { return !takes_any(site); }, 20s)) << what << describe();
        const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun);
        std::cout << what << ": refused after " << took.count() << " ms\n";
        EXPECT_LT(took, 16s) << what;
    }
    std::string describe() const {
        std::string text = pair_.describe();
        for (const Site* site : {&pair_.london, &pair_.sydney}) {
            text += site->status(".lease").value_or("") + "\n" +
                    read_file(site->directory / "fencer.log");
        }
        return text;
    }

    TemporaryDirectory directory_;
    NatsServer witness_{directory_ / "witness"};
    Pair pair_;
    const Pair::Daemons daemons_;
    Writer writer_{pair_};
    std::map<std::string, Process> fencers_;
};

class WitnessWithoutSuperusers : public Witness {
  protected:
    WitnessWithoutSuperusers() : Witness(Pair::Daemons::Unprivileged) {}
};

TEST_F(WitnessWithoutSuperusers, APrimaryThatIsCutOffTakesNoWritesAndOneWithoutItsWitnessDoes) {
    Site& london = pair_.london;
    // The witness is away for longer than a lease lasts.
    witness_.kill();
    const auto gone = steady_clock::now();
    EXPECT_TRUE(eventually([&] { return !writer_.write() || steady_clock::now() - gone > 16s; }));
    EXPECT_GT(steady_clock::now() - gone, 16s) << "writes have stopped" << describe();
    EXPECT_THAT(london.antipode({"status"}).output, HasSubstr("promises of all other sites alone"));
    const std::string metrics =
        must_run({"curl", "-fsS", "http://127.0.0.1:" + london.http_port() + "/metrics"});
    EXPECT_THAT(metrics, HasSubstr("antipode_lease_held 1"));
    EXPECT_THAT(metrics, HasSubstr("antipode_lease_ways 1"));
    EXPECT_THAT(metrics, HasSubstr("antipode_fencer_runs 1"));
    witness_.start();
    EXPECT_TRUE(eventually([&] { return holds_both_ways(london); })) << describe();

    // The daemon stands still, with everything that it holds.
    london.daemon().signal(SIGSTOP);
    expect_refused(london, "stopped");
    EXPECT_THAT(run({ANTIPODE_FENCER, "--status", "--config",
                     (london.directory / "antipode.toml").string()})
                    .output,
                HasSubstr("writes are refused; fences were closed here"));
    london.daemon().signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return takes_all(london); })) << describe();

    // It sees nobody. What somebody has closed by hand before is not the fencer's to open.
    const auto by_hand = london.directory / "state/hooks/git.fenced";
    write_file(by_hand, "closed for repairs\n");
    witness_.process().signal(SIGSTOP);
    pair_.sydney.nats.process().signal(SIGSTOP);
    expect_refused(london, "cut off");
    EXPECT_TRUE(eventually([&] { return london.status(".lease.holds | tostring") == "false"; }));
    EXPECT_THAT(london.antipode({"status"}).output, HasSubstr("takes no writes"));
    EXPECT_EQ(run({"curl", "-sS", "http://127.0.0.1:" + london.http_port() + "/primary"}).output,
              "the primary, without a lease: it takes no writes\n");
    fencers_["london"].kill();
    witness_.process().signal(SIGCONT);
    pair_.sydney.nats.process().signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return london.status(".lease.holds") == "true"; })) << describe();
    EXPECT_FALSE(takes_any(london)) << "who has opened it?";
    start_fencer(london);
    EXPECT_TRUE(eventually([&] { return takes_file(london) && takes_row(london); })) << describe();
    EXPECT_FALSE(takes_push(london));
    EXPECT_EQ(read_file(by_hand), "closed for repairs\n");
    std::filesystem::remove(by_hand);
    ASSERT_TRUE(writer_.write());
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << describe();
    EXPECT_EQ(writer_.missing(pair_.sydney), -1);
    EXPECT_EQ(fencers_["london"].stop(), 0);
    EXPECT_TRUE(takes_all(london)) << "the fencer has closed something as it ended";
}

TEST_F(WitnessWithoutSuperusers, APrimaryWhoseFencerDiedIsClosedByItsDaemon) {
    Site& london = pair_.london;
    fencers_["london"].kill();
    witness_.process().signal(SIGSTOP);
    pair_.sydney.nats.process().signal(SIGSTOP);
    expect_refused(london, "cut off, without a fencer");
    EXPECT_TRUE(eventually([&] { return london.status(".lease.closed | tostring") == "true"; }))
        << describe();
    // Its last word counts for longer than the lease may last: 10 s.
    EXPECT_TRUE(eventually([&] {
        return london.status(".lease.fencer.runs | tostring") == "false";
    })) << describe();
    witness_.process().signal(SIGCONT);
    pair_.sydney.nats.process().signal(SIGCONT);
    EXPECT_TRUE(eventually([&] { return london.status(".lease.holds") == "true"; })) << describe();
    EXPECT_FALSE(takes_any(london)) << "a daemon that may hang has opened it";
    EXPECT_THAT(london.antipode({"status"}).output, HasSubstr("which opens them again"));
    start_fencer(london);
    EXPECT_TRUE(eventually([&] { return takes_all(london); })) << describe();
    ASSERT_TRUE(writer_.write());

    // It may not fence the database any more, and says so while the lease holds.
    EXPECT_TRUE(eventually([&] { return holds_both_ways(london); })) << describe();
    london.sql("REVOKE app FROM antipode");
    fencers_["london"].stop();
    start_fencer(london);
    EXPECT_TRUE(eventually([&] {
        return london.antipode({"status"}).output.find("cannot be fenced") != std::string::npos;
    })) << describe();
    const std::string metrics =
        must_run({"curl", "-fsS", "http://127.0.0.1:" + london.http_port() + "/metrics"});
    EXPECT_THAT(metrics, HasSubstr("antipode_fencer_problem 1"));
    EXPECT_TRUE(takes_all(london));

    // A planned change asks whether the other site could hold the lease.
    london.sql("GRANT app TO antipode");
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << describe();
    fencers_["sydney"].kill();
    const std::vector<std::string> look = {"preflight", "--to", "sydney"};
    EXPECT_TRUE(eventually([&] {
        return london.antipode(look).output.find("antipode-fencer does not run on sydney") !=
               std::string::npos;
    })) << london.antipode(look).output;
    witness_.kill();
    EXPECT_TRUE(eventually([&] {
        return london.antipode(look).output.find("of all other sites alone") != std::string::npos;
    })) << london.antipode(look).output;
    EXPECT_EQ(london.antipode(look).status, 0) << london.antipode(look).output;
}

/// docs/runbooks/lost-quorum.md
TEST_F(Witness, APrimaryThatLostAllOthersForGoodGoesOnOnceTheyAreTakenOut) {
    Site& london = pair_.london;
    witness_.kill();
    pair_.sydney.kill();
    pair_.sydney.nats.kill();
    expect_refused(london, "witness and site lost");
    EXPECT_THAT(london.antipode({"status"}).output,
                HasSubstr("holds no lease, and takes no writes"));
    // The promise of that site is enough; its daemon need not run.
    pair_.sydney.nats.start();
    EXPECT_TRUE(eventually([&] { return takes_all(london); })) << describe();
    EXPECT_EQ(london.status(".lease | [.at_witness, .at_sites] | map(tostring) | join(\" \")"),
              "false true");
    pair_.sydney.nats.kill();
    expect_refused(london, "lost once more");
    const CommandResult removed =
        london.antipode({"sites", "remove", "sydney", "--confirm", "sydney"});
    ASSERT_EQ(removed.status, 0) << removed.error;
    london.kill();
    london.start();
    EXPECT_TRUE(eventually([&] { return takes_all(london); })) << describe();
    EXPECT_TRUE(writer_.write()) << writer_.problem();
    // A witness that comes back empty is taken as it is.
    std::filesystem::remove_all(witness_.store_directory());
    witness_.start();
    EXPECT_TRUE(eventually([&] { return holds_both_ways(london); })) << describe();
    EXPECT_TRUE(takes_all(london)) << describe();
}

TEST_F(Witness, APromotionWaitsForTheLeaseAndASwitchoverDoesNot) {
    Site& london = pair_.london;
    Site& sydney = pair_.sydney;
    ASSERT_TRUE(pair_.ready(sydney)) << describe();
    const CommandResult planned = pair_.switch_to(sydney);
    ASSERT_EQ(planned.status, 0) << planned.error << describe();
    EXPECT_LT(std::stod(value_of(planned.output, ".seconds")), 10);
    EXPECT_TRUE(eventually([&] { return holds_both_ways(sydney); })) << describe();
    EXPECT_FALSE(takes_any(london));
    ASSERT_TRUE(writer_.write()) << writer_.problem();
    ASSERT_TRUE(pair_.caught_up(london)) << describe();
    const int safe = writer_.acknowledged();

    // It is gone, with all that ran there.
    sydney.kill();
    fencers_["sydney"].kill();
    sydney.nats.kill();
    sydney.postgres.kill();
    std::filesystem::remove(Pair::opened(sydney));
    ASSERT_TRUE(eventually([&] {
        return value_of(london
                            .antipode(
                                {"preflight", "--to", "london", "--mode", "failover", "-o", "json"})
                            .output,
                        ".clear and (.lease_seconds > 0) and .lease_obstacle == \"\"") == "true";
    })) << london.antipode({"preflight", "--to", "london", "--mode", "failover"}).output;
    // Nobody knows more than an operator while the witness is away.
    witness_.kill();
    EXPECT_TRUE(eventually([&] {
        return london.status(".lease.obstacle").value_or("").find("witness does not answer") !=
               std::string::npos;
    })) << describe();
    const CommandResult unsure = london.antipode({"promote", "london", "--confirm", "london"});
    EXPECT_EQ(unsure.status, 2) << unsure.error;
    EXPECT_THAT(unsure.error, HasSubstr("--fenced-by"));
    witness_.start();
    ASSERT_TRUE(eventually([&] { return london.status(".lease.obstacle | length") == "0"; }))
        << describe();
    const auto begun = steady_clock::now();
    const CommandResult promoted = london.antipode({"promote", "london", "--confirm", "london"});
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun);
    ASSERT_EQ(promoted.status, 0) << promoted.error << promoted.output << describe();
    std::cout << "open " << took.count() << " ms after the word\n";
    EXPECT_LT(took, 40s);
    EXPECT_THAT(promoted.output, HasSubstr("waits for sydney's lease to run out: "));
    const CommandResult loss = london.antipode({"loss", "-o", "json"});
    EXPECT_THAT(value_of(loss.output, ".. | .fenced_by? // empty"),
                HasSubstr("the lease of sydney ran out: it was not renewed for 18 s"));
    EXPECT_EQ(writer_.missing(london), -1);
    EXPECT_EQ(writer_.acknowledged(), safe);
    EXPECT_TRUE(takes_all(london)) << describe();
    EXPECT_EQ(london.status(".lease.holds"), "true");

    // It comes back as it was left, its fencer first.
    sydney.nats.start();
    sydney.postgres.start();
    write_file(Pair::opened(sydney), "");
    start_fencer(sydney);
    EXPECT_TRUE(eventually([&] { return !takes_any(sydney); })) << describe();
    sydney.start();
    ASSERT_TRUE(Pair::awaits(sydney, "quarantined")) << describe();
    EXPECT_FALSE(takes_any(sydney));
    const CommandResult back = sydney.antipode({"rejoin", "--yes"});
    ASSERT_EQ(back.status, 0) << back.error << describe();
    ASSERT_TRUE(Pair::awaits(sydney, "following")) << describe();
    ASSERT_TRUE(pair_.caught_up(sydney)) << describe();
    pair_.expect_equal();
    EXPECT_TRUE(eventually([&] { return holds_both_ways(london); }))
        << "it has not promised again" << describe();
}

}  // namespace
}  // namespace antipode::test
