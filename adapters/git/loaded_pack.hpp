#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/git/pack_file.hpp"

struct git_odb;

namespace antipode::git {

/// What a pack may hold to be loaded.
struct LoadLimits {
    size_t objects = 0;
    size_t bytes = 0;  ///< unpacked, of all objects together
};

/// A pack of SHA-1 objects, read and hashed within this process, in memory: gitformat-pack(5). For
/// those that are small and whole by themselves; libgit2 and git take all others. Not changed once
/// it is loaded.
class LoadedPack {
  public:
    struct Object {
        std::string oid;  ///< raw, 20 bytes: the hash of what was unpacked
        ObjectType type = ObjectType::Blob;
        size_t size = 0;
        std::string content;  ///< not of blobs, which lead nowhere
        uint32_t crc = 0;     ///< of the entry, packed
        uint32_t offset = 0;
    };

    /// Of what a push usually brings, in the memory of each thread that applies one.
    static constexpr LoadLimits small{4000, 16 * 1024 * 1024};

    /// nullopt: it is damaged, exceeds the limits, builds on what is not in it, or has an object
    /// twice.
    static std::optional<LoadedPack> load(std::string_view pack, const LoadLimits& limits = small);

    const Object* find(std::string_view oid) const;
    size_t size() const { return objects_.size(); }
    /// "pack-<its checksum>", as git names it.
    std::string name() const;
    /// Its index, as git-index-pack(1) writes it.
    std::string index() const;
    /// Has `odb` find these objects first. The pack outlives it, and is not moved meanwhile. False:
    /// libgit2 refuses.
    bool lend_to(git_odb* odb) const;

  private:
    LoadedPack(std::vector<Object> objects, std::string checksum);

    std::vector<Object> objects_;  ///< by id
    std::string checksum_;
};

}  // namespace antipode::git
