#include "apps/antipoded/cut.hpp"

#include <vector>

#include <spdlog/spdlog.h>

#include "adapters/postgres/handover.hpp"
#include "base/error.hpp"
#include "failover/durable.hpp"
#include "primary/bulk.hpp"
#include "primary/database/bodies.hpp"

namespace antipode {
namespace {

constexpr size_t batch = 1000;

std::filesystem::path file_of(const Config& config) {
    return config.state_dir / "cut.db";
}

/// nullptr: there is none of that epoch.
std::shared_ptr<primary::Inventory> open_cut(const Config& config, uint64_t epoch) {
    if (!std::filesystem::exists(file_of(config))) {
        return nullptr;
    }
    auto cut = std::make_shared<primary::Inventory>(file_of(config));
    return cut->recorded_through().epoch == epoch ? cut : nullptr;
}

/// This site serves without it. The file stays: the error may pass.
void log_unusable(const Error& error) {
    spdlog::error("what this site had when it was promoted cannot be read: {}", error.what());
}

void copy(const StoreId& store, const primary::Inventory& from, primary::Inventory& to) {
    std::vector<primary::Inventory::Record> records;
    const auto write = [&] {
        to.record(records);
        records.clear();
    };
    from.for_each(store, [&](const std::string& item, const primary::Published& published) {
        records.push_back({store, item, published, Position{}});
        if (records.size() >= batch) {
            write();
        }
        return true;
    });
    write();
}

}  // namespace

void keep_cut(const Config& config, const v1::EpochRecord& record,
              const primary::Inventory& inventory) {
    drop_cut(config);
    primary::Inventory cut(file_of(config));
    for (const StoreId& store : config.stores()) {
        copy(store, inventory, cut);
    }
    for (const Config::Database& store : config.databases) {
        const StoreId id{StoreKind::Database, store.name};
        const Lsn applied = postgres::applied_through(
            store.url,
            "antipode " + config.cluster + " " + config.site + " " + store.name + " apply", id);
        const primary::Inventory::Record place{
            id, applied_item, {"applied", {lsn_algorithm, applied.to_string()}}, Position{}};
        cut.record({&place, 1});
    }
    // Last: what is half kept is of no epoch.
    cut.set_recorded_through({record.epoch(), 0, 0});
}

std::shared_ptr<primary::Inventory> kept_cut(const Config& config, uint64_t epoch) try {
    if (auto cut = open_cut(config, epoch)) {
        return cut;
    }
    drop_cut(config);
    return nullptr;
} catch (const Error& error) {
    log_unusable(error);
    return nullptr;
}

void drop_cut(const Config& config, uint64_t epoch) try {
    if (open_cut(config, epoch)) {
        drop_cut(config);
    }
} catch (const Error& error) {
    log_unusable(error);
}

void drop_cut(const Config& config) {
    remove_inventory(file_of(config));
}

void remove_inventory(const std::filesystem::path& file) {
    // In this order: a log that was left would be taken for that of the next one.
    for (const char* part : {"-wal", "-shm", ""}) {
        const std::filesystem::path name = file.string() + part;
        if (std::filesystem::exists(name)) {
            failover::remove_durably(name);
        }
    }
}

std::unique_ptr<BulkBody> CutBulk::open(const BulkRequest& request) {
    if (request.path == store_.to_string() + "/cut") {
        return cut_ ? primary::ItemBulk(store_, *cut_, nullptr)
                          .open({store_.to_string() + "/inventory", {}})
                    : nullptr;
    }
    return request.path == store_.to_string() + "/cut-state" ? state_of(request)
                                                             : rest_->open(request);
}

std::unique_ptr<BulkBody> CutBulk::state_of(const BulkRequest& request) const {
    const auto name = request.parameter("item");
    const auto item = name ? from_hex(*name) : std::nullopt;
    const auto known = item && cut_ ? cut_->find(store_, *item) : std::nullopt;
    return known ? std::make_unique<primary::TextBody>(known->state, primary::Headers{}) : nullptr;
}

}  // namespace antipode
