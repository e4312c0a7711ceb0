#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/seams/files.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::verify {

/// What is mirrored of a file or directory beside its content, as far as it can be compared;
/// nullopt: it is not mirrored, or not known.
struct Attributes {
    std::optional<uint32_t> mode;    ///< permission bits
    std::optional<int64_t> mtime_s;  ///< in seconds, which every file system keeps

    bool operator==(const Attributes&) const = default;
    /// Something that is known of both is not the same.
    bool contradict(const Attributes& other) const;
    /// "mode 0644, time 2026-11-22T14:40:05Z"
    std::string to_string() const;
};

/// That an item must have once the event is applied. Of directories the time is not mirrored.
Attributes expected_attributes(const v1::Payload& payload);
Attributes attributes_of_file(const FileMetadata& metadata);
Attributes attributes_of_directory(uint32_t mode);

}  // namespace antipode::verify
