// The fence of repositories is tried as a push would try it, with real git and the real hook.
#include <chrono>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "adapters/git/hooks.hpp"
#include "base/places.hpp"
#include "failover/fences.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

/// A site with one store of two repositories, which have hooks.
class HookFence : public testing::Test {
  protected:
    HookFence() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.state_dir = directory_ / "state";
        config_.repositories = {{"git", directory_ / "git"}};
        for (const char* name : {"app.git", "group/lib.git"}) {
            create(name);
        }
        install();
        give_away();
    }
    /// Of a service that is not root, whose hooks would only be looked at.
    void give_away() const {
        std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
        if (geteuid() == 0) {
            must_run({"chown", "-R", "postgres:", (directory_ / "git").string()});
        }
    }
    std::filesystem::path at(const std::string& name) const { return directory_ / "git" / name; }
    void create(const std::string& name, const std::vector<std::string>& options = {}) const {
        std::vector<std::string> command{"git", "init", "-q", "--bare"};
        command.insert(command.end(), options.begin(), options.end());
        command.push_back(at(name).string());
        must_run(command);
    }
    void install() const {
        for (const auto& report :
             git::for_all_hooks(directory_ / "git", {ANTIPODE_GIT_HOOK, hook_spool(config_, "git")},
                                git::HookAction::Install)) {
            ASSERT_EQ(report.problem, "");
        }
    }
    std::string problem_of(const std::function<void()>& what) {
        try {
            what();
            return {};
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), Reaction::Stop);
            EXPECT_THAT(error.next_step(), HasSubstr("antipode hooks install"));
            return error.what();
        }
    }
    std::string close() {
        return problem_of([&] { fences_.close("sydney"); });
    }
    std::string check() {
        return problem_of([&] { fences_.check(); });
    }
    void expect_no_trace(const std::string& name) const {
        EXPECT_EQ(must_run({"find", at(name).string(), "-name", "*fence-check*"}), "");
        EXPECT_EQ(must_run({"git", "--git-dir=" + at(name).string(), "for-each-ref"}), "");
    }

    TemporaryDirectory directory_;
    Config config_;
    failover::Fences fences_{config_};
};

TEST_F(HookFence, HoldsWhereEveryHookRefuses) {
    EXPECT_EQ(close(), "");
    EXPECT_EQ(check(), "");
    const auto trials = git::try_hooks(directory_ / "git");
    ASSERT_EQ(trials.size(), 2U);
    EXPECT_TRUE(trials[0].refused && trials[1].refused);
    expect_no_trace("app.git");
}

TEST_F(HookFence, DoesNotHoldWhereAHookIsMissing) {
    create("new.git");
    EXPECT_EQ(fences_.unhooked().size(), 1U) << "preflight would not say it";
    const std::string why = at("new.git").string() + " can be changed, git calls no hook";
    EXPECT_THAT(close(), HasSubstr(why));
    EXPECT_THAT(problem_of([&] { fences_.shut("sydney"); }), HasSubstr(why));
    expect_no_trace("new.git");
    install();
    EXPECT_THAT(fences_.unhooked(), IsEmpty());
    EXPECT_EQ(close(), "");
}

TEST_F(HookFence, DoesNotHoldWhereGitLooksForHooksElsewhere) {
    EXPECT_EQ(close(), "");
    must_run({"git", "--git-dir=" + at("group/lib.git").string(), "config", "core.hooksPath",
              "/nowhere"});
    EXPECT_EQ(fences_.unhooked().size(), 1U);
    EXPECT_THAT(check(), HasSubstr(at("group/lib.git").string() + " can be changed"));
    expect_no_trace("group/lib.git");
}

TEST_F(HookFence, DoesNotHoldWhereTheHookAnswersForNoStore) {
    write_file(at("app.git") / "hooks/antipode-hook", "spool /nowhere/git\n");
    EXPECT_THAT(fences_.unhooked(), IsEmpty()) << "it looks as it should";
    EXPECT_THAT(close(), HasSubstr(at("app.git").string() +
                                   " can be changed, Antipode's hook does not refuse"));
}

TEST_F(HookFence, DoesNotHoldWhereTheHookCannotBeRun) {
    EXPECT_EQ(close(), "");
    const auto hook = at("app.git") / "hooks/reference-transaction";
    std::filesystem::remove(hook);
    std::filesystem::create_symlink(directory_ / "gone/antipode-git-hook", hook);
    EXPECT_EQ(fences_.unhooked().size(), 1U);
    EXPECT_THAT(check(), HasSubstr(at("app.git").string() + " can be changed"));
}

TEST_F(HookFence, DoesNotTakeAnotherHooksWordForOurs) {
    const auto hook = at("app.git") / "hooks/reference-transaction";
    std::filesystem::remove(hook);
    write_file(hook, "#!/bin/sh\necho closed on Sundays >&2\nexit 1\n");
    std::filesystem::permissions(hook, std::filesystem::perms(0755));
    EXPECT_THAT(close(), HasSubstr("another hook answers"));
}

TEST_F(HookFence, DoesNotWaitForAHookThatHangs) {
    const auto hook = at("app.git") / "hooks/reference-transaction";
    std::filesystem::remove(hook);
    write_file(hook, "#!/bin/sh\nexec sleep 600\n");
    std::filesystem::permissions(hook, std::filesystem::perms(0755));
    const auto begun = std::chrono::steady_clock::now();
    try {
        fences_.close("sydney");
        FAIL() << "it hung, and was taken for one that refuses";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Retry);
        EXPECT_THAT(error.what(), HasSubstr(at("app.git").string()));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 12s);
}

TEST_F(HookFence, IsNotThatOfASiteThatReliesOnItsCommands) {
    must_run({"rm", "-r", (directory_ / "git").string()});
    create("app.git");
    EXPECT_THAT(close(), HasSubstr("can be changed")) << "nothing at all keeps pushes out";
    config_.failover.fence_command = {"/bin/true"};
    EXPECT_EQ(close(), "") << "it never had hooks";
    EXPECT_FALSE(fences_.unhooked().at(0).is_needed);
    install();
    create("new.git");
    EXPECT_THAT(close(), HasSubstr("new.git can be changed"));
    config_.failover.write_check_command = {"/bin/false"};
    EXPECT_EQ(close(), "") << "the site has seen that its service cannot write";
}

/// A lease that ends waits for no git: what is closed then is what takes no time.
TEST_F(HookFence, IsNotTriedWhenALeaseEnds) {
    create("new.git");
    failover::Fences of_the_lease(config_, failover::patience_without_lease);
    EXPECT_NO_THROW(of_the_lease.shut_without_lease());
    EXPECT_NO_THROW(of_the_lease.check());
    EXPECT_TRUE(std::filesystem::exists(hook_fence(config_, "git")));
}

TEST_F(HookFence, IsTriedInSoManyRepositoriesFromAllOverTheStore) {
    for (int i = 0; i < 40; ++i) {
        create("many/" + std::to_string(i) + ".git", {"--template="});
    }
    for (const char* name : {"a.git", "b.git", "objects-only.git", "x/y/z.git"}) {
        create(name);
    }
    std::filesystem::remove_all(at("objects-only.git") / "refs");
    EXPECT_EQ(git::some_repositories(directory_ / "git", 1000).size(), 45U);
    EXPECT_EQ(git::try_hooks(directory_ / "git").size(), git::most_hook_trials);
    // Another draw finds others: what one misses, the next may not.
    std::set<std::string> drawn;
    EXPECT_TRUE(eventually([&] {
        for (const git::HookTrial& trial : git::look_at_hooks(directory_ / "git")) {
            drawn.insert(trial.repository);
        }
        return drawn.size() == 45;
    }));
}

/// Their hooks are that user's code, and must not run with the daemon's rights.
TEST_F(HookFence, IsTriedInRepositoriesOfAnotherOwnerAsThatUser) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "only root may give files away";
    }
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
    const auto chained = at("app.git") / "hooks/antipode-chained/reference-transaction";
    const auto log = at("app.git") / "who";
    std::filesystem::create_directories(chained.parent_path());
    write_file(chained, "#!/bin/sh\nid -un >> " + log.string() + "\n");
    std::filesystem::permissions(chained, std::filesystem::perms(0755));
    must_run({"chown", "-R", "postgres:", at("app.git").string()});
    EXPECT_EQ(close(), "");
    EXPECT_EQ(read_file(log), "postgres\n") << "it hears that the change was taken back";
    must_run({"rm", "-r", (at("app.git") / "hooks").string()});
    EXPECT_THAT(check(), HasSubstr(at("app.git").string() + " can be changed"));
}

}  // namespace
}  // namespace antipode::test
