// What an old primary has is damaged when it comes back.
#include "tests/end_to_end/rejoin.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class DamagedRejoin : public Rejoin {
  protected:
    /// A repository that sydney never got, with a commit.
    void push_new(const std::string& name) {
        const std::string clone = (pair_->temporary / ("work-" + name)).string();
        must_run({"git", "init", "-q", "--bare", (london().git_root / name).string()});
        must_run({"git", "clone", "-q", (london().git_root / name).string(), clone});
        must_run({"git", "-C", clone, "-c", "user.name=Test", "-c", "user.email=test@example.org",
                  "commit", "-q", "--allow-empty", "-m", "lost"});
        must_run({"git", "-C", clone, "push", "-q", "origin", "HEAD:refs/heads/main"});
    }
    std::filesystem::path objects_of(const std::string& repository) {
        return london().git_root / repository / "objects";
    }
    /// As a failing disk: its refs are there, what they name is not.
    void take_objects_away(const std::string& repository) {
        std::filesystem::rename(objects_of(repository), pair_->temporary / repository);
        std::filesystem::create_directories(objects_of(repository) / "info");
        std::filesystem::create_directories(objects_of(repository) / "pack");
    }
    void bring_objects_back(const std::string& repository) {
        std::filesystem::remove_all(objects_of(repository));
        std::filesystem::rename(pair_->temporary / repository, objects_of(repository));
    }
    std::string problem() { return london().status(".failover.problem").value_or(""); }
};

TEST_F(DamagedRejoin, WhatCannotBeReadIsNamedKeptOnceItCanBeAndGivenUpOnlyOnTheOperatorsWord) {
    sydney().kill();
    write_what_is_lost();
    push_new("mended.git");
    push_new("broken.git");
    lose_london();
    take_objects_away("mended.git");
    take_objects_away("broken.git");
    sydney().start();
    promote_sydney();
    bring_london_back();
    ASSERT_TRUE(eventually([&] { return problem().find("2 cannot be read") != std::string::npos; }))
        << problem() << pair_->describe();
    EXPECT_THAT(problem(), HasSubstr("repositories/git broken.git"));
    EXPECT_EQ(london().status(".failover.state"), "quarantining");
    EXPECT_EQ(read_file(quarantine() / "blobs/uploads/lost.txt"), "nobody else has this");
    bring_objects_back("mended.git");
    ASSERT_TRUE(eventually([&] { return problem().find("1 cannot be read") != std::string::npos; }))
        << problem();
    EXPECT_THAT(problem(), Not(HasSubstr("mended.git")));
    const CommandResult refused = london().antipode({"quarantine", "drop", promotion_, "--yes"});
    EXPECT_EQ(refused.status, 4) << refused.error << refused.output;

    const CommandResult done =
        london().antipode({"rejoin", "--without-unreadable", "--yes", "-o", "json"});
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_->describe();
    EXPECT_EQ(value_of(done.output, ".loss.lost.unreadable"), "1") << done.output;
    EXPECT_EQ(value_of(done.output, ".loss.losses[] | select(.kind == \"unreadable\") | .item"),
              "broken.git");
    const std::string shown = london().antipode({"quarantine", "show"}).output;
    EXPECT_THAT(shown, HasSubstr("; 1 could not be read"));
    EXPECT_THAT(shown, HasSubstr("repositories/git/mended.git.bundle"));
    // What nobody could read is not on the new primary: it goes.
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    ASSERT_TRUE(eventually([&] {
        return !std::filesystem::exists(london().git_root / "broken.git");
    })) << pair_->describe();
    pair_->expect_equal();
    EXPECT_THAT(sydney().antipode({"history"}).output,
                HasSubstr("sydney is the primary of epoch 2"));
    EXPECT_THAT(sydney().antipode({"op", "show", promotion_}).output, HasSubstr("quarantining"));

    const std::string copy = (pair_->temporary / "export").string();
    const CommandResult exported = london().antipode({"quarantine", "export", copy});
    EXPECT_EQ(exported.status, 0) << exported.error;
    EXPECT_EQ(must_run({"diff", "-r", quarantine().string(), copy}), "");
    EXPECT_EQ(london().antipode({"quarantine", "drop", promotion_, "--yes"}).status, 2)
        << "somebody may ask for it yet";
    EXPECT_EQ(london().antipode({"quarantine", "drop", promotion_, "--confirm", promotion_}).status,
              0);
    EXPECT_THAT(london().antipode({"quarantine", "list"}).output, HasSubstr("no quarantine"));
}

}  // namespace
}  // namespace antipode::test
