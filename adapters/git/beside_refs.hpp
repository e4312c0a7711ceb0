#pragma once

#include <filesystem>
#include <vector>

#include "base/refs.hpp"

/// What a repository says besides its refs, in files of its directory (base/refs.hpp).
namespace antipode::git {

/// The files, by name: a look at a repository's refs looks at these, too.
inline constexpr const char* files_beside_refs[] = {"description", "objects/info/alternates",
                                                    "shallow"};

/// Adds what the files say. Throws Error{Resync} when one of them cannot be what it should be.
/// `root`: of the store.
void read_beside_refs(const std::filesystem::path& git_dir, size_t oid_size,
                      const std::filesystem::path& root, RefMap& refs);

/// Lets history end where these changes say, before refs are moved; durable.
void change_shallow(const std::filesystem::path& git_dir, const std::vector<RefChange>& changes,
                    size_t oid_size);
void change_description(const std::filesystem::path& git_dir, const RefChange& change);

}  // namespace antipode::git
