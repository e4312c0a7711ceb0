// Pausing a secondary, and waiting for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

constexpr int unknown = 6;
constexpr int usage = 2;
constexpr int blocked = 4;
constexpr int unreachable = 5;
constexpr int timed_out = 8;

class PauseCommand : public testing::Test {
  protected:
    void write() {
        ++written_;
        sites_.london.sql("INSERT INTO journal VALUES ('" + std::to_string(written_) + "')");
        write_file(sites_.london.files_root / std::to_string(written_), "content");
    }
    bool has_rows() const {
        return sites_.sydney.sql("SELECT count(*) FROM journal") == std::to_string(written_);
    }
    bool has_files() const {
        return std::filesystem::exists(sites_.sydney.files_root / std::to_string(written_));
    }
    CommandResult wait(std::vector<std::string> options) const {
        options.insert(options.begin(), "wait");
        return sites_.london.antipode(options);
    }
    std::string state_of(const std::string& store) const {
        return sites_.sydney.status(".stores[] | select(.store == \"" + store + "\") | .state")
            .value_or("?");
    }

    TwoSites sites_;
    int written_ = 0;
};

TEST_F(PauseCommand, NothingIsAppliedUntilItIsResumedAndNothingIsLost) {
    write();
    CommandResult result = wait({"--site", "sydney", "--timeout", "60"});
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("sydney has it, after "));
    EXPECT_TRUE(has_rows());
    EXPECT_TRUE(has_files());

    result = sites_.london.antipode(
        {"pause", "--site", "sydney", "--for", "2h", "--reason", "a new disk"});
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("sydney blobs/uploads: paused until "));
    write();
    const std::string lsn = sites_.london.sql("SELECT pg_current_wal_insert_lsn()");
    for (const std::vector<std::string>& goal :
         {std::vector<std::string>{}, std::vector<std::string>{lsn}}) {
        std::vector<std::string> options = {"--site", "sydney", "--timeout", "2"};
        options.insert(options.end(), goal.begin(), goal.end());
        result = wait(options);
        EXPECT_EQ(result.status, timed_out) << result.output << result.error;
        EXPECT_THAT(result.error, HasSubstr("sydney does not have it yet: "));
    }
    EXPECT_FALSE(has_rows());
    EXPECT_FALSE(has_files());
    EXPECT_EQ(state_of("blobs/uploads"), "paused");
    EXPECT_THAT(sites_.sydney.antipode({"status"}).output, HasSubstr(": a new disk"));
    result = sites_.london.antipode({"preflight", "--to", "sydney"});
    EXPECT_EQ(result.status, blocked);
    EXPECT_THAT(result.output, HasSubstr("a new disk"));

    // Over a restart, and store by store.
    sites_.sydney.kill();
    sites_.sydney.start();
    EXPECT_EQ(state_of("database/app"), "paused");
    EXPECT_EQ(sites_.sydney.antipode({"resume", "blobs/uploads"}).status, 0);
    EXPECT_TRUE(eventually([&] { return has_files(); })) << sites_.describe();
    EXPECT_FALSE(has_rows());
    EXPECT_EQ(sites_.sydney.antipode({"resume"}).status, 0);
    result = wait({lsn, "--site", "sydney", "--timeout", "60", "-o", "json"});
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("{\"schema\":\"antipode.wait/1\",\"site\":\"sydney\","));
    EXPECT_TRUE(has_rows());
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
}

TEST_F(PauseCommand, SaysWhatItCannotDo) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();  // it knows its primary
    EXPECT_EQ(sites_.sydney.antipode({"pause"}).status, usage) << "without a reason";
    CommandResult result = sites_.sydney.antipode({"pause", "--reason", "x", "--for", "a while"});
    EXPECT_EQ(result.status, usage);
    EXPECT_THAT(result.error, HasSubstr("\"a while\" is no time from 1s to 30d"));
    EXPECT_EQ(sites_.sydney.antipode({"pause", "nothing", "--reason", "x"}).status, usage);
    result = wait({});
    EXPECT_EQ(result.status, usage);
    EXPECT_THAT(result.error, HasSubstr("london is the primary: it has everything"));
    EXPECT_EQ(wait({"12", "--site", "sydney"}).status, unknown) << "no LSN, and no file";
    EXPECT_EQ(wait({"12", "--store", "app", "--site", "sydney"}).status, usage);
    sites_.sydney.kill();
    EXPECT_EQ(wait({"--site", "sydney"}).status, unreachable);
}

TEST_F(PauseCommand, OneFileOrRepositoryIsWaitedForAndNothingElse) {
    const auto to_sydney = [&](const std::string& what, const std::string& timeout) {
        return wait({what, "--site", "sydney", "--timeout", timeout});
    };
    must_run({"git", "init", "-q", "--bare", (sites_.london.git_root / "app.git").string()});
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_EQ(sites_.sydney.antipode({"pause", "database/app", "--reason", "x"}).status, 0);
    EXPECT_EQ(sites_.sydney.antipode({"pause", "repositories/git", "--reason", "x"}).status, 0);
    write();
    const std::string file = std::to_string(written_);
    CommandResult result = to_sydney(file, "60");
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_TRUE(has_files());
    EXPECT_FALSE(has_rows());
    must_run({"git", "-C", (sites_.london.git_root / "app.git").string(), "symbolic-ref", "HEAD",
              "refs/heads/other"});
    result = to_sydney("app.git", "2");
    EXPECT_EQ(result.status, timed_out) << result.output << result.error;
    EXPECT_THAT(result.error, HasSubstr("sydney does not have it yet: "));
    EXPECT_EQ(sites_.sydney.antipode({"resume"}).status, 0);
    result = to_sydney("app.git", "60");
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_EQ(read_file(sites_.sydney.git_root / "app.git/HEAD"), "ref: refs/heads/other\n");
    std::filesystem::remove(sites_.london.files_root / file);
    result = to_sydney(file, "60");
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_FALSE(has_files()) << "its removal is waited for, too";
}

TEST_F(PauseCommand, EndsByItself) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_EQ(sites_.sydney.antipode({"pause", "--reason", "x", "--for", "12s"}).status, 0);
    write();
    const bool early = has_rows();
    EXPECT_EQ(state_of("database/app"), "paused") << "still, after that look";
    EXPECT_FALSE(early);
    const CommandResult result = wait({"--site", "sydney", "--timeout", "60"});
    EXPECT_EQ(result.status, 0) << result.output << result.error << sites_.describe();
    EXPECT_TRUE(has_rows());
}

}  // namespace
}  // namespace antipode::test
