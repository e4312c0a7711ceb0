#pragma once

#include <span>
#include <string>

#include "adapters/git/pack_file.hpp"

namespace antipode::git {

struct PackedObject {
    ObjectType type = ObjectType::Blob;
    std::string content;
};

/// A pack of these objects (SHA-1), each whole and none as a difference from another:
/// gitformat-pack(5).
std::string write_pack(std::span<const PackedObject> objects);

}  // namespace antipode::git
