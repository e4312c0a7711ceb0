#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace antipode {

enum class StoreKind { Database, Repositories, Blobs };

/// "database", "repositories", "blobs".
std::string_view to_string(StoreKind kind);

/// One thing to replicate. Its id is equal on all sites; it is written "database/app". A lane is
/// the ordered flow of one store's events, so a StoreId names a lane too.
struct StoreId {
    StoreKind kind = StoreKind::Database;
    std::string name;

    auto operator<=>(const StoreId&) const = default;
    std::string to_string() const;
    /// nullopt unless it is "<kind>/<name>" with a valid name.
    static std::optional<StoreId> parse(std::string_view text);
};

/// Clusters, sites and stores are named by [a-z0-9][a-z0-9_-]{0,31}: safe in subjects, file names,
/// URLs.
bool is_valid_name(std::string_view name);

/// Where an event stands in the cluster's one order. `epoch` is the number of the primaryship,
/// `session` one run of one publisher (later runs are greater), `number` is gapless in the session
/// and starts at 1. The default value is "before everything".
struct Position {
    uint64_t epoch = 0;
    uint64_t session = 0;
    uint64_t number = 0;

    auto operator<=>(const Position&) const = default;
    bool is_origin() const { return *this == Position{}; }
    /// "epoch.session.number"
    std::string to_string() const;
    static std::optional<Position> parse(std::string_view text);
};

/// A place in PostgreSQL's write-ahead log, written "16/B374D848". 0 is invalid, as in PostgreSQL.
struct Lsn {
    uint64_t value = 0;

    auto operator<=>(const Lsn&) const = default;
    explicit operator bool() const { return value != 0; }
    std::string to_string() const;
    static std::optional<Lsn> parse(std::string_view text);
};

}  // namespace antipode

template <>
struct std::hash<antipode::StoreId> {
    size_t operator()(const antipode::StoreId& id) const noexcept {
        return std::hash<std::string>()(id.name) * 3 + static_cast<size_t>(id.kind);
    }
};
