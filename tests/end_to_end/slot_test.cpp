// What the replication slot keeps of the primary's disk while a site is away.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// A value of the store database/app, as a site shows it; empty while there is none.
std::string of_database(const Site& site, const std::string& field) {
    return site.status(".stores[] | select(.store == \"database/app\") | ." + field).value_or("");
}

/// About two megabytes of log.
void write_log_alone(const Site& site) {
    site.sql("INSERT INTO journal SELECT repeat(md5(i::text), 60) FROM generate_series(1, 900) i");
}

void write_log(const Site& site) {
    write_log_alone(site);
    // The server looks anew at what it must keep.
    site.sql("CHECKPOINT");
}

uint64_t retained(const Site& site) {
    const std::string bytes = of_database(site, "slot.retained_bytes");
    return bytes.empty() ? UINT64_MAX : std::stoull(bytes);
}

constexpr const char* capped = "slot_warn_bytes = 3000000\nslot_max_bytes = 12000000\n";

/// sydney dies, and london writes until it lets go of it.
void lag_past_the_cap(TwoSites& sites) {
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    ASSERT_TRUE(eventually([&] { return retained(sites.london) < 3'000'000; }));
    EXPECT_EQ(of_database(sites.london, "state"), "serving");
    sites.sydney.kill();
    ASSERT_TRUE(eventually([&] {
        write_log(sites.london);
        return of_database(sites.london, "state") == "degraded";
    })) << sites.describe();
    EXPECT_THAT(of_database(sites.london, "reason"), HasSubstr("of log (slot_warn_bytes"));
    EXPECT_THAT(of_database(sites.london, "next_step"), HasSubstr("slot_max_bytes"));
    ASSERT_TRUE(eventually([&] {
        write_log(sites.london);
        return of_database(sites.london, "slot.let_go[0]") == "sydney";
    })) << sites.describe();
    ASSERT_TRUE(eventually([&] {
        sites.london.sql("CHECKPOINT");
        return retained(sites.london) < 12'000'000;
    })) << retained(sites.london);
}

TEST(Slot, LetsGoOfASiteThatLagsPastTheCapWhichTheStreamBringsBack) {
    TwoSites sites("", capped);
    lag_past_the_cap(sites);
    ASSERT_TRUE(eventually([&] {
        sites.london.sql("CHECKPOINT");
        return of_database(sites.london, "reason").find("was let go of") != std::string::npos;
    })) << sites.describe();
    const CommandResult metrics =
        run({"curl", "-fsS", "http://127.0.0.1:" + sites.london.http_port() + "/metrics"});
    EXPECT_THAT(metrics.output, HasSubstr("antipode_store_slot_let_go_sites{store=\"database/"
                                          "app\"} 1"));
    EXPECT_THAT(metrics.output, HasSubstr("antipode_store_slot_retained_bytes"));
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_TRUE(eventually([&] { return of_database(sites.london, "state") == "serving"; }))
        << sites.describe();
    EXPECT_EQ(of_database(sites.london, "slot.let_go | length"), "0");
}

TEST(Slot, ComparesADatabaseThatNeitherSlotNorStreamCanBringBack) {
    TwoSites sites("", capped);
    lag_past_the_cap(sites);
    sites.london.nats.kill();
    std::filesystem::remove_all(sites.london.nats.store_directory());
    sites.london.nats.start();
    sites.sydney.start();
    sites.london.sql("INSERT INTO journal VALUES ('after')");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Slot, ThatPostgresMayEndIsNamedAndThatItHasEndedIsMadeAnew) {
    TwoSites sites;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    EXPECT_TRUE(
        eventually([&] { return of_database(sites.london, "slot.wal_status") == "reserved"; }));
    EXPECT_EQ(of_database(sites.london, "slot.safe_wal_bytes"), "");
    sites.london.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '20MB'");
    sites.london.sql("SELECT pg_reload_conf()");
    EXPECT_TRUE(eventually([&] { return of_database(sites.london, "slot.safe_wal_bytes") != ""; }));
    sites.sydney.kill();
    ASSERT_TRUE(eventually([&] {
        write_log_alone(sites.london);
        return of_database(sites.london, "slot.wal_status") == "unreserved";
    })) << sites.describe();
    EXPECT_TRUE(eventually([&] { return of_database(sites.london, "state") == "degraded"; }))
        << sites.describe();
    sites.london.sql("CHECKPOINT");
    // Nobody confirms anything: only another slot can be reserved again.
    ASSERT_TRUE(eventually([&] {
        return of_database(sites.london, "slot.wal_status") == "reserved";
    })) << sites.describe();
    sites.london.sql("ALTER SYSTEM RESET max_slot_wal_keep_size");
    sites.london.sql("SELECT pg_reload_conf()");
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

}  // namespace
}  // namespace antipode::test
