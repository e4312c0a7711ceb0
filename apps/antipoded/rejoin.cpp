#include "apps/antipoded/rejoin.hpp"

#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "adapters/nats/jetstream.hpp"
#include "adapters/postgres/change_source.hpp"
#include "adapters/postgres/handover.hpp"
#include "adapters/postgres/source_control.hpp"
#include "apps/antipoded/cut.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "apps/antipoded/stand.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "base/worker.hpp"
#include "failover/epoch.hpp"
#include "failover/handover.hpp"
#include "protocol/message.hpp"
#include "protocol/stream_search.hpp"
#include "secondary/registry.hpp"

namespace antipode {
namespace {

/// In here(), of a database: every commit up to this LSN was looked at.
constexpr const char* kept_item = "kept";

std::filesystem::path file_of(const Config& config) {
    return config.state_dir / "rejoin.db";
}

StoreId id_of(const Config::Database& store) {
    return {StoreKind::Database, store.name};
}

std::string name_of(const Config& config, const Config::Database& store, const char* purpose) {
    return "antipode " + config.cluster + " " + config.site + " " + store.name + " " + purpose;
}

const Config::Site& site_of(const Config& config, const std::string& name) {
    const Config::Site* const site = config.find_site(name);
    if (site == nullptr) {
        throw Error(Reaction::Stop, "the configuration does not know the primary \"" + name + "\"",
                    "add a [[sites]] entry for it");
    }
    return *site;
}

std::vector<StoreId> item_stores(const Config& config) {
    std::vector<StoreId> stores = config.stores();
    std::erase_if(stores, [](const StoreId& id) { return id.kind == StoreKind::Database; });
    return stores;
}

/// An earlier way back may have begun to overwrite what they hold. Empty: there is none.
std::string whole_quarantines(const Config& config) {
    std::string text;
    std::error_code none;
    for (const auto& entry :
         std::filesystem::directory_iterator(config.state_dir / "quarantine", none)) {
        if (std::filesystem::exists(failover::Quarantine::manifest_of(entry.path()))) {
            text += (text.empty() ? "; what only this site had before is whole in " : ", ") +
                    printable(entry.path().native());
        }
    }
    return text;
}

/// Empty: it names none, or no name of a file.
std::string operation_of(const nlohmann::json& report) {
    const std::string name = report.is_object() ? report.value("operation", "") : "";
    return is_valid_name(name) ? name : std::string();
}

std::string summary_of(const failover::FinalLoss::Counts& lost, const std::string& primary) {
    return "only this site has " + counted(lost.transactions, "transaction", "transactions") +
           ", " + counted(lost.refs, "ref", "refs") + " of " +
           counted(lost.repositories, "repository", "repositories") + ", " +
           counted(lost.files, "file", "files") + "; " +
           counted(lost.undone, "removal", "removals") + " never came to " + primary +
           (lost.unreadable == 0
                ? std::string()
                : "; " + std::to_string(lost.unreadable) + " could not be read and " +
                      (lost.unreadable == 1 ? "is" : "are") + " not kept");
}

/// So often items are read again that could not be.
constexpr std::chrono::seconds retry_interval(5);
/// So soon the operator's word is heard.
constexpr std::chrono::milliseconds word_interval(200);
constexpr size_t unreadable_shown = 5;

using ItemStores = std::vector<std::unique_ptr<failover::LostItems>>;

/// Empty: everything could be read.
std::string unreadable_in(const ItemStores& stores) {
    std::string text;
    size_t count = 0;
    for (const auto& store : stores) {
        for (const auto& [item, reason] : store->unreadable()) {
            if (++count <= unreadable_shown) {
                text += (text.empty() ? "" : "; ") + store->store().to_string() + " " +
                        printable(item) + ": " + reason;
            }
        }
    }
    return count == 0 ? std::string()
                      : std::to_string(count) + " cannot be read: " + text +
                            (count > unreadable_shown ? "; ..." : "");
}

std::string name_of_unreadable(const ItemStores& stores) {
    Sha256Stream name;
    for (const auto& store : stores) {
        for (const auto& [item, reason] : store->unreadable()) {
            name.update(store->store().to_string() + std::string(1, '\0') + item +
                        std::string(1, '\0'));
        }
    }
    return to_hex(name.finish());
}

/// False: not within `retry_interval`. A word for what was unreadable at another time is none.
bool hears_word(const QuarantineProgress& progress, const std::string& name,
                const std::stop_token& stop) {
    for (auto waited = word_interval; waited <= retry_interval; waited += word_interval) {
        if (progress.without.copy() == name) {
            return true;
        }
        if (sleep_unless_stopped(word_interval, stop)) {
            throw Stopped{};
        }
    }
    return false;
}

/// The other items are kept by now.
void await_unreadable(const ItemStores& stores, failover::Quarantine& quarantine,
                      QuarantineProgress& progress, const std::stop_token& stop) {
    const std::string name = name_of_unreadable(stores);
    for (std::string left = unreadable_in(stores); !left.empty(); left = unreadable_in(stores)) {
        progress.unreadable.with([&](auto& unreadable) { unreadable = {name, left}; });
        const bool without = hears_word(progress, name, stop);
        for (const auto& store : stores) {
            store->retry(quarantine, stop);
            if (without) {
                store->give_up(quarantine, stop);
            }
        }
    }
    progress.unreadable.with([](auto& unreadable) { unreadable = {}; });
}

}  // namespace

Rejoin::Rejoin(const Config& config, const v1::EpochRecord& record, failover::Form form,
               const Clock& clock)
    : config_(config),
      record_(record),
      form_(form),
      clock_(clock),
      bulk_({.url = site_of(config, record.primary()).http,
             .token = read_token(config),
             .limit = std::make_shared<http::RateLimit>(config.tuning.bulk_bytes_per_second)}) {}

std::shared_ptr<primary::Inventory> Rejoin::here() const {
    return std::make_shared<primary::Inventory>(file_of(config_));
}

void Rejoin::forget(const Config& config) {
    remove_inventory(file_of(config));
}

/// Also the proof that it is this site whose epoch was ended. By the epoch: what the record names
/// may be an operation that was asked for since.
Rejoin::Report Rejoin::preliminary_report() {
    const std::string epoch = std::to_string(record_.epoch());
    const auto answer =
        http::http_get(site_of(config_, record_.primary()).http + "/v1/loss?epoch=" + epoch);
    const auto report = nlohmann::json::parse(answer.body, nullptr, false);
    const std::string operation = operation_of(report);
    if (answer.status != 200 || operation.empty()) {
        throw Error(Reaction::Retry,
                    record_.primary() + " does not give the loss report of epoch " + epoch,
                    "antipode status " + record_.primary());
    }
    const bool followed_before =
        was_secondary() &&
        (followed() + 1 == record_.epoch() || failover::newest_epoch(record_.cuts()) <= followed());
    if ((report.value("old_primary", "") != config_.site && !followed_before) ||
        report.value("epoch_ended", uint64_t{0}) + 1 != record_.epoch()) {
        throw Error(Reaction::Stop,
                    operation + " did not end this site's primaryship, but " +
                        printable(report.value("old_primary", "?")) + "'s" +
                        whole_quarantines(config_),
                    "keep a copy of what you need and empty this site "
                    "(docs/runbooks/old-primary.md)");
    }
    return {operation, answer.body};
}

bool Rejoin::was_secondary() const {
    return form_ == failover::Form::Secondary ||
           (form_ == failover::Form::Neither && followed() + 1 == record_.epoch());
}

uint64_t Rejoin::followed() const {
    const secondary::Registry registry(config_.state_dir / "registry.db", clock_);
    uint64_t epoch = 0;
    for (const StoreId& store : config_.stores()) {
        epoch = std::max(epoch, registry.lane(store).finished.epoch);
    }
    return epoch;
}

std::string Rejoin::quarantine(QuarantineProgress& progress, const std::stop_token& stop) {
    progress.unreadable.with([](auto& unreadable) { unreadable = {}; });
    const Report preliminary = preliminary_report();
    failover::CutSource cut(bulk_, stop);
    failover::Quarantine quarantine(config_.state_dir / "quarantine" / preliminary.operation);
    forget(config_);
    for (const Config::Database& store : config_.databases) {
        keep_rows(store, cut, quarantine, preliminary.text, stop);
    }
    keep_items(cut, quarantine, progress, stop);
    // Last, and durable with the quarantine: without it nobody knows what is in `here`.
    here()->set_recorded_through({record_.epoch(), 0, 0});
    const std::string report = quarantine.finish(preliminary.text, config_.site, clock_.now());
    LossReports::write(config_, preliminary.operation, report);
    return summary_of(quarantine.loss().counts, record_.primary());
}

void Rejoin::keep_rows(const Config::Database& store, failover::CutSource& cut,
                       failover::Quarantine& quarantine, const std::string& preliminary,
                       const std::stop_token& stop) {
    const StoreId id = id_of(store);
    std::optional<Lsn> applied;
    cut.for_each(id, [&](const std::string& item, const Digest& digest) {
        applied = item == applied_item ? Lsn::parse(digest.value) : applied;
    });
    const v1::LaneCut* const end = failover::find_cut(record_.cuts(), id);
    if (!applied || end == nullptr) {
        throw Error(Reaction::Stop,
                    record_.primary() + " does not say where " + id.to_string() + " ended",
                    "configure the same stores on all sites");
    }
    const std::string file = failover::kept_path(id, {});
    std::ofstream out = quarantine.create(file);
    std::set<std::string> found;
    const auto add = [&](const failover::Loss& loss) {
        found.emplace(failover::without_place(loss.item));
        quarantine.add(loss);
    };
    failover::LostRows rows(id, *applied, out, add);
    if (was_secondary()) {
        read_own_streams(id, failover::lost_parts(record_, id, {followed(), 0, 0}), out, add, stop);
    } else {
        keep_rows_from_before(id, out, add, stop);
        read_slot(store, *applied, *end, rows, stop);
        note_let_go(id, preliminary, found, quarantine);
    }
    failover::close(out, file);
    const primary::Inventory::Record kept{
        id, kept_item, {"kept", {lsn_algorithm, rows.through().to_string()}}, Position{}};
    here()->record({&kept, 1});
}

/// It has no slot: what came here is in its streams. What it had not itself written to one of them
/// nobody can tell any more once it is overwritten.
void Rejoin::read_own_streams(const StoreId& store, const std::vector<failover::LostPart>& parts,
                              std::ostream& out, const AddLoss& add, const std::stop_token& stop) {
    for (const failover::LostPart& part : parts) {
        const uint64_t epoch = part.after.epoch;
        nats::JetStream stream(stream_of(config_, config_.site, epoch, "rejoin"));
        if (!failover::has_part(stream, config_.cluster, part)) {
            throw Error(Reaction::Stop,
                        "this site's stream of epoch " + std::to_string(epoch) +
                            " does not hold all of " + store.to_string() + " that it had beyond " +
                            record_.primary() +
                            ": which transactions only this site has cannot be told",
                        "keep a copy of what you need and empty this site "
                        "(docs/runbooks/old-primary.md)");
        }
        failover::LostRows rows(store, part.applied, out, add);
        failover::add_from_stream(stream, config_.cluster, part.after, Lsn{UINT64_MAX}, store, rows,
                                  stop);
    }
}

Position Rejoin::began_at(const StoreId& store) const {
    const v1::EpochStart* const chosen = failover::start_of(record_, record_.epoch() - 1);
    if (chosen == nullptr) {
        return {};  // the first one
    }
    const v1::LaneCut* const start = failover::find_cut(chosen->cuts(), store);
    if (chosen->primary() == config_.site && start != nullptr) {
        return failover::position_of(*start);
    }
    return secondary::Registry(config_.state_dir / "registry.db", clock_).lane(store).finished;
}

void Rejoin::keep_rows_from_before(const StoreId& store, std::ostream& out, const AddLoss& add,
                                   const std::stop_token& stop) {
    const Position here = began_at(store);
    if (here.epoch == 0) {
        return;
    }
    auto parts = failover::lost_parts(record_, store, here);
    std::erase_if(parts, [](const auto& part) { return part.through <= part.after; });
    read_own_streams(store, parts, out, add, stop);
}

void Rejoin::read_slot(const Config::Database& store, Lsn applied, const v1::LaneCut& end,
                       failover::LostRows& rows, const std::stop_token& stop) {
    const StoreId id = id_of(store);
    read_rows(
        store, rows,
        [&](Lsn from) {
            // What the slot let go of was safe on the other site, though not applied: the streams
            // have it. One that has nothing of this site's log kept nothing of its stream.
            if (from > applied && applied) {
                const uint64_t ended = record_.epoch() - 1;
                const Position cut = std::max(failover::position_of(end), Position{ended, 0, 0});
                nats::JetStream stream(stream_of(config_, record_.primary(), ended, "rejoin"));
                failover::add_from_stream(stream, config_.cluster, cut, from, id, rows, stop);
            }
        },
        stop);
}

void Rejoin::read_rows(const Config::Database& store, failover::LostRows& rows,
                       const std::function<void(Lsn from)>& begins, const std::stop_token& stop) {
    postgres::SlotSource source({.url = store.url,
                                 .slot = store.slot,
                                 .publication = store.publication,
                                 .application_name = store.synchronous
                                                         ? store.standby_name()
                                                         : name_of(config_, store, "capture"),
                                 .spool_directory = config_.state_dir,
                                 .ahead = false});
    postgres::WalEnd log(store.url, name_of(config_, store, "wal"));
    failover::add_from_slot(
        source, [&] { return log.flushed_end(); }, begins, rows, stop);
}

/// Transactions that the other site has seen, and that neither the slot nor a stream gives any
/// more.
void Rejoin::note_let_go(const StoreId& store, const std::string& preliminary,
                         const std::set<std::string>& found,
                         failover::Quarantine& quarantine) const {
    const auto report = nlohmann::json::parse(preliminary, nullptr, false);
    // The other site's: any part of it may lack.
    const auto text_of = [](const nlohmann::json& loss, const char* key) {
        const auto text = loss.find(key);
        return text != loss.end() && text->is_string() ? text->get<std::string>() : std::string();
    };
    const auto losses = report.find("losses");
    for (const auto& said : losses == report.end() ? nlohmann::json::array() : *losses) {
        const std::string item = text_of(said, "item");
        if (text_of(said, "store") != store.to_string() || !item.starts_with("xid ") ||
            found.contains(std::string(failover::without_place(item)))) {
            continue;
        }
        failover::Loss loss;
        loss.kind = failover::Loss::Kind::LetGo;
        loss.store = store;
        loss.item = item;
        loss.reason = "neither the replication slot nor a stream has it any more";
        quarantine.add(loss);
    }
}

/// So that what has not changed need not be read.
std::unique_ptr<primary::Inventory> Rejoin::known_before(const PrimaryStores& stores) const {
    if (!was_secondary()) {
        return std::make_unique<primary::Inventory>(config_.state_dir / "inventory.db");
    }
    auto known = std::make_unique<primary::Inventory>(std::filesystem::path());
    const secondary::Registry registry(config_.state_dir / "registry.db", clock_);
    std::vector<primary::ItemCapture*> captures;
    for (const auto& store : stores.items) {
        captures.push_back(&store->capture());
    }
    failover::seed_inventory(registry, captures, {}, {}, *known);
    return known;
}

void Rejoin::keep_items(failover::CutSource& cut, failover::Quarantine& quarantine,
                        QuarantineProgress& progress, const std::stop_token& stop) {
    const auto here = this->here();
    const PrimaryStores stores = make_primary_stores(config_, here, clock_);
    const auto published = known_before(stores);
    ItemStores all;
    for (const auto& store : stores.items) {
        all.push_back(
            std::make_unique<failover::LostItems>(store->capture(), store->bulk(), *here, cut));
        all.back()->begin(*published);
        all.back()->run(quarantine, stop);
    }
    await_unreadable(all, quarantine, progress, stop);
    for (const auto& store : stores.items) {
        store->applied_everywhere(clock_.now());  // packs that were made for it
    }
}

std::optional<Lsn> Rejoin::kept_through(const Config::Database& store) const {
    const auto kept = here()->find(id_of(store), kept_item);
    return kept ? Lsn::parse(kept->digest.value) : std::nullopt;
}

bool Rejoin::remembers() const try {
    return std::filesystem::exists(file_of(config_)) &&
           here()->recorded_through().epoch == record_.epoch();
} catch (const Error& error) {
    spdlog::error("what was kept of this site cannot be read: {}", error.what());
    return false;
}

bool Rejoin::is_kept(const std::stop_token& stop) {
    if (!remembers()) {
        return false;
    }
    // Nobody writes to a secondary's database, and it has no slot that would tell.
    for (const Config::Database& store :
         was_secondary() ? std::vector<Config::Database>{} : config_.databases) {
        const std::optional<Lsn> through = kept_through(store);
        if (!through) {
            return false;
        }
        bool more = false;
        std::ostringstream nowhere;
        failover::LostRows rows(id_of(store), *through, nowhere,
                                [&](const failover::Loss&) { more = true; });
        read_rows(
            store, rows, [](Lsn) {}, stop);
        if (more) {
            return false;
        }
    }
    const auto here = this->here();
    const PrimaryStores stores = make_primary_stores(config_, here, clock_);
    for (const auto& store : stores.items) {
        if (!failover::is_kept(store->capture(), *here, stop)) {
            return false;
        }
    }
    return true;
}

void Rejoin::rewind() {
    if (!remembers()) {
        throw Error(Reaction::Stop,
                    "what this site had when it was looked at is not known any more: " +
                        file_of(config_).string() + " is lost, or cannot be read" +
                        whole_quarantines(config_),
                    "keep a copy of what you need and empty this site "
                    "(docs/runbooks/old-primary.md)");
    }
    sync_roots(config_);
    {
        secondary::Registry registry(config_.state_dir / "registry.db", clock_);
        failover::seed_registry(*here(), item_stores(config_), record_.starts(), registry);
        for (const StoreId& store : item_stores(config_)) {
            const v1::LaneCut* const start = failover::find_cut(record_.starts(), store);
            registry.set_gap(store, start == nullptr ? Position{} : failover::position_of(*start),
                             clock_.now());
        }
    }
    for (const Config::Database& store : config_.databases) {
        postgres::drop_capture(store.url, name_of(config_, store, "handover"), store.slot,
                               store.publication);
        const v1::LaneCut* const start = failover::find_cut(record_.starts(), id_of(store));
        postgres::compare_from(store.url, name_of(config_, store, "apply"), id_of(store),
                               start == nullptr ? Position{} : failover::position_of(*start));
    }
    const auto report = LossReports::of_epoch(config_, record_.epoch());
    if (report) {
        LossReports::write(config_, operation_of(nlohmann::json::parse(*report, nullptr, false)),
                           failover::rejoined_report(*report, clock_.now()));
    }
}

}  // namespace antipode
