#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/antipode/rejoin.hpp"
#include "failover/epoch.hpp"
#include "tests/support/memory_bucket.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

/// An old primary whose daemon says what the test wants.
class RejoinCommand : public testing::Test {
  protected:
    RejoinCommand() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.sites = {{"london", "nats://a:1", "http://a:1"},
                         {"sydney", "nats://b:1", "http://b:1"}};
        config_.state_dir = temporary_.path();
        options_.pause = [this] { clock_.advance(std::chrono::seconds(60)); };
    }
    ExitCode code_of(const std::function<ExitCode()>& command) {
        out_.str({});
        error_.str({});
        try {
            return command();
        } catch (const CommandError& thrown) {
            error_ << thrown.what() << " Try: " << thrown.next_step();
            return thrown.code();
        }
    }
    ExitCode ask() {
        return code_of([&] { return rejoin(config_, open_, fetch_, clock_, output_, options_); });
    }
    std::optional<std::string> word(const char* key = failover::rejoin_key) {
        const auto entry = test::MemoryBucket(server_).get(key);
        return entry ? std::optional(entry->value) : std::nullopt;
    }
    static Json preliminary() {
        return {{"schema", "antipode.loss-report/1"},
                {"state", "preliminary"},
                {"operation", "promote-1"},
                {"old_primary", "london"},
                {"epoch_ended", 1},
                {"known_lost", 0},
                {"unknown_since_us", nullptr},
                {"losses", Json::array()}};
    }

    test::TemporaryDirectory temporary_;
    Config config_;
    ManualClock clock_;
    test::MemoryBucket::Server server_;
    std::string state_ = "quarantined";
    std::string next_step_;
    std::string unreadable_;
    std::ostringstream out_;
    std::ostringstream error_;
    Output output_{out_, error_};
    ChangeOptions options_;
    OpenBucket open_ = [this](const Config::Site&, bool) {
        return std::make_unique<test::MemoryBucket>(server_);
    };
    Fetch fetch_ = [this](const std::string& url, std::chrono::milliseconds) -> Answer {
        if (url.find("/v1/loss") != std::string::npos) {
            return {200, preliminary().dump()};
        }
        // It does as it is told.
        const std::string now = word() == "2" ? "following" : state_;
        return {200, Json{{"failover",
                           {{"state", now},
                            {"epoch", 2},
                            {"operation", "promote-1"},
                            {"problem", "only this site has 2 files"},
                            {"next_step", next_step_},
                            {"unreadable", unreadable_}}}}
                         .dump()};
    };
};

TEST_F(RejoinCommand, IsRefusedByASiteThatIsNotFenced) {
    state_ = "serving";
    options_.yes = true;
    EXPECT_EQ(ask(), ExitCode::Failed);
    EXPECT_THAT(error_.str(), HasSubstr("london is not fenced: it is serving"));
    EXPECT_EQ(word(), std::nullopt);
}

TEST_F(RejoinCommand, WaitsUntilEverythingIsKept) {
    state_ = "quarantining";
    options_.yes = true;
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_EQ(word(), std::nullopt) << "it may follow before what it has is kept";
}

TEST_F(RejoinCommand, ShowsWhatIsKeptAndAsksForTheSitesName) {
    EXPECT_EQ(ask(), ExitCode::Usage);
    EXPECT_THAT(error_.str(), HasSubstr("only this site has 2 files"));
    EXPECT_EQ(word(), std::nullopt);
    options_.confirmed = "sydney";
    EXPECT_EQ(ask(), ExitCode::Usage);
    options_.dry_run = true;
    EXPECT_EQ(ask(), ExitCode::Ok);
    EXPECT_EQ(word(), std::nullopt);
    options_.dry_run = false;
    options_.confirmed = "london";
    EXPECT_EQ(ask(), ExitCode::Ok) << error_.str();
    EXPECT_EQ(word(), "2");
    EXPECT_THAT(out_.str(), HasSubstr("london follows epoch 2"));
}

TEST_F(RejoinCommand, GoesOnWithoutWhatCannotBeReadOnlyWhenToldSo) {
    state_ = "quarantining";
    next_step_ = "mend it";
    options_.yes = true;
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_THAT(error_.str(), HasSubstr("Try: mend it"));
    unreadable_ = "broken";
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_EQ(word(failover::without_unreadable_key), std::nullopt);
    options_.without_unreadable = true;
    options_.dry_run = true;
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_EQ(word(failover::without_unreadable_key), std::nullopt);
    options_.dry_run = false;
    options_.yes = false;
    EXPECT_EQ(ask(), ExitCode::Usage);
    EXPECT_THAT(error_.str(), HasSubstr("only this site has 2 files. They are given up"));
    EXPECT_EQ(word(failover::without_unreadable_key), std::nullopt) << "nobody confirmed it";
    options_.yes = true;
    unreadable_.clear();
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_EQ(word(failover::without_unreadable_key), std::nullopt) << "nothing was shown";
    unreadable_ = "broken";
    EXPECT_EQ(ask(), ExitCode::TimedOut);
    EXPECT_EQ(word(failover::without_unreadable_key), "2 broken");
    EXPECT_EQ(word(), std::nullopt) << "nothing is kept yet";
}

TEST_F(RejoinCommand, NamesTheServerThatDoesNotAnswer) {
    fetch_ = [](const std::string&, std::chrono::milliseconds) -> Answer {
        return {200, R"({"failover":{"state":"quarantined","epoch":2}})"};
    };
    options_.yes = true;
    server_.down = true;
    EXPECT_EQ(ask(), ExitCode::Unreachable);
    EXPECT_THAT(error_.str(), HasSubstr("the nats-server of london does not answer"));
}

}  // namespace
}  // namespace antipode::cli
