#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/digest.hpp"
#include "base/refs.hpp"

/// "refs-1": the digest of all that a repository's refs say. It is the SHA-256 of this text, which
/// anybody can write down with git alone:
///
///     refs-1 <object format>\n                  "sha1" or "sha256"
///     <name> <value>\n                          for each ref, sorted by name as bytes
///
/// Names are full ("refs/heads/main"); HEAD is one of them; every namespace counts. The value of a
/// direct ref is its object id in lower-case hexadecimal, tags not peeled; of a symbolic ref,
/// "ref:" and the name of its immediate target, whether that exists or not. A repository without
/// commits still has its HEAD. No character of a ref name sorts below the space, so that sorting
/// lines sorts names:
///
///     { echo "HEAD ref:$(git symbolic-ref HEAD)"
///       git for-each-ref --format='%(refname) %(objectname)'; } |
///         LC_ALL=C sort | { echo 'refs-1 sha1'; cat; } | sha256sum
///
/// gives it when HEAD is the only symbolic ref, and the repository has no description, is not
/// shallow and borrows no objects: those have lines, too (base/refs.hpp). refs_test.cpp has a
/// worked example.
namespace antipode::verify {

inline constexpr std::string_view refs_algorithm = "refs-1";

/// The text above.
std::string canonical_refs(const RepositoryRefs& refs);
/// nullopt unless `text` is exactly what canonical_refs() writes.
std::optional<RepositoryRefs> parse_canonical_refs(std::string_view text);

Digest refs_digest(const RepositoryRefs& refs);

}  // namespace antipode::verify
