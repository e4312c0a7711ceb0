#include "apps/antipode/sites.hpp"

#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/memory_bucket.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;

using test::MemoryBucket;
using Server = MemoryBucket::Server;

/// Two sites with a server each.
struct Cluster {
    Config config;
    ManualClock clock;
    std::map<std::string, Server> servers;
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};
    OpenBucket open = [this](const Config::Site& site, bool) {
        return std::make_unique<MemoryBucket>(servers[site.name]);
    };

    Cluster() {
        config.cluster = "demo";
        config.site = "london";
        config.sites = {{"london", "nats://a:1", "http://a:2"},
                        {"sydney", "nats://b:1", "http://b:2"}};
    }
    ExitCode init(const std::string& primary) {
        return init_sites(config, open, clock, output, primary);
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
    cluster.servers["sydney"].down = true;
    try {
        cluster.init("london");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Unreachable);
        EXPECT_THAT(error.what(), HasSubstr("on sydney (connection refused)"));
    }
    cluster.servers["sydney"].down = false;
    cluster.clock.advance(std::chrono::hours(1));
    EXPECT_EQ(cluster.init("london"), ExitCode::Ok);
    EXPECT_EQ(cluster.servers["sydney"].entries["epoch"].value,
              cluster.servers["london"].entries["epoch"].value)
        << "one record, not two";
}

TEST(Sites, InitWritesTheFirstRecordWhereThePrimaryIs) {
    Cluster cluster;
    cluster.servers["london"].down = true;
    EXPECT_THROW(cluster.init("london"), CommandError);
    EXPECT_TRUE(cluster.servers["sydney"].entries.empty());
}

TEST(Sites, ListShowsTheUnknownAsUnknown) {
    Cluster cluster;
    cluster.init("sydney");
    cluster.servers["sydney"].down = true;
    cluster.out.str("");
    EXPECT_EQ(list_sites(cluster.config, cluster.open, cluster.output), ExitCode::Ok);
    EXPECT_EQ(cluster.out.str(),
              "SITE     ROLE       EPOCH  NATS        HTTP        STATE\n"
              "london*  secondary      1  nats://a:1  http://a:2  serving\n"
              "sydney   ?              ?  nats://b:1  http://b:2  connection refused\n");
    cluster.out.str("");
    list_sites(cluster.config, cluster.open, {cluster.out, cluster.error, Format::Json});
    EXPECT_THAT(cluster.out.str(), HasSubstr(R"({"site":"sydney","nats":"nats://b:1",)"
                                             R"("http":"http://b:2","epoch":null)"));
}

TEST(Sites, ListEndsAsUnreachableWhenNoSiteAnswers) {
    Cluster cluster;
    cluster.init("london");
    for (const char* site : {"london", "sydney"}) {
        cluster.servers[site].down = true;
    }
    cluster.out.str("");
    try {
        list_sites(cluster.config, cluster.open, cluster.output);
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Unreachable);
        EXPECT_EQ(error.next_step(), "antipode doctor");
    }
    EXPECT_THAT(cluster.out.str(), HasSubstr("sydney   ?         ?"));
    const OpenBucket none = [](const Config::Site&, bool) -> std::unique_ptr<KeyValue> {
        throw Error(Reaction::Stop, "it does not exist");
    };
    EXPECT_EQ(list_sites(cluster.config, none, cluster.output), ExitCode::Ok)
        << "they answer that nobody is primary yet";
}

}  // namespace
}  // namespace antipode::cli
