#include "apps/antipoded/rejoin.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/http/server.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;
using testing::Not;

/// london comes back; sydney gives the loss report.
class ReturnOfLondon : public testing::Test {
  protected:
    ReturnOfLondon() {
        report_.operation = "promote-2";
        report_.old_primary = "london";
        report_.new_primary = "sydney";
        report_.epoch = 2;
        server_.route("/v1/loss", [this](const http::HttpRequest& request) {
            const auto epoch = request.query.find("epoch");
            return epoch != request.query.end() && epoch->second == "3"
                       ? http::HttpResponse{.body = report_.to_json()}
                       : http::error_response(404, "there is none of that", "antipode status");
        });
        server_.start();
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = temporary_.path();
        config_.sites = {
            {"london", "nats://127.0.0.1:1", "http://127.0.0.1:1"},
            {"sydney", "nats://127.0.0.1:1", "http://127.0.0.1:" + std::to_string(server_.port())}};
        record_.set_epoch(3);
        record_.set_primary("sydney");
        record_.set_operation_id("promote-2");
    }
    Rejoin rejoin() const { return {config_, record_, failover::Form::Neither, clock_}; }
    std::filesystem::path memory() const { return temporary_ / "rejoin.db"; }
    void expect_stops() const {
        try {
            rejoin().rewind();
            ADD_FAILURE() << "what is here would be taken for new after the next change";
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Stop);
            EXPECT_THAT(error.what(), HasSubstr(memory().string()));
            EXPECT_THAT(error.what(), HasSubstr((temporary_ / "quarantine/promote-2").string()));
        }
    }

    const test::TemporaryDirectory temporary_;
    const SystemClock clock_;
    failover::LossReport report_;
    http::HttpServer server_{{}};
    Config config_;
    v1::EpochRecord record_;
    QuarantineProgress progress_;
};

TEST_F(ReturnOfLondon, OfAnotherSitesPromotionNamesWhatWasKeptBefore) {
    report_.old_primary = "paris";
    for (const char* operation : {"promote-0", "promote-1"}) {
        std::filesystem::create_directories(temporary_ / "quarantine" / operation);
    }
    test::write_file(temporary_ / "quarantine/promote-1/manifest.json", "{}");
    try {
        rejoin().quarantine(progress_, {});
        FAIL() << "it goes on";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_THAT(error.what(), HasSubstr("did not end this site's primaryship, but paris's"));
        EXPECT_THAT(error.what(), HasSubstr((temporary_ / "quarantine/promote-1").string()));
        EXPECT_THAT(error.what(), Not(HasSubstr("promote-0"))) << "it is half made";
    }
    EXPECT_TRUE(std::filesystem::exists(temporary_ / "quarantine/promote-1/manifest.json"));
}

TEST_F(ReturnOfLondon, KeepsAnewWhatItDoesNotRememberAndOverwritesNothing) {
    rejoin().quarantine(progress_, {});
    EXPECT_TRUE(rejoin().is_kept({}));
    std::filesystem::remove(memory());
    EXPECT_FALSE(rejoin().is_kept({}));
    expect_stops();
    rejoin().quarantine(progress_, {});
    EXPECT_TRUE(rejoin().is_kept({}));
    test::write_file(memory(), std::string(8192, 'x'));
    EXPECT_FALSE(rejoin().is_kept({}));
    expect_stops();
    rejoin().quarantine(progress_, {});
    EXPECT_TRUE(rejoin().is_kept({}));
    rejoin().rewind();
    rejoin().rewind();
}

TEST_F(ReturnOfLondon, IsOfThePromotionWhateverWasAskedForAndGivenUpSince) {
    for (const char* asked : {"", "switchover-9"}) {
        record_.set_operation_id(asked);
        rejoin().quarantine(progress_, {});
        EXPECT_TRUE(std::filesystem::exists(temporary_ / "quarantine/promote-2/manifest.json"));
        rejoin().rewind();
        EXPECT_THAT(LossReports::read(config_, "promote-2").value(), HasSubstr("rejoined_at_us"));
    }
}

TEST_F(ReturnOfLondon, KeepsNothingWhereAReportSaysSo) {
    report_.operation = "../elsewhere";
    EXPECT_THROW(rejoin().quarantine(progress_, {}), Error);
    EXPECT_FALSE(std::filesystem::exists(temporary_ / "elsewhere"));
}

TEST_F(ReturnOfLondon, RemembersNothingOfAnEarlierOne) {
    rejoin().quarantine(progress_, {});
    record_.set_epoch(5);
    EXPECT_FALSE(rejoin().is_kept({}));
}

}  // namespace
}  // namespace antipode
