// An operator gives up, watches and goes on with a change of the primary, from either site.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Operation : public testing::Test {
  protected:
    Operation()
        : pair_("before_open_command = [\"/usr/bin/test\", \"!\", \"-e\", \"" +
                obstacle().string() + "\"]\n"),
          writer_(pair_) {}

    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        ASSERT_EQ(pair_.sydney.antipode({"database", "setup"}).status, 0);
        ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    }

    /// While it is there no site is opened.
    std::filesystem::path obstacle() const { return outside_ / "obstacle"; }

    std::unique_ptr<Process> begin_switchover() {
        Process::Options options;
        options.log = outside_ / "switchover.log";
        return std::make_unique<Process>(
            std::vector<std::string>{ANTIPODE, "--config",
                                     (pair_.london.directory / "antipode.toml").string(),
                                     "switchover", "--to", "sydney", "--yes"},
            options);
    }
    bool stands(const Site& site, const std::string& state) {
        return eventually([&] { return site.status(".failover.state") == state; });
    }
    bool can_connect(const Site& site) {
        return run({PostgresServer::program("psql"), "-Xc", "SELECT 1",
                    site.postgres.url("app", "app")})
                   .status == 0;
    }
    void expect_everything_put_back() {
        EXPECT_EQ(pair_.open_site(), &pair_.london);
        EXPECT_TRUE(can_connect(pair_.london));
        ASSERT_TRUE(writer_.write()) << writer_.problem() << pair_.describe();
        EXPECT_EQ(pair_.london.status(".epoch"), "1");
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        EXPECT_EQ(writer_.missing(pair_.sydney), -1);
        pair_.expect_equal();
    }

    TemporaryDirectory outside_;
    Pair pair_;
    Writer writer_;
};

TEST_F(Operation, IsGivenUpFromTheOtherSiteWithEverythingPutBack) {
    const CommandResult none = pair_.sydney.antipode({"op", "abort"});
    EXPECT_EQ(none.status, 1) << none.output;
    EXPECT_THAT(none.error, HasSubstr("no change of the primary runs"));
    pair_.sydney.postgres.freeze();  // so that the handoff is not reached
    auto command = begin_switchover();
    ASSERT_TRUE(stands(pair_.london, "handed-off")) << pair_.describe();
    EXPECT_FALSE(can_connect(pair_.london)) << "there is no fence to take off";
    const CommandResult waited = pair_.sydney.antipode({"op", "wait", "--timeout", "0.1"});
    EXPECT_EQ(waited.status, 8) << waited.error;
    EXPECT_THAT(waited.error, HasSubstr("is not done yet"));

    const CommandResult given_up = pair_.sydney.antipode({"op", "abort", "-o", "json"});
    pair_.sydney.postgres.thaw();
    ASSERT_EQ(given_up.status, 0) << given_up.error << pair_.describe();
    EXPECT_EQ(value_of(given_up.output, ".schema"), "antipode.operation-abort/1");
    EXPECT_EQ(value_of(given_up.output, ".primary"), "london");
    EXPECT_LT(std::stod(value_of(given_up.output, ".seconds")), 15);
    EXPECT_EQ(command->wait(30s), 1) << "who asked for it is not told";
    EXPECT_THAT(read_file(outside_ / "switchover.log"),
                HasSubstr("given up: the operator has given it up; london serves on as before"));
    expect_everything_put_back();
    EXPECT_THAT(read_file(journal_of(pair_.london)), HasSubstr("\"event\":\"aborted\""));

    const std::string operation = value_of(given_up.output, ".operation");
    const CommandResult shown = pair_.london.antipode({"op", "show", operation, "-o", "json"});
    EXPECT_EQ(value_of(shown.output, ".outcome"), "given-up");
    EXPECT_EQ(value_of(shown.output, ".reason"), "the operator has given it up");
    const CommandResult over = pair_.london.antipode({"op", "wait", operation});
    EXPECT_EQ(over.status, 1) << over.error;
    EXPECT_THAT(over.error, HasSubstr("antipode preflight --to sydney"));
    EXPECT_EQ(pair_.london.antipode({"op", "abort", operation}).status, 1);
    // It can be tried again.
    ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    const CommandResult again = pair_.switch_to(pair_.sydney);
    ASSERT_EQ(again.status, 0) << again.error << pair_.describe();
    ASSERT_TRUE(writer_.write()) << writer_.problem();
}

TEST_F(Operation, IsGivenUpAlsoWhenTheDaemonIsKilledMeanwhile) {
    // Before it has heard the word, and while it takes the fences off.
    for (const char* const state : {"handed-off", "rolling-back"}) {
        SCOPED_TRACE(state);
        ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
        pair_.sydney.postgres.freeze();
        auto command = begin_switchover();
        ASSERT_TRUE(stands(pair_.london, "handed-off")) << pair_.describe();
        const bool while_rolling_back = std::string(state) == "rolling-back";
        const size_t before = read_file(journal_of(pair_.london)).size();
        if (while_rolling_back) {
            pair_.london.postgres.freeze();  // it stays there
        } else {
            pair_.london.kill();
        }
        Process abort({ANTIPODE, "--config", (pair_.sydney.directory / "antipode.toml").string(),
                       "op", "abort"},
                      {});
        const std::string step = "\"state\":\"rolling-back\"";
        if (while_rolling_back) {
            ASSERT_TRUE(eventually([&] {
                return read_file(journal_of(pair_.london)).find(step, before) != std::string::npos;
            })) << pair_.describe();
            pair_.london.kill();
            abort.kill();
            pair_.london.postgres.thaw();
        } else {
            ASSERT_TRUE(eventually([&] {
                return pair_.london.antipode({"sites", "list", "-o", "json"})
                           .output.find("\"aborting\"") != std::string::npos;
            }));
        }
        EXPECT_EQ(pair_.open_site(), nullptr) << "it was over before the daemon was killed";
        pair_.sydney.postgres.thaw();
        pair_.london.start();
        if (!while_rolling_back) {
            EXPECT_EQ(abort.wait(60s), 0) << pair_.describe();
        }
        ASSERT_TRUE(eventually([&] { return pair_.has_roles(pair_.london); }, 60s))
            << pair_.describe();
        EXPECT_EQ(command->wait(30s), 1);
        expect_everything_put_back();
    }
}

TEST_F(Operation, IsNotGivenUpBehindThePointOfNoReturnAndGoesOnOnceItsStepIsMended) {
    write_file(obstacle(), "");
    auto command = begin_switchover();
    ASSERT_TRUE(stands(pair_.sydney, "preparing")) << pair_.describe();
    command->kill();
    ASSERT_TRUE(eventually([&] {
        return pair_.sydney.status(".failover.problem")
                   .value_or("")
                   .find("before_open_command failed") != std::string::npos;
    })) << pair_.describe();
    for (const Site* site : {&pair_.london, &pair_.sydney}) {
        const CommandResult late = site->antipode({"op", "abort"});
        EXPECT_EQ(late.status, 4) << late.error;
        EXPECT_THAT(late.error, HasSubstr("has passed the point of no return: sydney becomes"));
        EXPECT_THAT(late.error, HasSubstr("Try: antipode op wait switchover-"));
    }
    const CommandResult waited = pair_.london.antipode({"op", "wait", "--timeout", "0.5"});
    EXPECT_EQ(waited.status, 8) << waited.error;
    EXPECT_THAT(waited.error, HasSubstr("sydney: failover.before_open_command failed"));
    EXPECT_THAT(waited.error, HasSubstr("then antipode op resume switchover-"));
    // The old primary's daemon dies, too.
    pair_.london.kill();
    const CommandResult away = pair_.sydney.antipode({"op", "resume", "--timeout", "1"});
    EXPECT_EQ(away.status, 5) << away.error;
    EXPECT_THAT(away.error, HasSubstr("the antipoded of london does not answer"));
    pair_.london.start();
    std::filesystem::remove(obstacle());
    const CommandResult done = pair_.london.antipode({"op", "resume", "-o", "json"});
    ASSERT_EQ(done.status, 0) << done.error << pair_.describe();
    EXPECT_EQ(value_of(done.output, ".outcome"), "done");
    EXPECT_EQ(value_of(done.output, ".primary"), "sydney");
    EXPECT_TRUE(pair_.has_roles(pair_.sydney)) << pair_.describe();
    EXPECT_EQ(pair_.sydney.antipode({"op", "wait"}).status, 0) << "it is over already";
    ASSERT_TRUE(writer_.write()) << writer_.problem() << pair_.describe();
    ASSERT_TRUE(pair_.caught_up(pair_.london)) << pair_.describe();
    EXPECT_EQ(writer_.missing(pair_.london), -1);
    pair_.expect_equal();
}

TEST_F(Operation, LetsTheServiceInOnceEveryStoreHasTakenAWrite) {
    // In the way of the file that is written.
    const auto canary = pair_.sydney.files_root / ".antipode/canary";
    std::filesystem::create_directories(canary / "in-the-way");
    auto command = begin_switchover();
    ASSERT_TRUE(eventually([&] {
        return pair_.sydney.status(".failover.problem").value_or("").find("blobs/") == 0;
    })) << pair_.describe();
    EXPECT_EQ(pair_.sydney.status(".failover.state"), "opening");
    EXPECT_THAT(*pair_.sydney.status(".failover.problem"), HasSubstr("takes no writes"));
    EXPECT_EQ(pair_.open_site(), nullptr) << "the service was let in";
    std::filesystem::remove_all(canary);
    ASSERT_EQ(pair_.sydney.antipode({"op", "resume"}).status, 0) << pair_.describe();
    EXPECT_EQ(command->wait(30s), 0) << read_file(outside_ / "switchover.log");
    EXPECT_THAT(read_file(journal_of(pair_.sydney)),
                HasSubstr("database/app, repositories/git, blobs/uploads took a write"));
    EXPECT_EQ(pair_.sydney.sql("SELECT word FROM antipode.canary"),
              *pair_.sydney.status(".failover.operation"));
    EXPECT_FALSE(std::filesystem::exists(canary));
    ASSERT_TRUE(writer_.write()) << writer_.problem();
    ASSERT_TRUE(pair_.caught_up(pair_.london)) << pair_.describe();
    EXPECT_EQ(pair_.london.sql("SELECT to_regclass('antipode.canary')"), "") << "it is replicated";
    pair_.expect_equal();
}

}  // namespace
}  // namespace antipode::test
