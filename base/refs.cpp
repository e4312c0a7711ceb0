#include "base/refs.hpp"

namespace antipode {
namespace {

constexpr size_t name_bytes = 4000;
constexpr size_t component_bytes = 250;  // with ".lock" behind it within a file name's 255

bool is_valid_component(std::string_view component) {
    return !component.empty() && component.size() <= component_bytes && component.front() != '.' &&
           !component.ends_with(".lock");
}

bool is_valid_character(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && std::string_view("~^:?*[\\").find(c) == std::string::npos;
}

}  // namespace

std::vector<RefChange> difference(const RefMap& before, const RefMap& after) {
    std::vector<RefChange> changes;
    auto old_ref = before.begin();
    auto new_ref = after.begin();
    while (old_ref != before.end() || new_ref != after.end()) {
        const bool gone =
            new_ref == after.end() || (old_ref != before.end() && old_ref->first < new_ref->first);
        const bool added = !gone && (old_ref == before.end() || new_ref->first < old_ref->first);
        if (gone) {
            changes.push_back({old_ref->first, old_ref->second, {}});
            ++old_ref;
        } else if (added) {
            changes.push_back({new_ref->first, {}, new_ref->second});
            ++new_ref;
        } else {
            if (old_ref->second != new_ref->second) {
                changes.push_back({new_ref->first, old_ref->second, new_ref->second});
            }
            ++old_ref;
            ++new_ref;
        }
    }
    return changes;
}

bool is_valid_ref_name(std::string_view name) {
    if (name == "HEAD") {
        return true;
    }
    if (!name.starts_with("refs/") || name.size() > name_bytes || name.ends_with('.') ||
        name.find("..") != std::string_view::npos || name.find("@{") != std::string_view::npos) {
        return false;
    }
    for (const char c : name) {
        if (!is_valid_character(c)) {
            return false;
        }
    }
    size_t start = 0;
    while (true) {
        const size_t slash = name.find('/', start);
        if (!is_valid_component(name.substr(start, slash - start))) {
            return false;
        }
        if (slash == std::string_view::npos) {
            return true;
        }
        start = slash + 1;
    }
}

size_t oid_bytes(std::string_view object_format) {
    return object_format == "sha1" ? 20 : object_format == "sha256" ? 32 : 0;
}

}  // namespace antipode
