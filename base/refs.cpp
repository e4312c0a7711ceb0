#include "base/refs.hpp"

#include <algorithm>

#include "base/digest.hpp"

namespace antipode {
namespace {

constexpr size_t name_bytes = 4000;
constexpr size_t component_bytes = 250;  // with ".lock" behind it within a file name's 255

bool is_valid_component(std::string_view component) {
    return !component.empty() && component.size() <= component_bytes && component.front() != '.' &&
           !component.ends_with(".lock");
}

constexpr std::string_view description_of_git =
    "Unnamed repository; edit this file 'description' to name the repository.";

bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

bool is_valid_oid(const std::string& oid, size_t oid_size) {
    return oid.size() == oid_size &&
           std::any_of(oid.begin(), oid.end(), [](char c) { return c != 0; });
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

bool is_ref(std::string_view name) {
    return name == "HEAD" || name.starts_with("refs/");
}

std::set<std::string> oids_of(const RefMap& refs) {
    std::set<std::string> oids;
    for (const auto& [name, value] : refs) {
        if (is_ref(name) && !value.oid.empty()) {
            oids.insert(value.oid);
        }
    }
    return oids;
}

RefMap shallow_part(const RefMap& refs) {
    // '0' follows '/' in the order of bytes.
    return {refs.lower_bound(std::string(shallow_prefix)), refs.lower_bound("shallow0")};
}

std::string pool_in(const RefMap& refs) {
    const auto found = refs.find(std::string(pool_name));
    return found == refs.end() ? std::string() : unescape_line(found->second.target);
}

std::vector<std::string> shallow_commits(const RefMap& refs) {
    std::vector<std::string> oids;
    for (const auto& [name, value] : shallow_part(refs)) {
        oids.push_back(value.oid);
    }
    return oids;
}

std::string encode_description(std::string_view text) {
    text = text.substr(0, std::min(description_bytes, text.find_last_not_of(" \t\r\n") + 1));
    text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
    if (text == description_of_git) {
        return {};
    }
    return escape_line(text);
}

std::string escape_line(std::string_view text) {
    std::string line;
    for (const char c : text) {
        if (is_control(c) || c == '%') {
            line += '%' + to_hex(std::string(1, c));
        } else {
            line += c;
        }
    }
    return line;
}

std::string unescape_line(std::string_view line) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
        const auto byte = line[i] == '%' ? from_hex(line.substr(i + 1, 2)) : std::nullopt;
        text += byte && byte->size() == 1 ? byte->front() : line[i];
        i += byte && byte->size() == 1 ? 2 : 0;
    }
    return text;
}

bool is_valid_value(std::string_view name, const RefValue& value, size_t oid_size) {
    if (value.absent()) {
        return true;
    }
    if (!value.oid.empty() && (value.is_symbolic() || !is_valid_oid(value.oid, oid_size))) {
        return false;
    }
    if (name == description_name) {
        return value.is_symbolic() &&
               encode_description(unescape_line(value.target)) == value.target;
    }
    if (name == pool_name) {
        return value.is_symbolic() && escape_line(unescape_line(value.target)) == value.target;
    }
    if (name.starts_with(shallow_prefix)) {
        return name.substr(shallow_prefix.size()) == to_hex(value.oid);
    }
    return is_valid_ref_name(name) && (!value.is_symbolic() || is_valid_ref_name(value.target));
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
