#include "base/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;

const std::string good = R"(
cluster = "demo"
site = "london"
state_dir = "/var/lib/antipode"

[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://127.0.0.1:8840"

[[blobs]]
name = "uploads"
root = "/srv/uploads"
exclude = ["*.tmp"]

[tuning]
max_hold = "90s"
)";

std::string error_of(const std::string& text) {
    try {
        Config::parse(text, "antipode.toml");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

std::string with(const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
}

TEST(Config, ReadsStoresAndDefaults) {
    const Config config = Config::parse(good, "antipode.toml");
    EXPECT_EQ(config.stores(), (std::vector<StoreId>{{StoreKind::Blobs, "uploads"}}));
    EXPECT_EQ(config.nats.url, "nats://127.0.0.1:4222");
    EXPECT_EQ(config.tuning.max_hold, std::chrono::seconds(90));
    EXPECT_EQ(config.tuning.consistency, "causal");
}

TEST(Config, NamesUnknownKeysWithTheirPlaceAndTheNearestKnownOne) {
    const std::string error = error_of(with("max_hold", "max_holt"));
    EXPECT_THAT(error, HasSubstr("antipode.toml:17:"));
    EXPECT_THAT(error, HasSubstr("did you mean \"max_hold\"?"));
}

TEST(Config, RefusesWhatCannotWork) {
    EXPECT_THAT(error_of(with("\"90s\"", "90")), HasSubstr("tuning.max_hold must be a duration"));
    EXPECT_THAT(error_of(with("site = \"london\"", "site = \"paris\"")),
                HasSubstr("sites has no entry for this site, \"paris\""));
    EXPECT_THAT(error_of(with("\"/srv/uploads\"", "\"srv\"")), HasSubstr("an absolute path"));
    EXPECT_THAT(error_of(with("\"uploads\"", "\"Up loads\"")), HasSubstr("blobs.name must be"));
    EXPECT_THAT(error_of(with("cluster = \"demo\"", "")), HasSubstr("cluster is missing"));
    EXPECT_THAT(error_of("cluster = "), HasSubstr("antipode.toml:1:"));
    EXPECT_THAT(error_of(good + "\n[[database]]\nname = \"app\"\nurl = \"x\"\nddl = \"skip\"\n"),
                HasSubstr("ddl must be one of \"apply\", \"halt\""));
}

}  // namespace
}  // namespace antipode
