#include "apps/antipoded/cut.hpp"

#include <gtest/gtest.h>

#include "adapters/http/server.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "apps/antipoded/old_streams.hpp"
#include "failover/loss.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

const StoreId uploads{StoreKind::Blobs, "uploads"};

class Cut : public testing::Test {
  protected:
    Cut() {
        config_.state_dir = temporary_.path();
        config_.blobs.emplace_back().name = "uploads";
        record_.set_epoch(2);
        const std::vector<primary::Inventory::Record> records = {
            {uploads, "a", {"state", {"blob-1", "x"}}, {}}};
        inventory_.record(records);
    }
    size_t files() const {
        return static_cast<size_t>(
            std::distance(std::filesystem::directory_iterator(temporary_.path()), {}));
    }

    test::TemporaryDirectory temporary_;
    Config config_;
    v1::EpochRecord record_;
    primary::Inventory inventory_{{}};
};

TEST_F(Cut, IsThereUntilItIsDroppedForItsEpoch) {
    keep_cut(config_, record_, inventory_);
    const auto kept = kept_cut(config_, 2);
    ASSERT_NE(kept, nullptr);
    drop_cut(config_, 3);
    EXPECT_GT(files(), 0U);
    drop_cut(config_, 2);
    EXPECT_EQ(files(), 0U) << "with what SQLite keeps beside it";
    EXPECT_TRUE(kept->find(uploads, "a")) << "who has it open goes on reading";
    EXPECT_EQ(kept_cut(config_, 2), nullptr);
    EXPECT_EQ(files(), 0U);
}

/// A third site that was ahead, and is away, compares with it, too.
TEST_F(Cut, OutlivesTheReturnOfTheOldPrimary) {
    failover::LossReport preliminary;
    preliminary.operation = "promote-1";
    preliminary.old_primary = "london";
    preliminary.new_primary = "sydney";
    preliminary.epoch = 1;
    failover::FinalLoss found;
    found.site = "london";
    const std::string final = failover::rejoined_report(
        failover::complete_report(preliminary.to_json(), found), SystemClock().now());
    http::HttpServer london{{}};
    london.route("/v1/loss",
                 [&](const http::HttpRequest&) { return http::HttpResponse{.body = final}; });
    london.start();
    config_.site = "sydney";
    config_.sites = {
        {"london", "nats://127.0.0.1:1", "http://127.0.0.1:" + std::to_string(london.port())},
        {"sydney", "nats://127.0.0.1:1", "http://127.0.0.1:1"},
        {"tokyo", "nats://127.0.0.1:1", "http://127.0.0.1:1"}};
    keep_cut(config_, record_, inventory_);
    LossReports::write(config_, "promote-1", preliminary.to_json());
    LossReports losses(config_);
    losses.complete();
    losses.complete();
    ASSERT_EQ(LossReports::read(config_, "promote-1"), final);
    EXPECT_NE(kept_cut(config_, 2), nullptr);

    std::vector<v1::SiteReport> reports(3);
    for (size_t i = 0; i < reports.size(); ++i) {
        reports[i].set_site(config_.sites[i].name);
        reports[i].set_epoch(2);
        reports[i].set_role(reports[i].site() == "sydney" ? "primary" : "secondary");
    }
    EXPECT_TRUE(all_are_in(config_, 2, reports));
    reports[2].set_role("fenced");
    EXPECT_FALSE(all_are_in(config_, 2, reports));
    reports[2].set_role("secondary");
    reports[2].set_epoch(1);
    EXPECT_FALSE(all_are_in(config_, 2, reports));
    reports.pop_back();
    EXPECT_FALSE(all_are_in(config_, 2, reports));
    config_.sites.pop_back();
    EXPECT_TRUE(all_are_in(config_, 2, reports)) << "it was removed from the configuration";
}

TEST_F(Cut, OfAnotherEpochIsDeleted) {
    keep_cut(config_, record_, inventory_);
    EXPECT_EQ(kept_cut(config_, 3), nullptr);
    EXPECT_EQ(files(), 0U);
}

TEST_F(Cut, ThatIsDamagedStopsNeitherThePrimaryNorItsNextPromotion) {
    const auto file = temporary_ / "cut.db";
    keep_cut(config_, record_, inventory_);
    test::write_file(file, std::string(8192, 'x'));
    EXPECT_EQ(kept_cut(config_, 2), nullptr);
    drop_cut(config_, 2);
    EXPECT_TRUE(std::filesystem::exists(file)) << "the disk may be full, not the file damaged";
    record_.set_epoch(4);
    keep_cut(config_, record_, inventory_);
    EXPECT_NE(kept_cut(config_, 4), nullptr);
}

}  // namespace
}  // namespace antipode
