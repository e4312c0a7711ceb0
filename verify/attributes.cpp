#include "verify/attributes.hpp"

#include <cstdio>

#include "base/clock.hpp"
#include "base/files.hpp"

namespace antipode::verify {
namespace {

/// A mirror makes no programs that run as somebody else.
constexpr uint32_t mirrored_mode = 0777;

template <typename Value>
bool contradicts(const std::optional<Value>& one, const std::optional<Value>& other) {
    return one && other && *one != *other;
}

}  // namespace

bool Attributes::contradict(const Attributes& other) const {
    return contradicts(mode, other.mode) || contradicts(mtime_s, other.mtime_s);
}

std::string Attributes::to_string() const {
    char text[16] = "?";
    if (mode) {
        std::snprintf(text, sizeof text, "%04o", *mode);
    }
    return std::string("mode ") + text +
           (mtime_s ? ", time " + to_iso8601(TimePoint(std::chrono::seconds(*mtime_s))) : "");
}

Attributes expected_attributes(const v1::Payload& payload) {
    if (!payload.has_blob_put()) {
        return {};
    }
    const v1::BlobPut& put = payload.blob_put();
    return names_directory(put.path()) ? attributes_of_directory(put.mode())
                                       : attributes_of_file({put.mode(), put.mtime_ns()});
}

Attributes attributes_of_file(const FileMetadata& metadata) {
    const auto time = std::chrono::nanoseconds(metadata.mtime_ns);
    return {metadata.mode & mirrored_mode, std::chrono::floor<std::chrono::seconds>(time).count()};
}

Attributes attributes_of_directory(uint32_t mode) {
    return {mode & mirrored_mode, {}};
}

}  // namespace antipode::verify
