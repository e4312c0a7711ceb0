// The hook as git calls it, and what the spool makes of it.
#include <functional>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using git::HookAction;
using git::HookStatus;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GitHooks : public RepositoriesLane {
  protected:
    void SetUp() override {
        create("r.git");
        commit("r.git", "main", "1");
    }
    std::filesystem::path hook() const {
        return on_primary("r.git") / "hooks/reference-transaction";
    }
    std::filesystem::path log() const { return directory_ / "hook.log"; }
    void write_hook(const std::filesystem::path& path, const std::string& script) const {
        write_file(path, script);
        std::filesystem::permissions(path, std::filesystem::perms(0755));
    }
    std::string logging_script(int status = 0) const {
        return "#!/bin/sh\necho \"$(basename \"$0\") $1\" >> " + log().string() + "\ncat >> " +
               log().string() + "\nexit " + std::to_string(status) + "\n";
    }
    HookStatus status() const { return git::hook_status(on_primary("r.git"), hook_settings()); }
    void install() const { git::install_hook(on_primary("r.git"), hook_settings()); }
};

TEST_F(GitHooks, TellWhatAPushChanged) {
    EXPECT_EQ(status(), HookStatus::Absent);
    EXPECT_FALSE(spool_->covers("r.git"));
    install();
    install();
    EXPECT_EQ(status(), HookStatus::Installed);
    EXPECT_TRUE(spool_->covers("r.git"));
    push("r.git", {"main"});
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
    EXPECT_THAT(spool_->take().names, IsEmpty());
    push("r.git", {"main:a", "main:b"});
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
    git({"-C", on_primary("r.git").string(), "update-ref", "-d", "refs/heads/a"});
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
}

TEST_F(GitHooks, CallTheHookThatWasThere) {
    write_hook(hook(), logging_script());
    install();
    EXPECT_EQ(status(), HookStatus::Installed);
    push("r.git", {"main"});
    const std::string text = read_file(log());
    EXPECT_THAT(text, HasSubstr("reference-transaction prepared\n"));
    EXPECT_THAT(text, HasSubstr("reference-transaction committed\n"));
    EXPECT_THAT(text, HasSubstr(" refs/heads/main\n"));
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
}

TEST_F(GitHooks, LetTheOtherHookRefuse) {
    write_hook(hook(), logging_script(1));
    install();
    EXPECT_THROW(push("r.git", {"main"}), std::runtime_error);
    EXPECT_THAT(read_file(log()), HasSubstr("aborted"));
    EXPECT_THAT(spool_->take().names, IsEmpty());
    write_hook(on_primary("r.git") / "hooks/antipode-chained/reference-transaction",
               "exit 0\n");  // no "#!": git gives it to the shell
    push("r.git", {"main"});
    std::filesystem::permissions(
        on_primary("r.git") / "hooks/antipode-chained/reference-transaction",
        std::filesystem::perms(0644));  // git takes it for none
    push("r.git", {"main:other"});
    write_hook(on_primary("r.git") / "hooks/antipode-chained/reference-transaction",
               "#!/no/such/interpreter\n");
    EXPECT_THROW(push("r.git", {"main:third"}), std::runtime_error);
}

TEST_F(GitHooks, AreRemovedWithoutATrace) {
    const auto files = [&] {
        std::map<std::string, std::string> found;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(on_primary("r.git") / "hooks")) {
            found[entry.path().string()] = entry.is_symlink()
                                               ? std::filesystem::read_symlink(entry).string()
                                           : entry.is_directory() ? ""
                                                                  : read_file(entry);
        }
        return found;
    };
    const auto bare = files();
    install();
    git::remove_hook(on_primary("r.git"));
    git::remove_hook(on_primary("r.git"));
    EXPECT_EQ(files(), bare);

    write_hook(hook(), logging_script());
    const auto with_file = files();
    install();
    install();
    EXPECT_NE(files(), with_file);
    git::remove_hook(on_primary("r.git"));
    EXPECT_EQ(files(), with_file);
    push("r.git", {"main"});
    EXPECT_THAT(read_file(log()), HasSubstr("committed"));

    for (const std::string& target :
         {std::string("../shared-hook"), (directory_ / "absolute-hook").string()}) {
        write_hook(directory_ / "absolute-hook", logging_script());
        write_hook(on_primary("r.git") / "shared-hook", logging_script());
        std::filesystem::remove(hook());
        std::filesystem::remove(log());
        std::filesystem::create_symlink(target, hook());
        const auto with_link = files();
        install();
        push("r.git", {"--force", "main", "HEAD:refs/heads/" + std::to_string(target.size())});
        EXPECT_THAT(read_file(log()), HasSubstr("reference-transaction committed")) << target;
        git::remove_hook(on_primary("r.git"));
        EXPECT_EQ(files(), with_link) << target;
    }
}

TEST_F(GitHooks, KeepAHookThatWasPutOverOurs) {
    write_hook(hook(), "#!/bin/sh\n# first\n");
    install();
    std::filesystem::remove(hook());
    write_hook(hook(), logging_script());
    EXPECT_EQ(status(), HookStatus::Absent);
    install();
    EXPECT_EQ(status(), HookStatus::Installed);
    push("r.git", {"main"});
    EXPECT_THAT(read_file(log()), HasSubstr("committed"));
    git::remove_hook(on_primary("r.git"));
    EXPECT_EQ(read_file(hook()), logging_script());
    EXPECT_EQ(
        read_file(on_primary("r.git") / "hooks/antipode-chained/reference-transaction.saved-1"),
        "#!/bin/sh\n# first\n");
}

TEST_F(GitHooks, NeverFailAPushBecauseOfTheDaemon) {
    install();
    const std::filesystem::path spool_directory = spool_file_.parent_path();
    spool_.reset();
    const std::vector<std::function<void()>> harms{
        [&] { std::filesystem::remove_all(spool_directory); },
        [&] { std::filesystem::create_directories(spool_file_); },
        [&] {
            std::filesystem::remove_all(spool_file_);
            must_run({"mkfifo", spool_file_.string()});
        },
        [&] {
            std::filesystem::remove(spool_file_);
            std::filesystem::create_symlink("/dev/full", spool_file_);
        },
        [&] { std::filesystem::remove(on_primary("r.git") / "hooks/antipode-hook"); }};
    for (size_t i = 0; i < harms.size(); ++i) {
        harms[i]();
        push("r.git", {"main:refs/heads/after-" + std::to_string(i)});
    }
    std::filesystem::remove_all(spool_directory);
    spool_ = std::make_unique<git::ChangeSpool>(
        git::ChangeSpool::Options{spool_file_, root_, hook_settings().program});
    primary::RepositoryCapture capture({StoreKind::Repositories, "code"}, *source_, *spool_,
                                       inventory_);
    EXPECT_THAT(capture.reconcile(stop_).changed, ElementsAre("r.git"));
}

/// The refs have moved by then, and a failed hook would be passed over in silence.
TEST_F(GitHooks, APushThatTheDiskDidNotKeepIsNotAcknowledged) {
    install();
    const std::filesystem::path trace = directory_ / "trace";
    const CommandResult pushed =
        run({"strace", "-f", "-qq", "-o", trace.string(), "-e", "trace=syncfs", "-e",
             "inject=syncfs:error=EIO", "git", "-C", work_tree("r.git").string(), "push", "--quiet",
             "origin", "main:unsafe"});
    EXPECT_NE(pushed.status, 0);
    EXPECT_THAT(pushed.error, HasSubstr("the disk did not keep what was written"));
    EXPECT_THAT(read_file(trace), HasSubstr("(INJECTED)"));
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git")) << "the refs may have moved";
    push("r.git", {"main:safe"});
}

TEST_F(GitHooks, WorkForOtherUsersThanTheDaemons) {
    if (geteuid() != 0) {
        GTEST_SKIP() << "needs root: nobody else to push as";
    }
    install();
    must_run({"chown", "-R", "postgres:", on_primary("r.git").string()});
    std::filesystem::permissions(on_primary("r.git"), std::filesystem::perms(0700));
    Process::Options options;
    options.as_unprivileged_user = true;
    options.directory = on_primary("r.git");
    const std::string tree =
        must_run({"git", "hash-object", "-w", "-t", "tree", "--stdin"}, {}, options);
    options.environment = {{"GIT_AUTHOR_NAME", "a"},
                           {"GIT_AUTHOR_EMAIL", "a@b"},
                           {"GIT_COMMITTER_NAME", "a"},
                           {"GIT_COMMITTER_EMAIL", "a@b"}};
    const std::string oid = must_run({"git", "commit-tree", "-m", "x", tree}, {}, options);
    must_run({"git", "update-ref", "refs/heads/theirs", oid}, {}, options);
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
}

TEST_F(GitHooks, TellWhenARepositoryBypassesThem) {
    git({"-C", on_primary("r.git").string(), "config", "core.hooksPath", "/elsewhere"});
    EXPECT_EQ(status(), HookStatus::Bypassed);
    EXPECT_FALSE(spool_->covers("r.git"));
    try {
        install();
        FAIL() << "installed a hook that git would not call";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("core.hooksPath"));
    }
    const auto reports = git::for_all_hooks(root_, hook_settings(), HookAction::Show);
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].status, HookStatus::Bypassed);
    git({"-C", on_primary("r.git").string(), "config", "core.hooksPath", "hooks"});
    install();
    EXPECT_EQ(status(), HookStatus::Installed);
    push("r.git", {"main"});
    EXPECT_THAT(spool_->take().names, ElementsAre("r.git"));
}

TEST_F(GitHooks, ComeWithATemplateAndFromLinkedWorktrees) {
    git::install_template(directory_ / "template", hook_settings());
    create("new.git", {"--template=" + (directory_ / "template").string()});
    EXPECT_TRUE(spool_->covers("new.git"));
    push("r.git", {"main"});
    commit("new.git", "main", "1");
    push("new.git", {"main"});
    EXPECT_THAT(spool_->take().names, ElementsAre("new.git"));
    const std::string linked = (directory_ / "linked").string();
    git({"-C", on_primary("new.git").string(), "worktree", "add", "--quiet", linked, "-b", "side"});
    spool_->take();
    git({"-C", linked, "commit", "--quiet", "--allow-empty", "--message", "x"});
    EXPECT_THAT(spool_->take().names, ElementsAre("new.git"));
}

TEST_F(GitHooks, AreInstalledAndRemovedForAll) {
    create("group/s.git");
    std::filesystem::create_directories(root_ / "no-repository");
    for (const auto& report : git::for_all_hooks(root_, hook_settings(), HookAction::Install)) {
        EXPECT_EQ(report.status, HookStatus::Installed) << report.repository;
        EXPECT_EQ(report.problem, "");
    }
    EXPECT_TRUE(spool_->covers("group/s.git"));
    replicate_reconciled();
    EXPECT_FALSE(capture_->notices_everything());  // hooks alone never do
    const auto reports = git::for_all_hooks(root_, hook_settings(), HookAction::Remove);
    ASSERT_EQ(reports.size(), 2U);
    EXPECT_EQ(reports[0].repository, "group/s.git");
    EXPECT_EQ(reports[0].status, HookStatus::Absent);
    EXPECT_FALSE(spool_->covers("group/s.git"));
}

/// As a secondary has them: in every mirror, refusing whoever is not the daemon.
TEST_F(GitHooks, RefusePushesToAMirrorButNotWhatIsReplicated) {
    const git::HookSettings settings{hook_settings().program, directory_ / "mirror-spool/code"};
    const std::string message = "this is the secondary site sydney of demo; push to london";
    std::filesystem::create_directories(settings.spool.parent_path());
    write_file(settings.spool.string() + ".fenced", message);
    target_ = std::make_unique<git::GitRepositories>(
        git::GitRepositories::Options{
            .root = mirror_, .packs_directory = {}, .strict_objects = false, .hook = settings},
        clock_);
    apply_ = std::make_unique<secondary::RepositoryApply>(StoreId{StoreKind::Repositories, "code"},
                                                          *target_);
    const auto push_to_mirror = [&] {
        return run({"git", "-C", work_tree("r.git").string(), "push",
                    on_secondary("r.git").string(), "HEAD:refs/heads/wrong"});
    };
    const auto expect_refused = [&](const char* when) {
        const CommandResult pushed = push_to_mirror();
        EXPECT_NE(pushed.status, 0) << when;
        EXPECT_THAT(pushed.error, HasSubstr("remote: antipode: " + message)) << when;
        expect_equal("r.git");
        const std::string lost =
            git({"-C", on_secondary("r.git").string(), "fsck", "--unreachable", "--no-progress"});
        EXPECT_EQ(lost, "") << when << ": its objects were taken in";
        // Nor by git itself.
        EXPECT_THAT(run({"git", "-C", on_secondary("r.git").string(), "update-ref",
                         "refs/heads/wrong", "main"})
                        .error,
                    HasSubstr(message));
    };
    push("r.git", {"main"});
    replicate("r.git");
    commit("r.git", "main", "not replicated");
    expect_refused("new");
    std::filesystem::remove_all(on_secondary("r.git") / "hooks");
    commit("r.git", "main", "2");
    push("r.git", {"main"});
    replicate("r.git");
    expect_refused("its hooks were deleted");
    write_file(on_secondary("r.git") / "hooks/antipode-hook", "/another/place\n");
    commit("r.git", "main", "3");
    push("r.git", {"main"});
    replicate("r.git");
    expect_refused("its hooks looked elsewhere");
    std::filesystem::remove_all(on_secondary("r.git") / "objects");
    const auto whole = capture("r.git", true);
    ASSERT_TRUE(whole.has_value());
    ASSERT_EQ(apply(*whole).kind, secondary::Result::Kind::Applied);
    expect_refused("it was damaged and made anew");
    target_->remove("r.git");
    ASSERT_EQ(apply(*whole).kind, secondary::Result::Kind::Applied);
    expect_refused("it was removed and made anew");
    std::filesystem::remove(settings.spool.string() + ".fenced");  // as a promotion does it
    const CommandResult pushed = push_to_mirror();
    EXPECT_EQ(pushed.status, 0) << pushed.error;
    git::install_hook(on_secondary("r.git"), settings);
    EXPECT_FALSE(std::filesystem::exists(on_secondary("r.git") / "hooks/pre-receive"))
        << "a primary's repository needs it no more";
    git::remove_hook(on_secondary("r.git"));
    EXPECT_TRUE(std::filesystem::is_empty(on_secondary("r.git") / "hooks"));
}

TEST_F(GitHooks, LoseNothingWhileTheSpoolIsReplaced) {
    install();
    push("r.git", {"main"});
    spool_ = std::make_unique<git::ChangeSpool>(git::ChangeSpool::Options{
        spool_file_, root_, hook_settings().program, 0622, 1});  // replaced at every chance
    spool_->take();
    const std::string place = on_primary("r.git").string();
    // Each writer moves its own copy of the repository, so that every record has its own name.
    constexpr int repositories = 40;
    for (int i = 0; i < repositories; ++i) {
        std::filesystem::copy(place, on_primary(std::to_string(i) + ".git"),
                              std::filesystem::copy_options::recursive |
                                  std::filesystem::copy_options::copy_symlinks);
    }
    std::vector<Process> writers;
    for (int writer = 0; writer < 2; ++writer) {
        writers.emplace_back(
            std::vector<std::string>{"sh", "-c",
                                     "for i in $(seq " + std::to_string(writer) + " 2 " +
                                         std::to_string(repositories - 1) + "); do git -C " +
                                         root_.string() +
                                         "/$i.git update-ref refs/heads/new main; done"},
            Process::Options{});
    }
    std::set<std::string> seen;
    const auto take = [&] {
        const auto taken = spool_->take();
        EXPECT_TRUE(taken.complete);
        seen.insert(taken.names.begin(), taken.names.end());
    };
    while (writers[0].running() || writers[1].running()) {
        take();
    }
    take();
    EXPECT_EQ(seen.size(), static_cast<size_t>(repositories));
}

}  // namespace
}  // namespace antipode::test
