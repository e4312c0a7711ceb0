#include "adapters/postgres/script_order.hpp"

#include <string_view>

namespace antipode::postgres {
namespace {

constexpr std::string_view mark = "--\n-- Name: ";

/// Where the next entry begins at or behind `from`; the end when there is none.
size_t next_entry(std::string_view script, size_t from) {
    while (true) {
        const size_t at = script.find(mark, from);
        if (at == std::string_view::npos) {
            return script.size();
        }
        if (at == 0 || script[at - 1] == '\n') {
            return at;
        }
        from = at + 1;
    }
}

struct Entry {
    std::string_view name;
    std::string_view type;
};

Entry entry_of(std::string_view text) {
    constexpr std::string_view type_mark = "; Type: ";
    const std::string_view rest = text.substr(mark.size());
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const size_t type_at = line.rfind(type_mark);
    if (type_at == std::string_view::npos) {
        return {line, {}};
    }
    const std::string_view type = line.substr(type_at + type_mark.size());
    return {line.substr(0, type_at), type.substr(0, type.find(';'))};
}

}  // namespace

std::string for_unprivileged(const std::string& script) {
    const std::string_view all = script;
    const size_t first = next_entry(all, 0);
    std::string front(all.substr(0, first));  // settings, then schemas
    std::string rights;
    std::string rest;
    for (size_t begin = first; begin < all.size();) {
        const size_t end = next_entry(all, begin + 1);
        const std::string_view text = all.substr(begin, end - begin);
        const Entry entry = entry_of(text);
        if (entry.type == "SCHEMA") {
            front += text;
        } else if (entry.type == "ACL" && entry.name.starts_with("SCHEMA ")) {
            rights += text;
        } else if (entry.type != "COMMENT" || !entry.name.starts_with("EXTENSION ")) {
            rest += text;
        }
        begin = end;
    }
    return front + rights + rest;
}

}  // namespace antipode::postgres
