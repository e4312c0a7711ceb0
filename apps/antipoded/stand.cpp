#include "apps/antipoded/stand.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "adapters/nats/jetstream.hpp"
#include "adapters/postgres/handover.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "base/error.hpp"
#include "failover/durable.hpp"
#include "failover/handover.hpp"
#include "failover/loss.hpp"
#include "primary/inventory.hpp"
#include "protocol/stream_search.hpp"
#include "secondary/registry.hpp"

namespace antipode {
namespace {

std::string apply_name(const Config& config, const Config::Database& store) {
    return "antipode " + config.cluster + " " + config.site + " " + store.name + " apply";
}

Position newest_in_stream(const Config& config, uint64_t epoch) {
    try {
        nats::JetStream stream(stream_of(config, config.site, epoch, "stand"));
        const auto newest = protocol::find_newest(stream, config.cluster, epoch, stream.info());
        return newest ? newest->position : Position{};
    } catch (const Error& error) {
        // A broker may have lost it; the inventory says it, too.
        spdlog::warn("this site's stream of epoch {} cannot be read: {}", epoch, error.what());
        return {};
    }
}

/// Of a primary that was fenced: one behind everything that it has published. What it had not
/// published yet is here all the same, and nobody else has it: so nobody is to join there without
/// comparing.
failover::Cuts behind_everything(const Config& config, uint64_t epoch) {
    const primary::Inventory inventory(config.state_dir / "inventory.db");
    Position last = std::max(
        {inventory.recorded_through(), newest_in_stream(config, epoch), Position{epoch, 0, 0}});
    failover::Cuts cuts;
    for (const StoreId& store : config.stores()) {
        v1::LaneCut& cut = *cuts.Add();
        cut.set_store(store.to_string());
        cut.set_epoch(last.epoch);
        cut.set_session(last.session);
        cut.set_number(last.number + 1);
    }
    return cuts;
}

failover::Cuts where_it_was_applied(const Config& config, const Clock& clock) {
    const secondary::Registry registry(config.state_dir / "registry.db", clock);
    failover::Cuts cuts;
    const auto add = [&](const StoreId& store, const Position& position, Lsn lsn) {
        v1::LaneCut& cut = *cuts.Add();
        cut.set_store(store.to_string());
        cut.set_epoch(position.epoch);
        cut.set_session(position.session);
        cut.set_number(position.number);
        cut.set_lsn(lsn.value);
    };
    for (const Config::Database& store : config.databases) {
        const StoreId id{StoreKind::Database, store.name};
        const auto here = postgres::replica_state(store.url, apply_name(config, store), id);
        if (here.phase != CopyPhase::Complete) {
            throw Error(Reaction::Stop, id.to_string() + " is not whole on this site",
                        "promote another site");
        }
        add(id, here.position, here.lsn);
    }
    for (const StoreId& store : config.stores()) {
        if (store.kind != StoreKind::Database) {
            add(store, registry.lane(store).finished, {});
        }
    }
    return cuts;
}

void write_loss_report(const Config& config, const v1::EpochRecord& record,
                       const failover::Hands::Stand& stand, const failover::Cuts& cuts,
                       const Clock& clock) {
    failover::LossReport report;
    report.cluster = config.cluster;
    report.operation = record.operation_id();
    report.old_primary = stand.displaced;
    report.new_primary = config.site;
    report.epoch = record.epoch();
    report.fenced_by = record.fenced_by();
    report.at = clock.now();
    for (const v1::LaneCut& cut : cuts) {
        const auto store = StoreId::parse(cut.store());
        if (!store) {
            throw Error(Reaction::Stop, "\"" + cut.store() + "\" is no store",
                        "configure the same stores on all sites");
        }
        // Who was handed over to wrote nothing before that; of others nobody here knows when.
        report.lanes.push_back(
            {*store, failover::position_of(cut), Lsn{cut.lsn()},
             stand.handoff.empty() ? std::nullopt : std::optional(stand.ended_at)});
    }
    LossReports::write(config, record.operation_id(), report.to_json());
}

void sync_root(const std::filesystem::path& root) {
    std::error_code ignored;  // what cannot be looked at cannot be synced, which says why
    if (std::filesystem::status(root, ignored).type() != std::filesystem::file_type::not_found) {
        failover::sync_file_system(root);
    }
}

}  // namespace

void sync_roots(const Config& config) {
    for (const Config::Repositories& store : config.repositories) {
        sync_root(store.root);
    }
    for (const Config::Blobs& store : config.blobs) {
        if (!store.bucket) {
            sync_root(store.root);
        }
    }
}

failover::Cuts end_where_it_stands(const Config& config, const v1::EpochRecord& record,
                                   const failover::Hands::Stand& stand, const Clock& clock) {
    failover::Cuts cuts = stand.handoff;
    if (cuts.empty()) {
        cuts = stand.form == failover::Form::Primary ? behind_everything(config, stand.epoch)
                                                     : where_it_was_applied(config, clock);
    }
    write_loss_report(config, record, stand, cuts, clock);
    return cuts;
}

void stand_as_secondary(const Config& config, const v1::EpochRecord& record, failover::Form form,
                        const Clock& clock) {
    if (form == failover::Form::Primary) {
        sync_roots(config);
        const primary::Inventory inventory(config.state_dir / "inventory.db");
        secondary::Registry registry(config.state_dir / "registry.db", clock);
        failover::seed_registry(inventory, config.stores(), record.cuts(), registry);
    }
    for (const Config::Database& store : config.databases) {
        const StoreId id{StoreKind::Database, store.name};
        const v1::LaneCut* const cut = failover::find_cut(record.cuts(), id);
        if (cut == nullptr) {
            throw Error(Reaction::Stop,
                        "the epoch record does not say where " + id.to_string() + " ends",
                        "configure the same stores on all sites");
        }
        postgres::stand_at(store.url, apply_name(config, store), id, failover::position_of(*cut),
                           Lsn{});
    }
}

}  // namespace antipode
