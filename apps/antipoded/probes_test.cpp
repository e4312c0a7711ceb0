#include "apps/antipoded/probes.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace antipode {
namespace {

using nlohmann::json;

json status_of(const std::string& role, const std::string& state, const json& recovery_point) {
    return {{"role", role},
            {"failover", {{"state", state}}},
            {"now_us", 100'000'000},
            {"recovery_point_us", recovery_point},
            {"workers", {{{"name", "relay"}, {"healthy", true}, {"problem", ""}}}}};
}

TEST(Probes, APrimaryIsOneThatServes) {
    EXPECT_EQ(primary_probe(status_of("primary", "serving", nullptr)).status, 200U);
    EXPECT_EQ(primary_probe(status_of("primary", "fencing", nullptr)).status, 503U);
    EXPECT_EQ(primary_probe(status_of("secondary", "following", 1)).status, 503U);
    EXPECT_EQ(primary_probe(status_of("fenced", "fenced", nullptr)).body,
              "not the serving primary: fenced\n");
}

TEST(Probes, ASecondaryIsOneThatIsNotTooFarBehind) {
    const json status = status_of("secondary", "following", 58'000'000);
    EXPECT_EQ(secondary_probe(status, {}).status, 200U);
    EXPECT_EQ(secondary_probe(status, {{"lag", "42s"}}).status, 200U);
    EXPECT_EQ(secondary_probe(status, {{"lag", "41s"}}).status, 503U);
    EXPECT_EQ(secondary_probe(status, {{"lag", "41s"}}).body, "42 s behind\n");
    EXPECT_EQ(secondary_probe(status, {{"lag", "soon"}}).status, 400U);
    EXPECT_EQ(secondary_probe(status_of("secondary", "following", nullptr), {}).status, 503U);
    EXPECT_EQ(secondary_probe(status_of("primary", "serving", nullptr), {}).status, 503U);
}

TEST(Probes, ReadyIsAKnownRoleWithHealthyWorkers) {
    json status = status_of("secondary", "following", 1);
    EXPECT_EQ(ready_probe(status).status, 200U);
    status["workers"][0]["healthy"] = false;
    status["workers"][0]["problem"] = "no route";
    EXPECT_EQ(ready_probe(status).status, 503U);
    EXPECT_EQ(ready_probe(status).body, "not ready\nrelay: no route\n");
    EXPECT_EQ(ready_probe(status_of("unassigned", "", nullptr)).status, 503U);
}

}  // namespace
}  // namespace antipode
