#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace antipode {

/// Whose files are.
struct FileOwner {
    uint32_t user = 0;
    uint32_t group = 0;
    bool operator==(const FileOwner&) const = default;
};

/// "user" or "user:group", names or numbers; without a group it is the user's own. Looks into the
/// system's users and groups. A text: why it is no owner, for people.
std::variant<FileOwner, std::string> find_owner(const std::string& text);

/// Permission bits in octal, "0660"; nullopt: they are none.
std::optional<unsigned> parse_mode(std::string_view text);

}  // namespace antipode
