#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/git/program.hpp"

/// Forks that share objects: a repository may borrow those of another one below the same root, its
/// pool (objects/info/alternates of gitrepository-layout(5)). A pool is not taken away from under
/// those that borrow from it.
namespace antipode::git {

/// The name of the repository whose objects the one in `git_dir` borrows first; empty: it borrows
/// none, or none of a repository below `root`.
std::string pool_of(const std::filesystem::path& root, const std::filesystem::path& git_dir);

/// `borrower` borrows from `pool` from now on, durably; both are names below `root`.
void borrow_from(const std::filesystem::path& root, const std::string& borrower,
                 const std::string& pool);
/// The borrower is about to be found as `place`: what git reads is a relative path, so that whoever
/// sees the root elsewhere finds the pool, too.
void point_to_pool(const std::filesystem::path& root, const std::string& borrower,
                   const std::string& place, const std::string& pool);

/// Copies what the repository borrows, then lets go of its pool. Throws Error{Retry}, Stopped.
void stop_borrowing(const Program& program, const std::filesystem::path& git_dir,
                    const std::stop_token& stop);

/// Those that borrow from `pool` first. Looks at every repository: a list of our own would miss
/// what others made (a former primary, a root that was seeded).
std::vector<std::string> borrowers_of(const std::filesystem::path& root, const std::string& pool,
                                      const std::stop_token& stop);

}  // namespace antipode::git
