// A part that is away, hangs, or has lost everything: what it does to the rest, and to status.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "tests/end_to_end/site.hpp"
#include "tests/support/jq.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

void lose_everything(NatsServer& server) {
    server.kill();
    std::filesystem::remove_all(server.store_directory());
    server.start();
}

/// A value of the store database/app, as a site shows it.
std::optional<std::string> of_database(const Site& site, const std::string& field) {
    return site.status(".stores[] | select(.store == \"database/app\") | ." + field);
}

std::optional<std::string> site_state(const Site& site, const std::string& name) {
    return site.status(".sites[] | select(.site == \"" + name + "\") | .state");
}

TEST(Outage, ABrokerThatLosesEverythingTwiceTakesNothingFromASiteThatIsAway) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.sydney.kill();
    const std::string slot =
        "SELECT confirmed_flush_lsn >= (SELECT pg_current_wal_lsn()) FROM pg_replication_slots";
    for (int loss = 1; loss <= 2; ++loss) {
        for (int i = 0; i < 30; ++i) {
            sites.london.sql("INSERT INTO journal VALUES ('before loss " + std::to_string(loss) +
                             "')");
        }
        application.write();
        const auto head = sites.london.status(".stores[0].position");
        lose_everything(sites.london.nats);
        // The publisher has begun again and published what it decoded.
        ASSERT_TRUE(eventually([&] {
            const auto now = sites.london.status(".stores[0].position");
            return now && head && *now > *head && site_state(sites.london, "london") == "serving";
        })) << sites.describe();
        EXPECT_NE(sites.london.sql(slot), "t") << "what sydney lacks is set free";
    }
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Outage, APostgresThatHangsHoldsUpNeitherFilesNorTheDaemon) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.london.postgres.freeze();
    write_file(sites.london.files_root / "meanwhile", "content");
    EXPECT_TRUE(eventually([&] {
        return std::filesystem::exists(sites.sydney.files_root / "meanwhile");
    })) << sites.describe();
    EXPECT_TRUE(eventually([&] { return of_database(sites.london, "state") == "degraded"; }))
        << sites.describe();
    EXPECT_EQ(site_state(sites.london, "london"), "degraded");
    EXPECT_EQ(sites.london.daemon().stop(30s), 0) << "it does not end while PostgreSQL hangs";
    sites.london.postgres.thaw();
    sites.london.start();
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Outage, APrimaryThatPublishesNothingSaysSo) {
    TwoSites sites;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    EXPECT_EQ(site_state(sites.london, "london"), "serving");
    sites.london.nats.kill();
    EXPECT_TRUE(eventually([&] { return site_state(sites.london, "london") == "degraded"; }))
        << sites.describe();
    sites.london.nats.start();
    EXPECT_TRUE(eventually([&] { return site_state(sites.london, "london") == "serving"; }))
        << sites.describe();
}

TEST(Outage, TwoDaemonsCannotShareAState) {
    TwoSites sites;
    const CommandResult second =
        run({ANTIPODED, "--config", (sites.london.directory / "antipode.toml").string()});
    EXPECT_EQ(second.status, 1);
    EXPECT_THAT(second.error, HasSubstr("another antipoded works in state_dir"));
}

TEST(Outage, ADatabaseThatThePrimaryCannotCompleteIsComparedAndBroughtBack) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.sydney.kill();
    EXPECT_EQ(sites.london.daemon().stop(), 0);
    application.write();
    sites.london.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
    sites.london.start();
    sites.sydney.start();
    ASSERT_TRUE(eventually([&] {
        const auto step = of_database(sites.london, "next_step");
        return step && step->find("antipode database new-slot") != std::string::npos;
    })) << sites.describe();
    EXPECT_FALSE(sites.caught_up(2s)) << "the recovery point moves over rows that are missing";
    EXPECT_EQ(sites.sydney.antipode({"database", "new-slot"}).status, 2) << "it has no slot";
    const CommandResult again = sites.london.antipode({"database", "new-slot"});
    EXPECT_EQ(again.status, 0) << again.output;
    // Nothing more is written: no later row tells that one is missing.
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(sites.london.antipode({"database", "new-slot"}).status, 1) << "nothing is wrong";
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Outage, AMirrorSaysBetweenWhenThePrimaryDidNotSeeWhatCameAndWent) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    EXPECT_EQ(sites.london.daemon().stop(), 0);
    const std::string before = to_iso8601(SystemClock().now());
    for (int i = 0; i < 2; ++i) {
        application.write();
        application.remove_oldest();
    }
    const std::string after = to_iso8601(SystemClock().now());
    sites.london.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto told =
        jq("select(.kind == \"unnoticed\" and (.store | startswith(\"blobs/\"))) | "
           ".text | capture(\"between (?<from>\\\\S+) and (?<until>\\\\S+)\") | "
           "select(.from <= \"" +
               before + "\" and .until >= \"" + after + "\") | .from",
           sites.sydney.get("/v1/events").value_or(""));
    EXPECT_TRUE(told) << sites.sydney.get("/v1/events").value_or("");
}

}  // namespace
}  // namespace antipode::test
