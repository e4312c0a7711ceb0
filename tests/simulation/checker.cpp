#include "tests/simulation/checker.hpp"

#include <algorithm>

#include "tests/simulation/broker.hpp"

namespace antipode::simulation {

std::optional<std::string> Checker::check_visible() const {
    for (const auto& [id, row] : replica_.rows) {
        if (auto wrong = check_row(id, row)) {
            return wrong;
        }
    }
    return std::nullopt;
}

std::optional<std::string> Checker::check_row(uint64_t id, const Row& row) const {
    const std::string names = "row " + std::to_string(id) + " names ";
    if (!has_blob(row) && !replica_.spoilt_unheard.contains(row.blob) &&
        !excuses_.is_exception(blobs_id, row.blob)) {
        return names + "blob " + row.blob + " of change " + std::to_string(row.blob_change) +
               ", which is not there";
    }
    if (excuses_.repositories_are_watched && !has_commit(row) &&
        !excuses_.is_exception(repositories_id, row.repository)) {
        return names + "commit " + row.commit + " in " + row.repository + ", which is not there";
    }
    return std::nullopt;
}

bool Checker::has_blob(const Row& row) const {
    const auto here = replica_.blobs.find(row.blob);
    if (here != replica_.blobs.end() && change_of(here->second) >= row.blob_change) {
        return true;
    }
    const auto there = service_.blobs.find(row.blob);
    if (there != service_.blobs.end() && change_of(there->second) == row.blob_change) {
        return false;
    }
    const auto& history = service_.history(blobs_id, row.blob);
    const auto state = std::find_if(history.begin(), history.end(), [&](const auto& entry) {
        return entry.change == row.blob_change;
    });
    if (state != history.end() && std::next(state) != history.end() &&
        std::next(state)->at < rows_were_so_until()) {
        return true;  // when the rows were so on the primary, it had lost the blob itself
    }
    return state != history.end() && !excuses_.is_available(version_of_blob(state->digest.value));
}

TimePoint Checker::rows_were_so_until() const {
    for (const Service::Transaction& transaction : service_.log) {
        if (transaction.end > replica_.position.lsn) {
            return transaction.at;
        }
    }
    return TimePoint::max();
}

bool Checker::has_commit(const Row& row) const {
    const auto here = replica_.repositories.find(row.repository);
    if (here != replica_.repositories.end() && here->second.objects.contains(row.commit)) {
        return true;
    }
    const auto there = service_.repositories.find(row.repository);
    const bool still_there =
        there != service_.repositories.end() &&
        reachable(there->second.refs, there->second.objects).contains(row.commit);
    const auto vanished = service_.commit_vanished(row.repository, row.commit);
    if (vanished && *vanished < rows_were_so_until()) {
        return true;  // as above
    }
    return !still_there && !excuses_.is_available(row.commit);
}

std::optional<std::string> Checker::check_recovery_point(TimePoint point) const {
    for (const Service::Transaction& transaction : service_.log) {
        if (transaction.at <= point && transaction.end > replica_.position.lsn) {
            return "the recovery point passed transaction " +
                   std::to_string(transaction.end.value) + ", which is not applied";
        }
    }
    if (auto wrong = check_items(blobs_id, point)) {
        return wrong;
    }
    return check_items(repositories_id, point);
}

std::optional<std::string> Checker::check_items(const StoreId& store, TimePoint point) const {
    for (const auto& [item, history] : service_.histories(store)) {
        const auto later = std::upper_bound(
            history.begin(), history.end(), point,
            [](TimePoint time, const Service::State& state) { return time < state.at; });
        if (later == history.begin() || excuses_.is_exception(store, item)) {
            continue;
        }
        const Digest here = digest_here(store, item);
        const bool reached =
            std::any_of(std::prev(later), history.end(),
                        [&](const Service::State& state) { return state.digest == here; });
        if (!reached) {
            return "the recovery point passed change " + std::to_string(std::prev(later)->change) +
                   " of " + store.to_string() + " " + item + ", which is not here";
        }
    }
    return std::nullopt;
}

Digest Checker::digest_here(const StoreId& store, const std::string& item) const {
    if (store == blobs_id) {
        const auto found = replica_.blobs.find(item);
        return found == replica_.blobs.end() ? Digest{} : digest_of_blob(found->second);
    }
    const auto found = replica_.repositories.find(item);
    return found == replica_.repositories.end() ? Digest{} : digest_of(found->second.refs);
}

std::optional<std::string> Checker::check_equal() const {
    std::vector<Lsn> ends;
    for (const Service::Transaction& transaction : service_.log) {
        ends.push_back(transaction.end);
    }
    if (ends != replica_.transactions) {
        return std::to_string(replica_.transactions.size()) + " transactions were applied of " +
               std::to_string(ends.size()) + ", or not in their order";
    }
    if (service_.rows != replica_.rows) {
        return "the rows differ";
    }
    if (service_.blobs != replica_.blobs) {
        return "the blobs differ";
    }
    if (service_.repositories.size() != replica_.repositories.size()) {
        return "the repositories differ";
    }
    for (const auto& [name, repository] : service_.repositories) {
        const auto here = replica_.repositories.find(name);
        bool missing = false;
        if (here == replica_.repositories.end() || here->second.refs != repository.refs) {
            return "repository " + name + " differs";
        }
        reachable(here->second.refs, here->second.objects, &missing);
        if (missing) {
            return "repository " + name + " lacks objects";
        }
    }
    return std::nullopt;
}

}  // namespace antipode::simulation
