#include "apps/antipode/sites.hpp"

#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;

/// Two sites with a server each, in memory.
struct Cluster {
    Config config;
    std::map<std::string, std::optional<EpochRecordView>> servers;
    std::string down;
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};

    Cluster() {
        config.cluster = "demo";
        config.site = "london";
        config.sites = {{"london", "nats://a:1", "http://a:2"},
                        {"sydney", "nats://b:1", "http://b:2"}};
    }
    EpochRecords records() {
        return {[this](const Config::Site& site) {
                    reach(site);
                    return servers[site.name];
                },
                [this](const Config::Site& site, const std::string& primary) {
                    reach(site);
                    auto& record = servers[site.name];
                    if (!record) {
                        record = EpochRecordView{1, primary, "serving"};
                    }
                    return *record;
                }};
    }
    void reach(const Config::Site& site) const {
        if (site.name == down) {
            throw Error(Reaction::Retry, "connection refused");
        }
    }
    ExitCode init(const std::string& primary) {
        return init_sites(config, records(), output, primary);
    }
};

TEST(Sites, InitNamesThePrimaryOnEverySite) {
    Cluster cluster;
    EXPECT_EQ(cluster.init("london"), ExitCode::Ok);
    EXPECT_EQ(cluster.out.str(),
              "SITE     ROLE       EPOCH  NATS        HTTP        STATE\n"
              "london*  primary        1  nats://a:1  http://a:2  serving\n"
              "sydney   secondary      1  nats://b:1  http://b:2  serving\n");
    EXPECT_EQ(cluster.init("london"), ExitCode::Ok) << "again changes nothing";
}

TEST(Sites, InitRefusesASecondPrimaryAndUnknownSites) {
    Cluster cluster;
    cluster.init("london");
    try {
        cluster.init("sydney");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Conflict);
        EXPECT_THAT(error.what(), HasSubstr("has a primary already: london, in epoch 1"));
    }
    EXPECT_THROW(cluster.init("paris"), CommandError);
}

TEST(Sites, InitWritesWhatIsMissingWhenItIsRepeated) {
    Cluster cluster;
    cluster.down = "sydney";
    try {
        cluster.init("london");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Unreachable);
        EXPECT_THAT(error.what(), HasSubstr("on sydney (connection refused)"));
    }
    EXPECT_TRUE(cluster.servers["london"]);
    cluster.down.clear();
    EXPECT_EQ(cluster.init("london"), ExitCode::Ok);
    EXPECT_TRUE(cluster.servers["sydney"]);
}

TEST(Sites, ListShowsTheUnknownAsUnknown) {
    Cluster cluster;
    cluster.servers["london"] = EpochRecordView{3, "sydney", "serving"};
    cluster.down = "sydney";
    EXPECT_EQ(list_sites(cluster.config, cluster.records(), cluster.output), ExitCode::Ok);
    EXPECT_EQ(cluster.out.str(),
              "SITE     ROLE       EPOCH  NATS        HTTP        STATE\n"
              "london*  secondary      3  nats://a:1  http://a:2  serving\n"
              "sydney   ?              ?  nats://b:1  http://b:2  connection refused\n");
    cluster.out.str("");
    list_sites(cluster.config, cluster.records(), {cluster.out, cluster.error, Format::Json});
    EXPECT_THAT(cluster.out.str(), HasSubstr(R"({"site":"sydney","nats":"nats://b:1",)"
                                             R"("http":"http://b:2","epoch":null)"));
}

}  // namespace
}  // namespace antipode::cli
