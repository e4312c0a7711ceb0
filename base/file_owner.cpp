#include "base/file_owner.hpp"

#include <charconv>
#include <vector>

#include <grp.h>
#include <pwd.h>

namespace antipode {
namespace {

constexpr size_t entry_bytes = 64 * 1024;

template <typename Number>
std::optional<Number> parse_number(std::string_view text, int base) {
    Number number = 0;
    const auto [rest, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, base);
    return error == std::errc() && rest == text.data() + text.size() ? std::optional(number)
                                                                     : std::nullopt;
}

/// By name, else by number.
std::optional<passwd> find_user(const std::string& text, std::vector<char>& buffer) {
    passwd entry{};
    passwd* found = nullptr;
    getpwnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found);
    const auto number = parse_number<uint32_t>(text, 10);
    if (found == nullptr && number) {
        getpwuid_r(*number, &entry, buffer.data(), buffer.size(), &found);
    }
    return found == nullptr ? std::nullopt : std::optional(entry);
}

std::optional<uint32_t> find_group(const std::string& text) {
    std::vector<char> buffer(entry_bytes);
    group entry{};
    group* found = nullptr;
    getgrnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found);
    return found == nullptr ? parse_number<uint32_t>(text, 10) : std::optional(entry.gr_gid);
}

}  // namespace

std::variant<FileOwner, std::string> find_owner(const std::string& text) {
    const size_t colon = text.find(':');
    const std::string user = text.substr(0, colon);
    std::vector<char> buffer(entry_bytes);
    const auto entry = find_user(user, buffer);
    const auto number =
        entry ? std::optional<uint32_t>(entry->pw_uid) : parse_number<uint32_t>(user, 10);
    if (!number) {
        return "there is no user \"" + user + "\"";
    }
    if (colon == std::string::npos) {
        return entry ? std::variant<FileOwner, std::string>(FileOwner{*number, entry->pw_gid})
                     : "user " + user + " has no entry, and so no group of its own: USER:GROUP";
    }
    const std::string group = text.substr(colon + 1);
    const auto group_number = find_group(group);
    return group_number ? std::variant<FileOwner, std::string>(FileOwner{*number, *group_number})
                        : "there is no group \"" + group + "\"";
}

std::optional<unsigned> parse_mode(std::string_view text) {
    const auto mode = parse_number<unsigned>(text, 8);
    return mode && *mode <= 0777 ? mode : std::nullopt;
}

}  // namespace antipode
