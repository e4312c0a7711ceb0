#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "adapters/git/change_spool.hpp"
#include "adapters/git/hooks.hpp"
#include "adapters/git/repositories.hpp"
#include "base/clock.hpp"
#include "primary/repositories/capture.hpp"
#include "secondary/repositories/apply.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {

/// A primary and a secondary root with real repositories, and the lane between them: what the
/// sequencer, the stream and the registry do is done here in a few lines.
class RepositoriesLane : public testing::Test {
  protected:
    RepositoriesLane();

    std::filesystem::path on_primary(const std::string& name) const { return root_ / name; }
    std::filesystem::path on_secondary(const std::string& name) const { return mirror_ / name; }

    /// A bare repository on the primary, without hook.
    void create(const std::string& name, const std::vector<std::string>& options = {});
    void install_hooks();
    git::HookSettings hook_settings() const;

    /// Commits `content` as a file in the work tree that is cloned from `name`, on `branch`.
    std::string commit(const std::string& name, const std::string& branch,
                       const std::string& content, const std::string& file = "file");
    void push(const std::string& name, const std::vector<std::string>& arguments);
    std::filesystem::path work_tree(const std::string& name);

    /// Makes one event of an item; nullopt when nothing differs. Recorded as published.
    std::optional<protocol::Event> capture(const std::string& item, bool whole = false);
    secondary::Result apply(const protocol::Event& event);
    /// After an apply that was killed. git children of a killed process clean up behind themselves;
    /// they may need a moment. A lock that is left is from before the daemon that comes next.
    void apply_until_done(const protocol::Event& event);
    void make_locks_old() const;
    /// Captures and applies an item until nothing differs; asks for the whole as the core does.
    void replicate(const std::string& item);
    /// The hooks' way: what the spool names, replicated. Returns the names.
    std::vector<std::string> replicate_noticed();
    /// The reconcile's way.
    std::vector<std::string> replicate_reconciled();

    /// Compares both sides by git's own means.
    void expect_equal_refs(const std::string& name);
    /// Also that the mirror is sound, and that nothing half done is left in it.
    void expect_equal(const std::string& name);

    TemporaryDirectory directory_;
    std::filesystem::path root_ = directory_ / "primary";
    std::filesystem::path mirror_ = directory_ / "secondary";
    std::filesystem::path spool_file_ = directory_ / "spool/code.changes";
    SystemClock clock_;
    std::unique_ptr<git::GitRepositories> source_;
    std::unique_ptr<git::GitRepositories> target_;
    std::unique_ptr<git::ChangeSpool> spool_;
    primary::Inventory inventory_{""};
    std::unique_ptr<primary::RepositoryCapture> capture_;
    std::unique_ptr<primary::PackService> packs_;
    std::unique_ptr<secondary::RepositoryApply> apply_;
    std::stop_token stop_;
    uint64_t number_ = 0;
};

}  // namespace antipode::test
