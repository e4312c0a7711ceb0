#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/clock.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/repositories.hpp"

/// Packs that wait in a directory to be pulled, each named by its SHA-256.
namespace antipode::git {

/// Takes a pack that git just wrote: nullopt when it holds no object; its bytes when it is small;
/// else it is synced and moved into `directory`.
std::optional<Pack> keep_pack(const std::filesystem::path& file,
                              const std::filesystem::path& directory);

/// Gives a repository's pack a second name in `directory`, on the same file system: it stays when
/// the repository lets go of it. nullopt: the system refuses. Throws Stopped.
std::optional<Pack> link_pack(const std::filesystem::path& file,
                              const std::filesystem::path& directory, const std::stop_token& stop);

/// Remembers that `request` gave this pack, which is kept.
void note_made(const std::filesystem::path& directory, const std::string& request,
               const Pack& pack);
/// What an earlier run made for `request`, if it is kept and whole. Given once, so that a pack
/// which is no good is not given again and again. Throws Stopped.
std::optional<Pack> take_made(const std::filesystem::path& directory, const std::string& request,
                              const std::stop_token& stop);

/// nullptr when it is not there.
std::unique_ptr<BulkBody> open_pack(const std::filesystem::path& directory, const Sha256& hash);

/// Deletes packs that were kept before `time`, and what is remembered of them; returns how many.
size_t drop_packs(const std::filesystem::path& directory, TimePoint time);

}  // namespace antipode::git
