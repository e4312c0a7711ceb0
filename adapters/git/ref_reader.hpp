#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/git/program.hpp"
#include "base/refs.hpp"

namespace antipode::git {

/// What a look at the files behind a repository's refs tells, without reading them.
struct RefFiles {
    std::vector<std::string> loose;  ///< valid ref names, in byte order
    /// Over path, type, inode, size, mtime and ctime (nanoseconds) of HEAD, packed-refs, the
    /// files beside refs, and everything below refs.
    std::string fingerprint;
    int64_t newest_ns = 0;  ///< the youngest of those times, since 1970
};
RefFiles look_at_refs(const std::filesystem::path& git_dir);

/// "sha1" or "sha256", from the repository's own configuration.
std::string object_format(const std::filesystem::path& git_dir);

/// Reads all refs: from their files, and through the git program what is stored otherwise (newer
/// git's reftable) or did not hold still. No loose ref is ever skipped silently, as git and libgit2
/// would do with a broken one: that would look like its deletion. Throws Error{Resync} that names
/// what is unreadable. Thread-safe.
/// `root`: below which a repository may borrow from others.
RepositoryRefs read_all_refs(const Program& program, const std::filesystem::path& git_dir,
                             const std::filesystem::path& root);

}  // namespace antipode::git
