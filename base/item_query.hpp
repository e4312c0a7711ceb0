#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace antipode {

/// Which items of a store are to be listed, in the order of their names' bytes.
struct ItemQuery {
    enum class Only {
        All,
        Failed,     ///< that are not as they should be, for whatever reason
        Differing,  ///< of these: what is here is not what it should be
    };
    std::optional<std::string> item{};  ///< this one alone
    std::string prefix{};               ///< of the names
    Only only = Only::All;
    std::optional<std::string> after{};  ///< behind this name
    size_t most = 100;
};

/// The names that a query is about, as a range of bytes: from `from` on (with or without it), up to
/// and without `end`.
struct NameRange {
    std::string from;
    bool from_included = true;
    std::optional<std::string> end;  ///< nullopt: to the last one
};
inline NameRange range_of(const ItemQuery& query) {
    if (query.item) {
        return {*query.item, true, *query.item + '\0'};
    }
    NameRange range{query.prefix, true, query.prefix};
    while (!range.end->empty() && range.end->back() == '\xff') {
        range.end->pop_back();
    }
    if (range.end->empty()) {
        range.end.reset();
    } else {
        range.end->back() = static_cast<char>(range.end->back() + 1);
    }
    if (query.after && *query.after >= range.from) {
        range.from = *query.after;
        range.from_included = false;
    }
    return range;
}

}  // namespace antipode
