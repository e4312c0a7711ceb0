#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/git/program.hpp"
#include "base/refs.hpp"

namespace antipode::git {

/// Moves refs of one repository through git, durably. One thread.
class RefUpdater {
  public:
    RefUpdater(const Program& program, std::filesystem::path git_dir);

    /// Repositories::update_refs(), but for what is borrowed.
    void run(const std::vector<RefChange>& changes, const std::stop_token& stop);

  private:
    void run_refs(const std::vector<RefChange>& changes, const std::stop_token& stop);
    void move_many(const std::vector<RefChange>& changes, const std::stop_token& stop);
    void transaction(const std::vector<const RefChange*>& changes, const std::stop_token& stop);
    void set_symbolic(const RefChange& change, const std::stop_token& stop);
    bool set_head(const std::string& target);
    void sync_directories(const std::vector<RefChange>& changes) const;

    const Program& program_;
    std::filesystem::path git_dir_;
};

/// The refs that must be deleted before others can be created: git cannot free "a" and make "a/b"
/// (or the other way round) in one transaction. Names, in order.
std::vector<std::string> in_the_way(const std::vector<RefChange>& changes);

}  // namespace antipode::git
