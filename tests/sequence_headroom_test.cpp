// A promotion that is resumed passes over numbers of sequences once, on a real server.
#include "apps/antipoded/sequence_headroom.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/antipoded/loss_reports.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

class PromotionHeadroom : public testing::Test {
  protected:
    PromotionHeadroom() {
        server_.start();
        config_.cluster = "demo";
        config_.site = "sydney";
        config_.state_dir = directory_.path();
        Config::Database& store = config_.databases.emplace_back();
        store.name = "app";
        store.url = server_.url();
        server_.psql("CREATE SEQUENCE s; SELECT nextval('s'); CREATE SEQUENCE c MAXVALUE 9");
        LossReports::write(config_, "promote-1", R"({"schema":"antipode.loss-report/1"})");
    }
    std::string last() { return server_.psql("SELECT last_value FROM s"); }
    nlohmann::json report() {
        return nlohmann::json::parse(LossReports::read(config_, "promote-1").value_or("{}"));
    }

    const TemporaryDirectory directory_;
    PostgresServer server_{directory_ / "postgres"};
    Config config_;
};

TEST_F(PromotionHeadroom, IsMadeOnceHoweverOftenTheStepIsRun) {
    make_sequence_headroom(config_, "promote-1");
    EXPECT_EQ(last(), "1001");
    make_sequence_headroom(config_, "promote-1");
    EXPECT_EQ(last(), "1001");
    // It was written down, and nothing had moved yet.
    server_.psql("SELECT setval('s', 1)");
    make_sequence_headroom(config_, "promote-1");
    EXPECT_EQ(last(), "1001");
    make_sequence_headroom(config_, "promote-2");
    EXPECT_EQ(last(), "2001") << "the next promotion";
}

TEST_F(PromotionHeadroom, StandsInTheLossReport) {
    make_sequence_headroom(config_, "promote-1");
    const nlohmann::json rows = {{{"store", "database/app"},
                                  {"headroom", 1000},
                                  {"moved", 1},
                                  {"left", {{{"sequence", "public.c"}, {"why", "it ends before"}}}},
                                  {"left_count", 1}}};
    EXPECT_EQ(report()["sequences"], rows);
    EXPECT_EQ(report()["schema"], "antipode.loss-report/1") << "the rest is as it was";
}

TEST_F(PromotionHeadroom, IsNotMadeWhereItIsSwitchedOff) {
    config_.databases.front().sequence_headroom = 0;
    make_sequence_headroom(config_, "promote-1");
    EXPECT_EQ(last(), "1");
    EXPECT_TRUE(report()["sequences"].empty());
}

}  // namespace
}  // namespace antipode::test
