// A site that is whole but no secondary is promoted: behind a switchover whose target was lost for
// good, and of two sites that claim one epoch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A machine is gone with all that ran on it.
void lose(Site& site) {
    site.kill();
    site.nats.kill();
    site.postgres.kill();
    std::filesystem::remove(Pair::opened(site));
}

void bring_back(Site& site) {
    site.nats.start();
    site.postgres.start();
    site.start();
}

bool has_journaled(const Site& site, const std::string& state) {
    const std::string line = "\"state\":\"" + state + "\"";
    return eventually([&] { return read_file(journal_of(site)).find(line) != std::string::npos; });
}

class LostTarget : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.caught_up(sydney())) << pair_.describe();
        ASSERT_EQ(sydney().antipode({"database", "setup"}).status, 0);
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.ready(sydney())) << pair_.describe();
    }
    Site& london() { return pair_.london; }
    Site& sydney() { return pair_.sydney; }

    /// The switchover is asked for, and nobody watches it.
    void ask_for_switchover() {
        command_ = std::make_unique<Process>(
            std::vector<std::string>{ANTIPODE, "--config",
                                     (london().directory / "antipode.toml").string(), "switchover",
                                     "--to", "sydney", "--yes"},
            Process::Options{});
    }
    /// What london says and asks for while its target is gone, and that it is then promoted.
    void promote_london() {
        ASSERT_TRUE(Pair::awaits(london(), "yielding")) << pair_.describe();
        EXPECT_EQ(pair_.open_site(), nullptr);
        EXPECT_TRUE(eventually([&] {
            const std::string step = london().status(".failover.next_step").value_or("");
            return step.find("antipode promote london --fenced-by") != std::string::npos;
        })) << pair_.describe();
        EXPECT_EQ(london().status(".failover.may_claim"), "true");
        const CommandResult preflight =
            london().antipode({"preflight", "--to", "london", "--mode", "failover"});
        EXPECT_EQ(preflight.status, 0) << preflight.output;
        EXPECT_THAT(preflight.output, HasSubstr("london has handed over to sydney"));
        const CommandResult unsure =
            london().antipode({"promote", "london", "--confirm", "london"});
        EXPECT_EQ(unsure.status, 2) << unsure.error;
        const CommandResult done =
            london().antipode({"promote", "london", "--confirm", "london", "-o", "json",
                               "--fenced-by", "it burnt down"});
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
        promotion_ = value_of(done.output, ".operation");
        EXPECT_EQ(value_of(done.output, ".epoch"), "3");
        EXPECT_EQ(value_of(done.output, ".loss.known_lost"), "0");
        EXPECT_EQ(value_of(done.output, ".loss.old_primary"), "sydney");
        EXPECT_GT(std::stoll(value_of(done.output, ".loss.unknown_since_us")), 0);
        EXPECT_EQ(pair_.open_site(), &london());
        EXPECT_EQ(writer_.missing(london()), -1);
        for (int i = 0; i < 2; ++i) {
            ASSERT_TRUE(writer_.write()) << writer_.problem();
        }
    }
    /// Its data directories are as they were.
    void bring_sydney_back() {
        bring_back(sydney());
        ASSERT_TRUE(eventually(
            [&] {
                const auto state = sydney().status(".failover.state");
                return state == "quarantined" ||
                       (state == "following" && sydney().status(".epoch") == "3");
            },
            60s))
            << pair_.describe();
        EXPECT_EQ(pair_.open_site(), &london());
        if (sydney().status(".failover.state") == "quarantined") {
            const CommandResult back = london().antipode({"rejoin", "sydney", "--yes"});
            ASSERT_EQ(back.status, 0) << back.error << back.output << pair_.describe();
        }
        ASSERT_TRUE(writer_.write()) << writer_.problem();
        ASSERT_TRUE(pair_.caught_up(sydney())) << pair_.describe();
        for (Site* site : pair_.sites()) {
            EXPECT_EQ(writer_.missing(*site), -1) << site->name;
        }
        pair_.expect_equal();
    }
    std::string final_report() {
        std::string report;
        EXPECT_TRUE(eventually([&] {
            report = london().antipode({"loss", promotion_, "-o", "json"}).output;
            return value_of(report, ".state") == "final";
        })) << report
            << pair_.describe();
        return report;
    }

    Pair pair_;
    Writer writer_{pair_};
    std::unique_ptr<Process> command_;
    std::string promotion_;
};

TEST_F(LostTarget, ThatNeverOpenedHasCostNothing) {
    ask_for_switchover();
    ASSERT_TRUE(has_journaled(london(), "committing")) << pair_.describe();
    lose(sydney());
    ASSERT_NO_FATAL_FAILURE(promote_london());
    ASSERT_NO_FATAL_FAILURE(bring_sydney_back());
    EXPECT_EQ(value_of(final_report(), ".known_lost"), "0");
    // And back, as planned.
    ASSERT_TRUE(pair_.ready(sydney())) << pair_.describe();
    const CommandResult done = pair_.switch_to(sydney());
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    ASSERT_TRUE(writer_.write()) << writer_.problem();
    EXPECT_EQ(writer_.missing(sydney()), -1);
}

TEST_F(LostTarget, ThatNeverHeardOfItsEpochHasCostNothing) {
    ask_for_switchover();
    ASSERT_TRUE(has_journaled(london(), "confirming")) << pair_.describe();
    sydney().daemon().signal(SIGSTOP);
    ASSERT_TRUE(Pair::awaits(london(), "yielding")) << pair_.describe();
    lose(sydney());
    ASSERT_NO_FATAL_FAILURE(promote_london());
    ASSERT_NO_FATAL_FAILURE(bring_sydney_back());
    const std::string report = final_report();
    EXPECT_EQ(value_of(report, ".known_lost"), "0");
    EXPECT_EQ(value_of(report, ".quarantine"), "") << "it had nothing to keep";
    EXPECT_THAT(read_file(journal_of(sydney())), testing::Not(HasSubstr("\"fenced\"")));
}

TEST_F(LostTarget, ThatHadOpenedKeepsWhatItAloneTook) {
    ask_for_switchover();
    ASSERT_TRUE(has_journaled(london(), "yielding")) << pair_.describe();
    london().kill();
    ASSERT_TRUE(Pair::awaits(sydney(), "serving")) << pair_.describe();
    app(sydney(), "INSERT INTO uploads VALUES (500, 'lost', 'lost')");
    write_file(sydney().files_root / "lost.txt", "nobody else has this");
    lose(sydney());
    london().start();
    ASSERT_NO_FATAL_FAILURE(promote_london());
    EXPECT_EQ(london().sql("SELECT count(*) FROM uploads WHERE id = 500"), "0");
    ASSERT_NO_FATAL_FAILURE(bring_sydney_back());
    const std::string report = final_report();
    EXPECT_EQ(value_of(report, ".lost | [.transactions,.changes,.files] | @csv"), "1,1,1")
        << report;
    const auto kept = sydney().directory / "state/quarantine" / promotion_;
    EXPECT_EQ(read_file(kept / "blobs/uploads/lost.txt"), "nobody else has this");
    EXPECT_THAT(read_file(kept / "database/app.jsonl"), HasSubstr("\"500\""));
}

/// The target of a switchover is lost, and a third site is there.
class LostTargetOfThree : public testing::Test {
  protected:
    void SetUp() override {
        for (int i = 0; i < 3; ++i) {
            ASSERT_TRUE(writer_.write());
        }
        for (Site* site : {&pair_.sydney, &tokyo()}) {
            ASSERT_TRUE(pair_.caught_up(*site)) << pair_.describe();
            ASSERT_EQ(site->antipode({"database", "setup"}).status, 0);
        }
        ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
        Process command({ANTIPODE, "--config", (pair_.london.directory / "antipode.toml").string(),
                         "switchover", "--to", "sydney", "--yes"},
                        {});
        ASSERT_TRUE(has_journaled(pair_.london, "committing")) << pair_.describe();
        lose(pair_.sydney);
        ASSERT_TRUE(Pair::awaits(pair_.london, "yielding")) << pair_.describe();
        ASSERT_TRUE(Pair::awaits(tokyo(), "finishing")) << pair_.describe();
    }
    Site& tokyo() { return *pair_.third; }
    void promote(Site& site) {
        const CommandResult done = site.antipode(
            {"promote", site.name, "--confirm", site.name, "--fenced-by", "all others are off"});
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
        EXPECT_EQ(pair_.open_site(), &site);
        EXPECT_EQ(site.status(".epoch"), "3");
        EXPECT_EQ(writer_.missing(site), -1);
        ASSERT_TRUE(writer_.write()) << writer_.problem();
    }

    Pair pair_{"", Pair::Daemons::Superusers, "tokyo"};
    Writer writer_{pair_};
};

TEST_F(LostTargetOfThree, TheThirdSiteFollowsTheOldPrimaryAndComparesNoRows) {
    ASSERT_NO_FATAL_FAILURE(promote(pair_.london));
    ASSERT_TRUE(eventually(
        [&] {
            return tokyo().status(".failover.state") == "following" &&
                   tokyo().status(".epoch") == "3";
        },
        60s))
        << pair_.describe();
    EXPECT_THAT(read_file(journal_of(tokyo())), HasSubstr("it has everything from before"));
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    EXPECT_EQ(writer_.missing(tokyo()), -1);
    EXPECT_EQ(tokyo().rows(), pair_.london.rows());
    EXPECT_EQ(tokyo().files(), pair_.london.files());
    EXPECT_EQ(tokyo().repositories(), pair_.london.repositories());
}

TEST_F(LostTargetOfThree, TheThirdSiteIsPromotedWhereItStandsIfTheOldPrimaryIsLostToo) {
    const CommandResult better =
        tokyo().antipode({"preflight", "--to", "tokyo", "--mode", "failover"});
    EXPECT_EQ(better.status, 0) << better.output;
    EXPECT_THAT(better.output, HasSubstr("antipode promote london"));
    lose(pair_.london);
    ASSERT_NO_FATAL_FAILURE(promote(tokyo()));
    bring_back(pair_.sydney);
    ASSERT_TRUE(eventually(
        [&] {
            return pair_.sydney.status(".epoch") == "3" &&
                   (pair_.sydney.status(".failover.state") == "quarantined" ||
                    pair_.sydney.status(".failover.state") == "following");
        },
        60s))
        << pair_.describe();
    EXPECT_EQ(pair_.open_site(), &tokyo());
    if (pair_.sydney.status(".failover.state") == "quarantined") {
        ASSERT_EQ(tokyo().antipode({"rejoin", "sydney", "--yes"}).status, 0) << pair_.describe();
    }
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
    EXPECT_EQ(tokyo().rows(), pair_.sydney.rows());
    EXPECT_EQ(tokyo().files(), pair_.sydney.files());
}

/// They have everything, and may become the primary.
void make_ready(Pair& pair, const std::vector<Site*>& sites) {
    for (const Site* site : sites) {
        ASSERT_TRUE(pair.caught_up(*site)) << pair.describe();
        ASSERT_EQ(site->antipode({"database", "setup"}).status, 0);
    }
}

/// sydney and tokyo were promoted without hearing of each other.
TEST(TwoClaims, OneOfThemIsChosenAndTheOtherKeepsWhatItAloneHas) {
    Pair pair("", Pair::Daemons::Superusers, "tokyo");
    Writer writer(pair);
    Site& sydney = pair.sydney;
    Site& tokyo = *pair.third;
    ASSERT_TRUE(writer.write());
    ASSERT_NO_FATAL_FAILURE(make_ready(pair, {&sydney, &tokyo}));
    lose(pair.london);
    const auto promote = [&](Site& site) {
        ASSERT_TRUE(eventually([&] {
            return site.antipode({"preflight", "--to", site.name, "--mode", "failover"}).status ==
                   0;
        })) << pair.describe();
        const CommandResult done = site.antipode(
            {"promote", site.name, "--confirm", site.name, "--fenced-by", "all others are off"});
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair.describe();
    };
    lose(sydney);
    ASSERT_NO_FATAL_FAILURE(promote(tokyo));
    app(tokyo, "INSERT INTO uploads VALUES (500, 'of tokyo', 'of tokyo')");
    lose(tokyo);
    bring_back(sydney);
    ASSERT_NO_FATAL_FAILURE(promote(sydney));
    app(sydney, "INSERT INTO uploads VALUES (600, 'of sydney', 'of sydney')");
    bring_back(tokyo);
    for (const Site* site : {&sydney, &tokyo}) {
        ASSERT_TRUE(Pair::awaits(*site, "fenced")) << pair.describe();
        EXPECT_THAT(site->status(".failover.problem").value_or(""),
                    HasSubstr("claims epoch 2 too"));
        EXPECT_THAT(site->status(".failover.next_step").value_or(""),
                    HasSubstr("Two sites claim one epoch"));
    }
    ASSERT_TRUE(eventually([&] { return pair.open_site() == nullptr; })) << pair.describe();

    ASSERT_NO_FATAL_FAILURE(promote(sydney));
    EXPECT_EQ(pair.open_site(), &sydney);
    EXPECT_EQ(sydney.status(".epoch"), "3");
    EXPECT_EQ(sydney.sql("SELECT count(*) FROM uploads WHERE id = 600"), "1");
    ASSERT_TRUE(Pair::awaits(tokyo, "quarantined")) << pair.describe();
    const CommandResult back = sydney.antipode({"rejoin", "tokyo", "--yes"});
    ASSERT_EQ(back.status, 0) << back.error << back.output << pair.describe();
    ASSERT_TRUE(writer.write()) << writer.problem();
    ASSERT_TRUE(pair.caught_up(tokyo)) << pair.describe();
    EXPECT_EQ(tokyo.rows(), sydney.rows());
    EXPECT_EQ(tokyo.repositories(), sydney.repositories());
    EXPECT_EQ(tokyo.files(), sydney.files());
    EXPECT_THAT(must_run({"sh", "-c",
                          "cat " + (tokyo.directory / "state/quarantine").string() +
                              "/*/database/app.jsonl"}),
                HasSubstr("of tokyo"));
}

/// tokyo has never followed sydney, and takes its place with less than sydney had from london.
TEST(PromotedWithLess, TheSiteThatWasPromotedBeforeKeepsAlsoWhatItHadWhenItWas) {
    Pair pair("", Pair::Daemons::Superusers, "tokyo");
    Writer writer(pair);
    Site& sydney = pair.sydney;
    Site& tokyo = *pair.third;
    ASSERT_TRUE(writer.write());
    ASSERT_NO_FATAL_FAILURE(make_ready(pair, {&sydney, &tokyo}));
    tokyo.kill();
    app(pair.london, "INSERT INTO uploads VALUES (500, 'of london', 'of london')");
    ASSERT_TRUE(pair.caught_up(sydney)) << pair.describe();
    lose(pair.london);
    // It lets in writes, and does not get as far as to serve: nobody can take anything from it.
    const auto opened = Pair::opened(sydney);
    std::filesystem::create_symlink(sydney.directory / "missing/open", opened);
    const Process command({ANTIPODE, "--config", (sydney.directory / "antipode.toml").string(),
                           "promote", "sydney", "--confirm", "sydney", "--fenced-by", "it is off"},
                          {});
    ASSERT_TRUE(has_journaled(sydney, "opening")) << pair.describe();
    tokyo.start();
    ASSERT_TRUE(Pair::awaits(tokyo, "finishing")) << pair.describe();
    lose(sydney);
    const CommandResult done = tokyo.antipode(
        {"promote", "tokyo", "--confirm", "tokyo", "--fenced-by", "all others are off"});
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair.describe();
    EXPECT_EQ(tokyo.sql("SELECT count(*) FROM uploads WHERE id = 500"), "0");
    bring_back(sydney);
    ASSERT_TRUE(Pair::awaits(sydney, "quarantined")) << pair.describe();
    EXPECT_THAT(must_run({"sh", "-c",
                          "cat " + (sydney.directory / "state/quarantine").string() +
                              "/*/database/app.jsonl"}),
                HasSubstr("of london"));
    const CommandResult back = tokyo.antipode({"rejoin", "sydney", "--yes"});
    ASSERT_EQ(back.status, 0) << back.error << back.output << pair.describe();
    ASSERT_TRUE(writer.write()) << writer.problem();
    ASSERT_TRUE(pair.caught_up(sydney)) << pair.describe();
    EXPECT_EQ(tokyo.rows(), sydney.rows());
}

}  // namespace
}  // namespace antipode::test
