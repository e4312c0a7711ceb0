#include "apps/antipoded/rejoin.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/http/server.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Rejoin, OfAnotherSitesPromotionNamesWhatWasKeptBefore) {
    const test::TemporaryDirectory temporary;
    http::HttpServer server({});
    server.route("/v1/loss", [](const http::HttpRequest&) {
        return http::HttpResponse{.body = R"({"old_primary":"paris","epoch_ended":2})"};
    });
    server.start();
    Config config;
    config.cluster = "demo";
    config.site = "london";
    config.state_dir = temporary.path();
    config.sites = {
        {"london", "nats://127.0.0.1:1", "http://127.0.0.1:1"},
        {"sydney", "nats://127.0.0.1:1", "http://127.0.0.1:" + std::to_string(server.port())}};
    v1::EpochRecord record;
    record.set_epoch(3);
    record.set_primary("sydney");
    record.set_operation_id("promote-2");
    for (const char* operation : {"promote-0", "promote-1"}) {
        std::filesystem::create_directories(temporary / "quarantine" / operation);
    }
    test::write_file(temporary / "quarantine/promote-1/manifest.json", "{}");
    const SystemClock clock;
    QuarantineProgress progress;
    try {
        Rejoin(config, record, clock).quarantine(progress, {});
        FAIL() << "it goes on";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_THAT(error.what(), HasSubstr("did not end this site's primaryship, but paris's"));
        EXPECT_THAT(error.what(), HasSubstr((temporary / "quarantine/promote-1").string()));
        EXPECT_THAT(error.what(), Not(HasSubstr("promote-0"))) << "it is half made";
    }
    EXPECT_TRUE(std::filesystem::exists(temporary / "quarantine/promote-1/manifest.json"));
}

}  // namespace
}  // namespace antipode
