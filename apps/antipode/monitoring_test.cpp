#include "apps/antipode/monitoring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/two_daemons.hpp"

namespace antipode::cli {
namespace {

using test::Json;
using testing::HasSubstr;
using testing::Not;

class MonitoringTest : public testing::Test {
  protected:
    MonitoringTest() {
        sydney_ = {{"site", "sydney"},
                   {"role", "secondary"},
                   {"state", "streaming"},
                   {"reason", ""},
                   {"recovery_point_us", ago(2)},
                   {"report_at_us", ago(1)},
                   {"parked", 0},
                   {"checks", {check("database/app", nullptr), check("blobs/uploads", 0)}}};
    }
    int64_t ago(int64_t seconds) const {
        return to_microseconds(cluster_.clock.now()) - seconds * 1'000'000;
    }
    /// `differed`: null for a database.
    Json check(const char* store, const Json& differed) const {
        return {{"store", store},  {"checked_us", ago(7200)}, {"differing", 0},      {"what", ""},
                {"next_step", ""}, {"equal_us", ago(3)},      {"differed", differed}};
    }
    /// What the plugin prints on the primary, without the end of the line.
    template <typename Plugin>
    std::string line(Plugin plugin) {
        Json& london = cluster_.statuses["london"];
        if (!london.is_null()) {
            london["sites"] = {{{"site", "london"}, {"role", "primary"}, {"report_at_us", ago(0)}},
                               sydney_};
        }
        cluster_.out.str("");
        state_ = plugin(cluster_.config, cluster_.fetch, cluster_.output, options_);
        const std::string printed = cluster_.out.str();
        EXPECT_EQ(printed.find('\n') + 1, printed.size()) << printed;
        return printed.substr(0, printed.size() - 1);
    }

    test::Cluster cluster_;
    Json sydney_;
    MonitoringOptions options_;
    PluginState state_ = PluginState::Unknown;
};

TEST_F(MonitoringTest, JudgesTheLagByItsLimits) {
    EXPECT_EQ(line(check_lag), "ANTIPODE LAG OK - sydney is 2.0s behind | 'sydney'=2s;60;300;0");
    EXPECT_EQ(state_, PluginState::Ok);
    sydney_["recovery_point_us"] = ago(90);
    sydney_["reason"] = "blobs/uploads: 14 items | \"no space\"\n";
    EXPECT_EQ(line(check_lag),
              "ANTIPODE LAG WARNING - sydney is 1m30s behind: blobs/uploads: 14 items / \"no "
              "space\"? | 'sydney'=90s;60;300;0");
    EXPECT_EQ(state_, PluginState::Warning);
    options_.lag_critical = std::chrono::seconds(80);
    EXPECT_THAT(line(check_lag), HasSubstr("LAG CRITICAL"));
    EXPECT_EQ(state_, PluginState::Critical);
}

TEST_F(MonitoringTest, NeverTakesWhatIsUnknownForGood) {
    sydney_["recovery_point_us"] = nullptr;
    EXPECT_EQ(line(check_lag),
              "ANTIPODE LAG UNKNOWN - the recovery point of sydney is unknown | "
              "'sydney'=U;60;300;0");
    EXPECT_EQ(state_, PluginState::Unknown);
    sydney_["recovery_point_us"] = ago(2);
    sydney_["report_at_us"] = ago(30);
    EXPECT_THAT(line(check_lag), HasSubstr("LAG UNKNOWN - sydney said nothing for 30s |"));
    EXPECT_THAT(line(check_verified), HasSubstr("VERIFIED UNKNOWN - sydney said nothing for 30s"));
    sydney_["report_at_us"] = nullptr;
    EXPECT_THAT(line(check_lag), HasSubstr("LAG UNKNOWN - sydney has not reported yet"));
    options_.site = "london";
    EXPECT_THAT(line(check_lag), HasSubstr("LAG UNKNOWN - london is no secondary, but primary"));
    EXPECT_EQ(state_, PluginState::Unknown);
}

TEST_F(MonitoringTest, JudgesWhatChecksFoundAndHowOldTheyAre) {
    EXPECT_EQ(line(check_verified),
              "ANTIPODE VERIFIED OK - sydney database/app was compared 2h00m ago; sydney "
              "blobs/uploads was read again within 2h00m | "
              "'sydney database/app'=7200s;691200;1296000;0 "
              "'sydney blobs/uploads'=7200s;691200;1296000;0 'sydney failed'=0;0;;0");
    EXPECT_EQ(state_, PluginState::Ok);
    sydney_["checks"][1]["checked_us"] = nullptr;
    EXPECT_THAT(line(check_verified),
                HasSubstr("VERIFIED UNKNOWN - sydney blobs/uploads was not all read again yet |"));
    // What is known to be bad counts more than what is unknown, and all of it is told.
    sydney_["parked"] = 14;
    EXPECT_THAT(line(check_verified),
                HasSubstr("VERIFIED WARNING - sydney: 14 items failed, antipode failures sydney; "
                          "sydney blobs/uploads was not all"));
    EXPECT_EQ(state_, PluginState::Warning);
    sydney_["checks"][0]["differing"] = 2;
    sydney_["checks"][0]["what"] = "public.users differs";
    EXPECT_THAT(line(check_verified),
                HasSubstr("VERIFIED CRITICAL - sydney database/app: public.users differs; "));
    EXPECT_EQ(state_, PluginState::Critical);
    sydney_["checks"] = nullptr;
    sydney_["parked"] = nullptr;
    EXPECT_EQ(line(check_verified),
              "ANTIPODE VERIFIED UNKNOWN - sydney says nothing of its checks | "
              "'sydney failed'=U;0;;0");
}

TEST_F(MonitoringTest, JudgesHowOldAChecksResultIs) {
    options_.age_warning = std::chrono::hours(1);
    EXPECT_THAT(line(check_verified), HasSubstr("VERIFIED WARNING - "));
    options_.age_critical = std::chrono::hours(1);
    EXPECT_THAT(line(check_verified), HasSubstr("VERIFIED CRITICAL - "));
}

TEST_F(MonitoringTest, SaysWhatStandsInTheWayOfAPromotion) {
    options_.site = "sydney";
    EXPECT_EQ(line(check_promote_ready),
              "ANTIPODE PROMOTE-READY OK - sydney could be promoted | 'blockers'=0;;0;0 "
              "'warnings'=0;0;;0");
    cluster_.statuses["sydney"]["failover"]["blockers"] = {
        {{"what", "wal_level is replica"}, {"next_step", "set it"}}};
    EXPECT_EQ(line(check_promote_ready),
              "ANTIPODE PROMOTE-READY CRITICAL - sydney: wal_level is replica | 'blockers'=1;;0;0 "
              "'warnings'=0;0;;0");
    EXPECT_EQ(state_, PluginState::Critical);
}

TEST_F(MonitoringTest, IsAnObjectUnderJson) {
    cluster_.output.format = Format::Json;
    const Json said = Json::parse(line(check_lag));
    EXPECT_EQ(said["schema"], "antipode.check/1");
    EXPECT_EQ(said["state"], "OK");
    EXPECT_EQ(said["exit_code"], 0);
    EXPECT_EQ(said["performance_data"], "'sydney'=2s;60;300;0");
}

}  // namespace
}  // namespace antipode::cli
