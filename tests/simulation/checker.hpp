#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/simulation/replica.hpp"
#include "tests/simulation/service.hpp"

namespace antipode::simulation {

/// Says what is wrong on the secondary, measured against all that ever happened on the primary;
/// nullopt: nothing. It knows nothing of how the daemons work.
class Checker {
  public:
    /// What the secondary says of itself, and what was there to be had.
    struct Excuses {
        /// A recorded exception: parked, or waited for too long.
        std::function<bool(const StoreId&, const std::string& item)> is_exception;
        /// A version (a commit, or version_of_blob()) that came to the secondary, or still can. One
        /// that was overwritten or removed before it was read, or whose event was lost, cannot.
        std::function<bool(const std::string& version)> is_available;
        /// False: nothing tells the primary of changes in repositories (no hooks), so it finds them
        /// too late for the rows that name them.
        bool repositories_are_watched = true;
    };
    Checker(const Service& service, const Replica& replica, Excuses excuses)
        : service_(service), replica_(replica), excuses_(std::move(excuses)) {}

    /// No visible row names what is not there.
    std::optional<std::string> check_visible() const;
    /// Everything until `point` is visible.
    std::optional<std::string> check_recovery_point(TimePoint point) const;
    /// Both sites are equal, and every transaction was applied once and in order.
    std::optional<std::string> check_equal() const;

  private:
    std::optional<std::string> check_row(uint64_t id, const Row& row) const;
    /// When the primary's rows were last as they are here.
    TimePoint rows_were_so_until() const;
    bool has_blob(const Row& row) const;
    bool has_commit(const Row& row) const;
    std::optional<std::string> check_items(const StoreId& store, TimePoint point) const;
    Digest digest_here(const StoreId& store, const std::string& item) const;

    const Service& service_;
    const Replica& replica_;
    Excuses excuses_;
};

}  // namespace antipode::simulation
