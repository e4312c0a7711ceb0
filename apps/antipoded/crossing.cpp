#include "apps/antipoded/crossing.hpp"

#include <map>

#include <spdlog/spdlog.h>

#include "adapters/http/client.hpp"
#include "adapters/postgres/handover.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "failover/handover.hpp"
#include "failover/lost_items.hpp"

namespace antipode {
namespace {

constexpr const char* nothing_to_compare = "it has everything from before";
constexpr const char* to_be_compared = "to be compared:";

StoreId id_of(const Config::Database& store) {
    return {StoreKind::Database, store.name};
}

void add(std::string& text, const std::string& found) {
    text += (text.empty() || found.empty() ? "" : "; ") + found;
}

std::string apply_name(const Config& config, const Config::Database& store) {
    return "antipode " + config.cluster + " " + config.site + " " + store.name + " apply";
}

}  // namespace

const v1::LaneCut& Crossing::end_of(const StoreId& store) const {
    if (const v1::LaneCut* const cut = failover::find_cut(ended_.cuts(), store)) {
        return *cut;
    }
    throw Error(Reaction::Stop,
                record_.primary() + " does not say where " + store.to_string() + " has ended",
                "configure the same stores on all sites");
}

const v1::LaneCut& Crossing::start_of(const StoreId& store) const {
    const v1::LaneCut* const start = failover::find_cut(record_.starts(), store);
    if (start == nullptr || (store.kind == StoreKind::Database && start->lsn() == 0)) {
        throw Error(Reaction::Stop,
                    "the epoch record does not say where " + store.to_string() + " begins on " +
                        record_.primary(),
                    "configure the same stores on all sites");
    }
    return *start;
}

std::string Crossing::rows_beyond() const {
    std::string text;
    for (const Config::Database& database : config_.databases) {
        const StoreId store = id_of(database);
        const Position end = failover::position_of(end_of(store));
        const std::string name =
            "antipode " + config_.cluster + " " + config_.site + " " + database.name + " crossing";
        // The session that applies goes on: this one only reads.
        if (!handed_over() && postgres::replica_position(database.url, name, store) > end) {
            add(text, "transactions of " + store.to_string());
        }
    }
    return text;
}

/// What the new primary had of an item then it may have applied out of turn, behind the end.
std::string Crossing::items_beyond(const secondary::Registry& registry, const StoreId& store,
                                   const Position& end, const std::stop_token& stop) const {
    std::map<std::string, Digest> later;
    registry.for_each(store, [&](const std::string& item, const secondary::ItemState& state) {
        if (state.position > end) {
            later.emplace(item, state.digest);
        }
    });
    // Of an epoch before the last one nobody has kept it.
    if (!later.empty() && record_.epoch() == ended_.epoch()) {
        http::HttpBulkSource bulk(
            {.url = config_.find_site(record_.primary())->http,
             .token = read_token(config_),
             .limit = std::make_shared<http::RateLimit>(config_.tuning.bulk_bytes_per_second)});
        failover::CutSource(bulk, stop)
            .for_each(store, [&](const std::string& item, const Digest& digest) {
                const auto found = later.find(item);
                if (found != later.end() && found->second == digest) {
                    later.erase(found);
                }
            });
    }
    return later.empty() ? std::string()
                         : counted(later.size(), "item", "items") + " of " + store.to_string() +
                               ", for one " + printable(later.begin()->first);
}

std::string Crossing::beyond(const secondary::Registry& registry,
                             const std::stop_token& stop) const {
    if (handed_over()) {
        return {};  // it had everything
    }
    std::string text = rows_beyond();
    for (const StoreId& store : config_.stores()) {
        if (store.kind != StoreKind::Database) {
            const Position end = failover::position_of(end_of(store));
            add(text, items_beyond(registry, store, end, stop));
        }
    }
    return text.empty() ? text : "this site has what " + record_.primary() + " never got: " + text;
}

std::set<StoreId> Crossing::incomplete(const SecondaryHalf& half) const {
    std::set<StoreId> stores;
    for (const auto& lane : half.lanes()) {
        const bool ended = handed_over()
                               ? lane.order.finished >= failover::position_of(end_of(lane.store))
                               : half.has_ended(lane.store);
        if (!ended || lane.copying || lane.gap) {
            stores.insert(lane.store);
        }
    }
    return stores;
}

std::set<StoreId> Crossing::all() const {
    const auto stores = config_.stores();
    return {stores.begin(), stores.end()};
}

std::string Crossing::name_of_end() const {
    return " (where epoch " + std::to_string(ended_.epoch()) + " begins)";
}

std::string Crossing::to_text(const std::set<StoreId>& to_compare) const {
    if (to_compare.empty()) {
        return std::string(nothing_to_compare) + name_of_end();
    }
    std::string text = to_be_compared;
    for (const StoreId& store : to_compare) {
        text += " " + store.to_string();
    }
    return text + name_of_end();
}

void Crossing::cross(const std::string& text) const {
    // Another epoch may have begun since it was written, and the one before have another end.
    const bool joins = record_.epoch() == ended_.epoch() && text.ends_with(name_of_end()) &&
                       (text.starts_with(nothing_to_compare) || text.starts_with(to_be_compared));
    const auto compares = [&](const StoreId& store) {
        return !joins || (text + " ").find(" " + store.to_string() + " ") != std::string::npos;
    };
    secondary::Registry registry(config_.state_dir / "registry.db", clock_);
    for (const StoreId& store : config_.stores()) {
        if (store.kind != StoreKind::Database) {
            // Which items a site has that was promoted on somebody's word is cheap to compare.
            cross_items(registry, store, compares(store) || !handed_over());
        }
    }
    for (const Config::Database& store : config_.databases) {
        cross_database(registry, store, compares(id_of(store)));
    }
}

void Crossing::cross_items(secondary::Registry& registry, const StoreId& store,
                           bool compare) const {
    const Position end = failover::position_of(compare ? start_of(store) : end_of(store));
    registry.set_lane(store, {end, end});
    if (compare) {
        registry.set_gap(store, end, clock_.now());
    }
}

void Crossing::cross_database(secondary::Registry& registry, const Config::Database& store,
                              bool compare) const {
    const StoreId id = id_of(store);
    const std::string name = apply_name(config_, store);
    const auto here = postgres::replica_state(store.url, name, id);
    switch (here.phase) {
        case CopyPhase::None:
            break;  // it will be copied from the new primary
        case CopyPhase::Tables:
            throw Error(Reaction::Stop,
                        id.to_string() + " was still being copied when the primary changed",
                        "stop antipoded here, empty this database alone (DROP DATABASE, CREATE "
                        "DATABASE), and start it");
        case CopyPhase::Compare:
        case CopyPhase::Finish:
            compare = true;
            break;
        case CopyPhase::Complete:
            compare = compare || !here.awaited.empty() || !here.to_repair.empty();
            break;
    }
    const Position start = failover::position_of(start_of(id));
    if (here.phase != CopyPhase::None && compare) {
        postgres::compare_from(store.url, name, id, start);
    } else if (here.phase != CopyPhase::None) {
        postgres::stand_at(store.url, name, id, failover::position_of(end_of(id)),
                           Lsn{start_of(id).lsn()});
    }
    const bool whole = here.phase != CopyPhase::None && !compare;
    if (!whole) {
        secondary::await_copy(registry, id);
    }
    const Position position = whole ? failover::position_of(end_of(id)) : start;
    registry.set_lane(id, {position, position});
    // What it lacked is compared now.
    if (const auto gap = registry.gap(id)) {
        registry.mend_gap(id, gap->at);
    }
}

}  // namespace antipode
