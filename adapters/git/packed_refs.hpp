#pragma once

#include <filesystem>
#include <stop_token>
#include <vector>

#include "adapters/git/program.hpp"
#include "base/refs.hpp"

namespace antipode::git {

/// What packed-refs says; empty when there is none. Throws Error{Resync} when it cannot be read.
RefMap read_packed_refs(const std::filesystem::path& git_dir);

/// Moves many direct refs of a repository at one moment: all refs are packed, and one file with the
/// new values takes the place of packed-refs. Readers, and whoever comes after a crash, see all of
/// the old values or all of the new ones. Names may be freed and used in the same step (a, a/b).
/// Durable when it returns. Throws as Repositories::update_refs() does.
void move_refs_at_once(const Program& program, const std::filesystem::path& git_dir,
                       const std::vector<const RefChange*>& changes, const std::stop_token& stop);

/// Runs git again when what was in the way is a lock that a killed git left.
Outcome run_past_leftovers(const Program& program, const std::filesystem::path& git_dir,
                           const Program::Call& call, const std::stop_token& stop);
/// Only this site's daemon writes a mirror's refs: a lock from before it began was left by a git
/// that was killed with the daemon before. False: it is none of these, or younger.
bool remove_leftover(const std::string& lock, const std::filesystem::path& git_dir);

}  // namespace antipode::git
