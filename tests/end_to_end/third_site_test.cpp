// A third site follows when the primary changes between the two others, without a new copy.
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Which versions of them stand on the site: a copy would make new ones.
std::string first_row_and_file(const Site& site) {
    return site.sql("SELECT ctid, xmin FROM uploads WHERE id = 0") + " " +
           must_run({"stat", "-c", "%i %z", (site.files_root / "u/0.bin").string()});
}

/// How often a site compared its stores with a primary's, as its log says.
size_t comparisons(const Site& site) {
    const std::string log = read_file(site.directory / "antipoded.log");
    size_t count = 0;
    const std::string said = "-> crossing: to be compared:";
    for (size_t at = log.find(said); at != std::string::npos; at = log.find(said, at + 1)) {
        ++count;
    }
    return count;
}

class ThirdSite : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        for (Site* site : {&pair_.sydney, &tokyo()}) {
            ASSERT_TRUE(pair_.caught_up(*site)) << pair_.describe();
            ASSERT_EQ(site->antipode({"database", "setup"}).status, 0);
        }
    }
    Site& tokyo() { return *pair_.third; }

    void switch_to(Site& to) {
        ASSERT_TRUE(pair_.ready(to))
            << pair_.london.antipode({"preflight", "--to", to.name}).output << pair_.describe();
        const CommandResult done = pair_.switch_to(to);
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    }
    /// It is a secondary of the newest epoch, and has everything that was written until now.
    void expect_follows(const Site& site, const std::string& epoch) {
        ASSERT_TRUE(eventually(
            [&] {
                return site.status(".failover.state") == "following" &&
                       site.status(".epoch") == epoch;
            },
            60s))
            << pair_.describe();
        ASSERT_TRUE(pair_.caught_up(site)) << pair_.describe();
    }
    /// A machine is gone with all that ran on it.
    static void lose(Site& site) {
        site.kill();
        site.nats.kill();
        site.postgres.kill();
        std::filesystem::remove(Pair::opened(site));
    }
    /// The network between the two is cut, when sydney's daemon starts again.
    void hide_from_sydney(const Site& site) {
        const auto file = pair_.sydney.directory / "antipode.toml";
        std::string config = read_file(file);
        for (const std::string& url : {site.nats.url(), "http://127.0.0.1:" + site.http_port()}) {
            const size_t at = config.find("\"" + url + "\"");
            ASSERT_NE(at, std::string::npos) << config;
            config.replace(at + 1, url.size(), url.substr(0, url.rfind(':')) + ":1");
        }
        write_file(file, config);
    }
    void promote_sydney() {
        const auto preflight = [&] {
            return pair_.sydney.antipode({"preflight", "--to", "sydney", "--mode", "failover"});
        };
        ASSERT_TRUE(eventually([&] { return preflight().status == 0; })) << preflight().output;
        preflight_ = preflight().output;
        const CommandResult done = pair_.sydney.antipode(
            {"promote", "sydney", "--confirm", "sydney", "--fenced-by", "power is off"});
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    }
    /// What sydney said when it was promoted.
    std::filesystem::path loss_report() {
        return *std::filesystem::directory_iterator(pair_.sydney.directory / "state/loss-reports");
    }
    /// london was lost.
    void expect_tokyo_has_what_sydney_has() {
        EXPECT_EQ(tokyo().rows(), pair_.sydney.rows());
        EXPECT_EQ(tokyo().repositories(), pair_.sydney.repositories());
        EXPECT_EQ(tokyo().files(), pair_.sydney.files());
    }
    void promote_sydney_which_gets_more_from_tokyo() {
        ASSERT_NO_FATAL_FAILURE(promote_sydney());
        EXPECT_THAT(preflight_, HasSubstr("tokyo has more than sydney"));
        EXPECT_EQ(writer_.missing(pair_.sydney), -1) << pair_.describe();
        write(1);
        ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
        EXPECT_EQ(comparisons(tokyo()), 0U);
        expect_tokyo_has_what_sydney_has();
    }
    void write(int count) {
        for (int i = 0; i < count; ++i) {
            ASSERT_TRUE(writer_.write()) << writer_.problem();
        }
    }
    void expect_nothing_lost() {
        writer_.stop();
        EXPECT_EQ(writer_.problem(), "");
        for (Site* site : pair_.sites()) {
            if (site != pair_.open_site()) {
                ASSERT_TRUE(pair_.caught_up(*site)) << pair_.describe();
            }
            EXPECT_EQ(writer_.missing(*site), -1) << site->name;
        }
        pair_.expect_equal();
    }
    /// Of epochs, on the site's nats-server: a directory each.
    static std::set<std::string> streams_of(const Site& site) {
        std::set<std::string> names;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(site.nats.store_directory())) {
            const std::string name = entry.path().filename().string();
            if (entry.is_directory() && name.starts_with("ANTIPODE_test_")) {
                names.insert(name);
            }
        }
        return names;
    }

    Pair pair_{"", Pair::Daemons::Superusers, "tokyo"};
    Writer writer_{pair_};
    std::string preflight_;
};

TEST_F(ThirdSite, FollowsUnderLoadFromOneToTheOtherAndBackAndThenIsThePrimary) {
    writer_.start();
    ASSERT_TRUE(writer_.go_on(3)) << writer_.problem();
    const std::string of_tokyo = first_row_and_file(tokyo());
    int epoch = 1;
    for (Site* to : {&pair_.sydney, &pair_.london, &tokyo()}) {
        SCOPED_TRACE(to->name);
        ASSERT_NO_FATAL_FAILURE(switch_to(*to));
        ++epoch;
        for (Site* site : pair_.sites()) {
            if (site != to) {
                ASSERT_NO_FATAL_FAILURE(expect_follows(*site, std::to_string(epoch)));
            }
        }
        EXPECT_EQ(pair_.open_site(), to);
        ASSERT_TRUE(writer_.go_on(4)) << writer_.problem() << pair_.describe();
    }
    std::cout << "writes stopped for at most " << writer_.longest_pause().count() << " ms\n";
    EXPECT_LT(writer_.longest_pause(), 15s);
    expect_nothing_lost();
    EXPECT_EQ(first_row_and_file(tokyo()), of_tokyo) << "they were written again";
    for (Site* site : pair_.sites()) {
        EXPECT_EQ(comparisons(*site), 0U) << site->name << " had everything";
        // The streams that have ended are gone.
        const std::set<std::string> only = {"ANTIPODE_test_4"};
        EXPECT_TRUE(eventually([&] { return streams_of(*site) == only; }, 30s))
            << site->name << ": " << testing::PrintToString(streams_of(*site));
    }
}

TEST_F(ThirdSite, FollowsOnceItIsBackOrGoesOn) {
    const std::string of_tokyo = first_row_and_file(tokyo());
    // It is away, and lacks what was written before and behind the end.
    tokyo().kill();
    write(3);
    ASSERT_NO_FATAL_FAILURE(switch_to(pair_.sydney));
    write(2);
    tokyo().start();
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
    EXPECT_EQ(comparisons(tokyo()), 0U) << "the streams hold what it lacked";
    // A store of it is paused.
    ASSERT_EQ(tokyo().antipode({"pause", "database/app", "--reason", "a look"}).status, 0);
    write(2);
    ASSERT_NO_FATAL_FAILURE(switch_to(pair_.london));
    EXPECT_TRUE(eventually([&] {
        return tokyo().status(".failover.problem").value_or("").find("database/app is paused") !=
               std::string::npos;
    })) << pair_.describe();
    EXPECT_THAT(pair_.london.antipode({"preflight", "--to", "sydney"}).output,
                HasSubstr("tokyo is finishing, and has not followed the primary yet"));
    write(1);
    ASSERT_EQ(tokyo().antipode({"resume", "database/app"}).status, 0);
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "3"));
    EXPECT_EQ(comparisons(tokyo()), 0U);
    expect_nothing_lost();
    EXPECT_EQ(first_row_and_file(tokyo()), of_tokyo) << "they were written again";
}

TEST_F(ThirdSite, GoesOnWhereverItIsKilled) {
    Site* primary = &pair_.london;
    int epoch = 1;
    for (const char* state : {"finishing", "crossing", "following"}) {
        SCOPED_TRACE(state);
        Site& to = pair_.other(*primary);
        write(2);
        ASSERT_TRUE(pair_.ready(to)) << pair_.describe();
        const size_t before = read_file(journal_of(tokyo())).size();
        Process command({ANTIPODE, "--config", (to.directory / "antipode.toml").string(),
                         "switchover", "--to", to.name, "--yes"},
                        {});
        const std::string line = "\"state\":\"" + std::string(state) + "\"";
        ASSERT_TRUE(eventually([&] {
            return read_file(journal_of(tokyo())).find(line, before) != std::string::npos;
        })) << pair_.describe();
        tokyo().kill();
        tokyo().start();
        ASSERT_EQ(command.wait(60s), 0) << pair_.describe();
        write(1);
        ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), std::to_string(++epoch)));
        primary = &to;
    }
    EXPECT_EQ(comparisons(tokyo()), 0U);
    expect_nothing_lost();
}

TEST_F(ThirdSite, ComparesAfterSeveralChangesThatItDidNotSee) {
    const std::string of_tokyo = first_row_and_file(tokyo());
    tokyo().kill();
    for (Site* to : {&pair_.sydney, &pair_.london}) {
        write(2);
        ASSERT_NO_FATAL_FAILURE(switch_to(*to));
    }
    app(pair_.london, "UPDATE uploads SET note = 'changed' WHERE id = 1");
    std::filesystem::remove(pair_.london.files_root / "u/1.bin");
    tokyo().start();
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "3"));
    EXPECT_EQ(comparisons(tokyo()), 1U);
    pair_.expect_equal();
    EXPECT_EQ(first_row_and_file(tokyo()), of_tokyo) << "it was copied anew";
}

TEST_F(ThirdSite, FollowsAPromotionFromWhereItEnded) {
    const std::string of_tokyo = first_row_and_file(tokyo());
    write(3);
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    lose(pair_.london);
    ASSERT_NO_FATAL_FAILURE(promote_sydney());
    write(2);
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
    EXPECT_EQ(comparisons(tokyo()), 0U);
    expect_tokyo_has_what_sydney_has();
    EXPECT_EQ(first_row_and_file(tokyo()), of_tokyo);
    // The old primary comes back, and then all can take each other's place again.
    pair_.london.nats.start();
    pair_.london.postgres.start();
    pair_.london.start();
    ASSERT_TRUE(Pair::awaits(pair_.london, "quarantined")) << pair_.describe();
    const CommandResult back = pair_.sydney.antipode({"rejoin", "london", "--yes"});
    ASSERT_EQ(back.status, 0) << back.error << pair_.describe();
    ASSERT_NO_FATAL_FAILURE(expect_follows(pair_.london, "2"));
    ASSERT_NO_FATAL_FAILURE(switch_to(tokyo()));
    write(1);
    for (Site* site : {&pair_.london, &pair_.sydney}) {
        ASSERT_NO_FATAL_FAILURE(expect_follows(*site, "3"));
    }
    expect_nothing_lost();
}

TEST_F(ThirdSite, GetsFromThePromotedSiteWhatItLacks) {
    tokyo().kill();
    write(4);
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
    lose(pair_.london);
    ASSERT_NO_FATAL_FAILURE(promote_sydney());
    EXPECT_THAT(preflight_, HasSubstr("tokyo does not answer; it follows once it is back"));
    write(2);
    tokyo().start();
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
    EXPECT_EQ(comparisons(tokyo()), 0U) << "sydney's stream holds what it lacked";
    EXPECT_EQ(writer_.missing(tokyo()), -1);
    expect_tokyo_has_what_sydney_has();
}

TEST_F(ThirdSite, GivesThePromotedSiteWhatItAloneHas) {
    pair_.sydney.kill();
    write(3);
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    lose(pair_.london);
    pair_.sydney.start();
    ASSERT_NO_FATAL_FAILURE(promote_sydney_which_gets_more_from_tokyo());
}

/// Of several MiB: not in the stream.
TEST_F(ThirdSite, GivesThePromotedSiteLargeContentThatItAloneHas) {
    const auto content = [](char first) {
        std::string bytes(20'000'000, first);
        for (size_t at = 0; at < bytes.size(); at += 4096) {
            bytes[at] = static_cast<char>(at >> 12);
        }
        return bytes;
    };
    // At once: nobody keeps what it was while it was written.
    const auto put = [&](const std::string& name, char first) {
        write_file(pair_.london.directory / name, content(first));
        std::filesystem::rename(pair_.london.directory / name, pair_.london.files_root / name);
    };
    pair_.sydney.kill();
    write(8);  // so that what is lost is not most of a store
    put("large.bin", 'l');
    write(1);
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();  // no row waits for what follows
    put("lost.bin", 'x');
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    lose(pair_.london);
    // Nobody has it any more as it was.
    std::filesystem::remove(tokyo().files_root / "lost.bin");
    pair_.sydney.start();
    ASSERT_NO_FATAL_FAILURE(promote_sydney());
    EXPECT_THAT(preflight_, HasSubstr("tokyo has more than sydney"));
    ASSERT_TRUE(std::filesystem::exists(pair_.sydney.files_root / "large.bin")) << pair_.describe();
    EXPECT_TRUE(read_file(pair_.sydney.files_root / "large.bin") == content('l'))
        << pair_.describe();
    EXPECT_FALSE(std::filesystem::exists(pair_.sydney.files_root / "lost.bin"));
    EXPECT_EQ(writer_.missing(pair_.sydney), -1) << pair_.describe();
    const std::string report = must_run({"cat", loss_report().string()});
    EXPECT_EQ(value_of(report, "[.losses[].item] | @csv"), "\"lost.bin\"") << report;
}

TEST_F(ThirdSite, GivesThePromotedSiteWhatItHasWhileTheOldPrimaryTellsItMore) {
    pair_.sydney.kill();
    hide_from_sydney(pair_.london);
    write(3);
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    pair_.sydney.start();
    // Nobody writes there any more. Its daemon lives: a marker each second comes by way of tokyo.
    std::filesystem::remove(Pair::opened(pair_.london));
    ASSERT_NO_FATAL_FAILURE(promote_sydney_which_gets_more_from_tokyo());
}

TEST_F(ThirdSite, GivesThePromotedSiteAnEndThoughTheOldPrimaryIsWrittenTo) {
    pair_.sydney.kill();
    hide_from_sydney(pair_.london);
    write(8);  // so that what is late is not most of a store
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    pair_.sydney.start();
    // Nobody has fenced it, whatever is said.
    std::jthread client([&](const std::stop_token& stop) {
        const std::string insert = "INSERT INTO journal (what) VALUES ('late')";
        while (!stop.stop_requested() && run({PostgresServer::program("psql"), "-Xqc", insert,
                                              pair_.london.postgres.url("app", "app")})
                                                 .status == 0) {
        }
    });
    ASSERT_NO_FATAL_FAILURE(promote_sydney());
    client.request_stop();
    client.join();
    EXPECT_EQ(writer_.missing(pair_.sydney), -1) << pair_.describe();
    const auto late = [](const Site& site) {
        return std::stoi(site.sql("SELECT count(*) FROM journal WHERE what = 'late'"));
    };
    EXPECT_GT(late(pair_.sydney), 0) << "what was found is fetched";
    EXPECT_GT(late(tokyo()), late(pair_.sydney));
    ASSERT_TRUE(Pair::awaits(tokyo(), "quarantined")) << pair_.describe();
    ASSERT_EQ(pair_.sydney.antipode({"rejoin", "tokyo", "--yes"}).status, 0) << pair_.describe();
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
    expect_tokyo_has_what_sydney_has();
}

TEST_F(ThirdSite, KeepsWhatThePromotedSiteNeverGotAndThenFollows) {
    write(8);  // so that what is asked for in vain is not most of a store
    ASSERT_TRUE(pair_.caught_up(pair_.sydney) && pair_.caught_up(tokyo())) << pair_.describe();
    const std::string of_tokyo = first_row_and_file(tokyo());
    const int safe = writer_.acknowledged();
    pair_.sydney.kill();
    write(2);
    ASSERT_TRUE(pair_.caught_up(tokyo())) << pair_.describe();
    lose(pair_.london);
    tokyo().kill();
    tokyo().nats.kill();
    pair_.sydney.start();
    ASSERT_NO_FATAL_FAILURE(promote_sydney());
    EXPECT_EQ(pair_.sydney.sql("SELECT count(*) FROM uploads"), std::to_string(safe));
    app(pair_.sydney, "INSERT INTO uploads VALUES (1000, 'new', 'new')");
    tokyo().nats.start();
    tokyo().start();
    ASSERT_TRUE(Pair::awaits(tokyo(), "quarantined")) << pair_.describe();
    // Each write is two transactions, a commit and a file.
    EXPECT_THAT(tokyo().antipode({"status"}).output,
                HasSubstr("only this site has 4 transactions, 1 ref of 1 repository, 2 files"));
    EXPECT_EQ(tokyo().sql("SELECT count(*) FROM uploads"), std::to_string(safe + 2))
        << "it is overwritten before the operator's word";
    const CommandResult back = pair_.sydney.antipode({"rejoin", "tokyo", "--yes", "-o", "json"});
    ASSERT_EQ(back.status, 0) << back.error << pair_.describe();
    EXPECT_EQ(value_of(back.output, ".loss.completed_by"), "tokyo") << back.output;
    ASSERT_NO_FATAL_FAILURE(expect_follows(tokyo(), "2"));
    expect_tokyo_has_what_sydney_has();
    EXPECT_EQ(first_row_and_file(tokyo()), of_tokyo) << "it was copied anew";
    const CommandResult kept = tokyo().antipode({"quarantine", "show"});
    EXPECT_THAT(kept.output, HasSubstr("4 transactions")) << kept.error;
    // The old primary has the same, and comes back as ever.
    pair_.london.nats.start();
    pair_.london.postgres.start();
    pair_.london.start();
    ASSERT_TRUE(Pair::awaits(pair_.london, "quarantined")) << pair_.describe();
    ASSERT_EQ(pair_.sydney.antipode({"rejoin", "london", "--yes"}).status, 0);
    ASSERT_NO_FATAL_FAILURE(expect_follows(pair_.london, "2"));
    pair_.expect_equal();
}

}  // namespace
}  // namespace antipode::test
