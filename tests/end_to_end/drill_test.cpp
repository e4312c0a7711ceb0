// A secondary rehearses its promotion, and nothing is promoted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Drill : public testing::Test {
  protected:
    Drill()
        : pair_("before_open_command = [\"/bin/sh\", \"-c\", \"echo $ANTIPODE_REHEARSAL > " +
                told().string() + "; test ! -e " + hangs().string() +
                " || test -z $ANTIPODE_REHEARSAL || exec tail -f /dev/null\"]\n" +
                "command_timeout = \"1h\"\n"),
          writer_(pair_) {}

    void SetUp() override {
        ASSERT_TRUE(writer_.write());
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        ASSERT_EQ(pair_.sydney.antipode({"database", "setup"}).status, 0);
        ASSERT_TRUE(pair_.ready(pair_.sydney)) << pair_.describe();
    }
    /// What before_open_command was told.
    std::filesystem::path told() const { return outside_ / "told"; }
    /// While this is there, it never ends in a rehearsal.
    std::filesystem::path hangs() const { return outside_ / "hangs"; }
    CommandResult drill(std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"drill", "-o", "json"});
        return pair_.sydney.antipode(more);
    }

    TemporaryDirectory outside_;
    Pair pair_;
    Writer writer_;
};

TEST_F(Drill, MeasuresUnderLoadAndChangesNothingOnEitherSite) {
    const std::string journals =
        read_file(journal_of(pair_.london)) + read_file(journal_of(pair_.sydney));
    writer_.start();
    ASSERT_TRUE(writer_.go_on(3)) << writer_.problem();
    const CommandResult done = drill();
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_.describe();
    EXPECT_EQ(value_of(done.output, ".schema"), "antipode.drill/1");
    EXPECT_EQ(value_of(done.output, ".outcome"), "ready") << done.output;
    EXPECT_EQ(value_of(done.output, "[.steps[] | select(.problem != \"\")] | length"), "0")
        << done.output;
    EXPECT_EQ(value_of(done.output, "[.steps[].step] | join(\" \")"),
              "look apply loss record before_open_command slot database/app hooks inventory canary "
              "after_open_command");
    EXPECT_EQ(value_of(done.output, "[.steps[] | select(.seconds == null) | .step] | join(\" \")"),
              "before_open_command after_open_command")
        << "it claims to have measured what it has not";
    EXPECT_THAT(value_of(done.output, ".not_measured | join(\", \")"),
                HasSubstr("before_open_command"));
    // Under load, what had been announced when it looked, and had not come yet, would be lost.
    EXPECT_EQ(value_of(done.output, "[.losses[] | select(.kind == \"announced\")] | length"),
              value_of(done.output, ".known_lost"))
        << done.output;
    EXPECT_EQ(
        value_of(done.output, ".began_at_us as $began | .losses | all(.captured_at_us > $began)"),
        "true")
        << done.output;
    EXPECT_LT(std::stod(value_of(done.output, ".unknown_seconds")), 20);
    const double rehearsed = std::stod(value_of(done.output, ".open_seconds"));
    EXPECT_GT(rehearsed, 2) << "the time in which nothing may move is not in it";
    // Neither site was changed.
    ASSERT_TRUE(writer_.go_on(2)) << writer_.problem();
    writer_.stop();
    EXPECT_TRUE(pair_.has_roles(pair_.london)) << pair_.describe();
    EXPECT_EQ(pair_.open_site(), &pair_.london);
    EXPECT_FALSE(std::filesystem::exists(told())) << "a command was run";
    EXPECT_EQ(read_file(journal_of(pair_.london)) + read_file(journal_of(pair_.sydney)), journals);
    EXPECT_EQ(pair_.sydney.sql("SELECT count(*) FROM pg_replication_slots"), "0");
    EXPECT_EQ(pair_.sydney.sql("SELECT count(*) FROM pg_publication"), "0");
    EXPECT_EQ(pair_.london.sql("SELECT to_regclass('antipode.canary')"), "");
    EXPECT_FALSE(std::filesystem::exists(pair_.sydney.directory / "state/drill.db"));
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
    pair_.expect_equal();
    // It is remembered.
    const std::string name = value_of(done.output, ".drill");
    EXPECT_THAT(pair_.sydney.antipode({"status"}).output, HasSubstr("ago: would be open after"));
    const std::string history = pair_.london.antipode({"history"}).output;
    EXPECT_THAT(history, HasSubstr(name));
    EXPECT_THAT(history, HasSubstr("sydney would be open after"));
    // At rest it is nothing.
    EXPECT_THAT(pair_.sydney.antipode({"drill"}).output,
                HasSubstr("LOST IF london HAD DIED THEN  known: 0; unknown: what it wrote after"));
    const CommandResult primary = pair_.sydney.antipode({"drill", "london"});
    EXPECT_EQ(primary.status, 2) << primary.error;

    // And what it would have been.
    pair_.london.kill();
    pair_.london.nats.kill();
    pair_.london.postgres.kill();
    std::filesystem::remove(Pair::opened(pair_.london));
    ASSERT_EQ(drill().status, 0) << "it needs the primary";
    const CommandResult promoted = pair_.sydney.antipode(
        {"promote", "sydney", "--confirm", "sydney", "-o", "json", "--fenced-by", "by hand"});
    ASSERT_EQ(promoted.status, 0) << promoted.error << pair_.describe();
    const double real = std::stod(value_of(promoted.output, ".seconds"));
    std::cout << "rehearsed: open after " << rehearsed << " s; promoted: after " << real << " s\n";
    EXPECT_LT(std::abs(real - rehearsed), 15);
}

TEST_F(Drill, RunsTheSitesCommandsOnlyWhenToldTwice) {
    const CommandResult unsure = drill({"--with-commands"});
    EXPECT_EQ(unsure.status, 2) << unsure.output;
    EXPECT_FALSE(std::filesystem::exists(told()));
    const CommandResult done = drill({"--with-commands", "--confirm", "sydney"});
    ASSERT_EQ(done.status, 0) << done.error << done.output;
    EXPECT_EQ(read_file(told()), "1\n");
    // This one does not heed it.
    EXPECT_TRUE(std::filesystem::exists(Pair::opened(pair_.sydney)));
    std::filesystem::remove(Pair::opened(pair_.sydney));
    EXPECT_EQ(value_of(done.output, "[.steps[] | select(.seconds == null)] | length"), "0");
    EXPECT_TRUE(pair_.has_roles(pair_.london)) << pair_.describe();
}

TEST_F(Drill, NamesTheStepThatCannotWork) {
    const auto canary = pair_.sydney.files_root / ".antipode/canary";
    std::filesystem::create_directories(canary / "in-the-way");
    const CommandResult failed = drill();
    EXPECT_EQ(failed.status, 1) << failed.output;
    EXPECT_THAT(failed.error, HasSubstr("canary: blobs/"));
    EXPECT_EQ(value_of(failed.output, ".outcome"), "failed");
    EXPECT_EQ(value_of(failed.output, ".open_seconds"), "null") << "of a promotion that fails";
    EXPECT_THAT(pair_.sydney.antipode({"history"}).output, HasSubstr("failed: canary: blobs/"));
    EXPECT_TRUE(pair_.has_roles(pair_.london)) << pair_.describe();
}

TEST_F(Drill, ARealPromotionDoesNotWaitForItsCommand) {
    write_file(hangs(), "");
    Process command({ANTIPODE, "--config", (pair_.sydney.directory / "antipode.toml").string(),
                     "drill", "--with-commands", "--confirm", "sydney", "--timeout", "300"},
                    {});
    ASSERT_TRUE(eventually([&] {
        return std::filesystem::exists(told()) && read_file(told()) == "1\n";
    })) << pair_.describe();
    pair_.london.kill();
    pair_.london.nats.kill();
    pair_.london.postgres.kill();
    const CommandResult promoted = pair_.sydney.antipode(
        {"promote", "sydney", "--confirm", "sydney", "--fenced-by", "by hand"});
    ASSERT_EQ(promoted.status, 0) << promoted.error << pair_.describe();
    EXPECT_EQ(read_file(told()), "\n") << "it runs the command itself";
    EXPECT_EQ(command.wait(60s), 1);
}

TEST_F(Drill, IsSaidToBeStoppedWhenTheDaemonIsKilledMeanwhile) {
    pair_.sydney.postgres.freeze();  // it stays in its first step
    Process command({ANTIPODE, "--config", (pair_.sydney.directory / "antipode.toml").string(),
                     "drill", "--timeout", "60"},
                    {});
    const bool begun =
        eventually([&] { return pair_.sydney.status(".drill.outcome").value_or("") == "runs"; });
    pair_.sydney.kill();
    pair_.sydney.postgres.thaw();
    ASSERT_TRUE(begun) << pair_.describe();
    pair_.sydney.start();
    EXPECT_EQ(command.wait(60s), 1);
    EXPECT_EQ(pair_.sydney.status(".drill.outcome"), "stopped");
    // At first it has not looked yet whether it is ready.
    CommandResult again;
    EXPECT_TRUE(eventually([&] {
        again = drill();
        return again.status == 0;
    })) << again.error
        << again.output;
    ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
    pair_.expect_equal();
}

}  // namespace
}  // namespace antipode::test
