#include "apps/antipoded/primary_half.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "adapters/nats/key_value.hpp"
#include "apps/antipoded/cut.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/json.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/words.hpp"
#include "primary/database/requirements.hpp"
#include "primary/safe_points.hpp"

namespace antipode {
namespace {

/// 500 rows in a second: a little all the time.
constexpr size_t rows_checked_at_once = 100;
constexpr std::chrono::milliseconds check_round_interval(5000);
constexpr std::chrono::milliseconds check_interval(200);
constexpr size_t defects_shown = 20;

std::vector<primary::DatabaseCapture*> captures_of(const PrimaryStores& stores) {
    std::vector<primary::DatabaseCapture*> captures;
    for (const auto& store : stores.databases) {
        captures.push_back(&store->capture());
    }
    return captures;
}

std::vector<primary::ItemCapture*> item_captures_of(const PrimaryStores& stores) {
    std::vector<primary::ItemCapture*> captures;
    for (const auto& store : stores.items) {
        captures.push_back(&store->capture());
    }
    return captures;
}

std::map<StoreId, primary::DeletionLimits> deletion_limits_of(const Config& config) {
    std::map<StoreId, primary::DeletionLimits> limits;
    const auto add = [&](StoreKind kind, const auto& store) {
        limits[{kind, store.name}] = {store.deletions.hold, store.deletions.percent,
                                      store.deletions.least};
    };
    for (const Config::Repositories& store : config.repositories) {
        add(StoreKind::Repositories, store);
    }
    for (const Config::Blobs& store : config.blobs) {
        add(StoreKind::Blobs, store);
    }
    return limits;
}

std::string notify_path(const StoreId& store) {
    return "/v1/notify/" + store.to_string();
}

http::HttpResponse take_notification(const std::function<void(const std::string&)>& take,
                                     const std::string& body) {
    try {
        take(body);
        return {.body = "{}\n"};
    } catch (const Error& error) {
        return http::error_response(400, error.what(), error.next_step());
    }
}

std::set<std::string> names_of(const std::vector<Config::Site>& sites) {
    std::set<std::string> names;
    for (const Config::Site& site : sites) {
        names.insert(site.name);
    }
    return names;
}

}  // namespace

PrimaryHalf::PrimaryHalf(const Config& config, uint64_t epoch, http::HttpServer& server,
                         RuntimeLimits& limits, const Clock& clock)
    : config_(config),
      clock_(clock),
      server_(server),
      limits_(limits),
      inventory_(std::make_shared<primary::Inventory>(config.state_dir / "inventory.db")),
      cut_(kept_cut(config, epoch)),
      stores_(make_primary_stores(config, inventory_, clock)),
      stream_(own_stream(config, epoch, true, "publisher")),
      publisher_({.cluster = config.cluster,
                  .site = config.site,
                  .version = ANTIPODE_VERSION,
                  .epoch = epoch,
                  .marker_interval = config.tuning.marker_interval,
                  .reconcile_interval = config.tuning.reconcile_interval,
                  .deletion_limits = deletion_limits_of(config)},
                 stream_, *inventory_, captures_of(stores_), item_captures_of(stores_), clock),
      sites_(names_of(config.sites), epoch, *inventory_, clock),
      responder_(own_endpoint(config, "wants"), protocol::want_subject(config.cluster)),
      safe_hearer_(own_endpoint(config, "safe"), protocol::safe_subject(config.cluster)),
      asked_(config.stores(), publisher_),
      requests_(
          config.site,
          std::make_unique<nats::Bucket>(own_endpoint(config, "requests"),
                                         protocol::bucket_name(config.cluster), true),
          [this](const v1::SiteRequest& request) {
              return RuntimeLimits::concerns(request) ? limits_.fulfil(request)
                                                      : asked_.fulfil(request);
          },
          clock),
      stream_watch_(config, epoch, clock),
      workers_(clock) {
    serve_bulk();
    start_workers();
    start_sweeps();
}

PrimaryHalf::~PrimaryHalf() {
    for (const auto& store : stores_.databases) {
        server_.bulk(store->capture().store(), nullptr);
    }
    for (const auto& store : stores_.items) {
        server_.bulk(store->capture().store(), nullptr);
        server_.post(notify_path(store->capture().store()), nullptr);
        store->interrupt();
    }
}

void PrimaryHalf::serve_bulk() {
    // A request that runs keeps its whole store alive.
    const auto serve = [&](const auto& store) {
        const StoreId& id = store->capture().store();
        server_.bulk(id, std::make_shared<CutBulk>(
                             id, cut_, std::shared_ptr<BulkHandler>(store, &store->bulk())));
    };
    for (const auto& store : stores_.databases) {
        serve(store);
    }
    for (const auto& store : stores_.items) {
        serve(store);
        if (auto take = store->notification_handler()) {
            server_.post(notify_path(store->capture().store()),
                         [store, take](const http::HttpRequest& request, const std::stop_token&) {
                             return take_notification(take, request.body);
                         });
        }
    }
}

void PrimaryHalf::start_workers() {
    for (const auto& store : stores_.databases) {
        primary::DatabaseCapture& capture = store->capture();
        workers_.loop("capture " + capture.store().to_string(), [&](const std::stop_token& stop) {
            publisher_.capture_database(capture, stop);
        });
    }
    for (const auto& store : stores_.items) {
        primary::ItemCapture& capture = store->capture();
        const std::string name = capture.store().to_string();
        for (unsigned i = 1; i <= config_.tuning.capture_workers; ++i) {
            workers_.loop(
                "read " + name + " " + std::to_string(i),
                [&](const std::stop_token& stop) { publisher_.capture_items(capture, stop); });
        }
        workers_.add("reconcile " + name,
                     [&](const std::stop_token& stop, Worker::Progress progress) {
                         while (!stop.stop_requested()) {
                             if (const auto problem = publisher_.reconcile(capture, stop)) {
                                 progress.waiting_for(problem->what(), problem->next_step());
                             } else {
                                 progress.healthy();
                             }
                         }
                     });
        for (PrimaryItems::Notifier& notifier : store->notifiers()) {
            workers_.loop(
                "watch " + notifier.name + " " + name,
                [this, store, wait = std::move(notifier.wait)](const std::stop_token& stop) {
                    if (wait(limits::wait, stop)) {
                        publisher_.poke();
                    }
                });
        }
    }
    for (const auto& store : stores_.items) {
        const StoreId id = store->capture().store();
        workers_.loop("inventory check " + id.to_string(), [this, id](const std::stop_token& stop) {
            const bool ended = check_inventory(id);
            sleep_unless_stopped(ended ? check_round_interval : check_interval, stop);
        });
    }
    workers_.add("stream watch", [this](const std::stop_token& stop, Worker::Progress progress) {
        stream_watch_.run(stop, progress);
    });
    workers_.loop("safe points", [this](const std::stop_token&) { hear_safe(); });
    workers_.loop("requests", [this](const std::stop_token& stop) {
        requests_.step();
        requests_.wait(stop);
    });
    workers_.loop("wants", [this](const std::stop_token& stop) { answer_want(stop); });
    workers_.add("publisher", [this](const std::stop_token& stop, Worker::Progress progress) {
        publisher_.run(stop, progress);
    });
}

void PrimaryHalf::start_sweeps() {
    for (const auto& store : stores_.items) {
        const StoreId id = store->capture().store();
        auto& sweep = sweeps_[id];
        sweep = std::make_unique<primary::Sweep>(
            store->capture(), *inventory_,
            primary::Sweep::Options{
                .period = store->check_every(),
                .bytes_per_second = [this] { return limits_.check_bytes_per_second(); }},
            clock_);
        workers_.add("content check " + id.to_string(),
                     [&sweep](const std::stop_token& stop, Worker::Progress progress) {
                         sweep->run(stop, progress);
                     });
    }
}

/// A row that changed by itself is named by the secondaries, from which it differs then.
bool PrimaryHalf::check_inventory(const StoreId& store) {
    const auto [ended, corrected] = inventory_->correct_sums(store, rows_checked_at_once);
    if (corrected > 0) {
        spdlog::error(
            "{}: {} of this site's inventory changed by themselves; secondaries compare "
            "theirs",
            store.to_string(), counted(corrected, "row", "rows"));
    }
    return ended;
}

/// What is safe on a secondary came through this site's stream, so that this site's own place in it
/// need not be asked.
void PrimaryHalf::hear_safe() {
    const auto message = safe_hearer_.next(limits::wait);
    v1::SiteReport told;
    if (!message || !told.ParseFromString(message->bytes)) {
        return;
    }
    const std::scoped_lock lock(hearing_);
    const auto reports = sites_.advance(told);
    for (const auto& store : stores_.databases) {
        // Others need not know before the next report.
        if (!reports.empty() && config_of(store->capture().store()).synchronous) {
            confirm(store->capture(), std::nullopt, reports);
        }
    }
}

void PrimaryHalf::answer_want(const std::stop_token&) {
    const auto request = responder_.next(limits::wait);
    if (!request) {
        return;
    }
    v1::Want want;
    if (!want.ParseFromString(request->bytes)) {
        responder_.answer(*request, "malformed");
        return;
    }
    responder_.answer(*request, take_want(std::move(want)));
}

std::string PrimaryHalf::take_want(v1::Want want) {
    for (const auto& store : stores_.databases) {
        const primary::DatabaseCapture& capture = store->capture();
        if (capture.store().to_string() == want.store() &&
            Lsn{want.from_lsn()} < capture.forgotten()) {
            return protocol::want_forgotten;
        }
    }
    return publisher_.want(std::move(want)) ? protocol::want_taken : protocol::want_busy;
}

void PrimaryHalf::report(v1::SiteReport& report) const {
    const primary::PublisherStatus status = publisher_.status();
    report.set_safe_epoch(status.head.epoch);
    report.set_safe_session(status.head.session);
    report.set_safe_number(status.head.number);
    for (const auto& lane : status.lanes) {
        v1::LaneReport& out = *report.add_lanes();
        out.set_store(lane.store.to_string());
        out.set_safe_lsn(lane.stored.value);
    }
}

void PrimaryHalf::confirm(primary::DatabaseCapture& capture, std::optional<Lsn> stored,
                          const std::vector<v1::SiteReport>& reports) {
    const uint64_t cap = config_of(capture.store()).slot_max_bytes;
    const auto slot = capture.slot();
    if (slot) {
        log_growth_.with([&](auto& growths) {
            growths[capture.store()].note(clock_.steady_now(),
                                          static_cast<double>(slot->wal_end.value));
        });
    }
    Lsn not_below;
    if (slot && cap > 0 && slot->retained_bytes > cap) {
        not_below = Lsn{slot->wal_end.value - std::min(cap, slot->wal_end.value)};
    }
    const auto safe = primary::confirmable(reports, capture.store(), stored, not_below);
    const bool any_secondary = std::any_of(reports.begin(), reports.end(), [](const auto& report) {
        return report.role() == "secondary";
    });
    // A synchronous commit waits for a site, not for this one's own stream.
    if (any_secondary || !config_of(capture.store()).synchronous) {
        capture.confirm(safe.lsn);
    }
    if (slot) {
        let_go_.note(capture.store(), safe.let_go, std::max(slot->confirmed, not_below), reports);
    }
}

const Config::Database& PrimaryHalf::config_of(const StoreId& store) const {
    return *std::find_if(config_.databases.begin(), config_.databases.end(),
                         [&](const Config::Database& known) { return known.name == store.name; });
}

void PrimaryHalf::hear(const std::vector<v1::SiteReport>& heard) {
    const std::scoped_lock lock(hearing_);
    for (const CheckNews::News& news : check_news_.hear(heard)) {
        publisher_.tell(news.store, "check", news.text);
    }
    const std::vector<v1::SiteReport> reports = sites_.merge(heard);
    const primary::PublisherStatus status = publisher_.status();
    for (const auto& store : stores_.databases) {
        primary::DatabaseCapture& capture = store->capture();
        Lsn stored;
        for (const auto& lane : status.lanes) {
            if (lane.store == capture.store()) {
                stored = lane.stored;
            }
        }
        confirm(capture, stored, reports);
    }
    publisher_.set_applied_everywhere(primary::applied_everywhere(reports, status.head));
    if (const auto point = primary::recovery_point_everywhere(reports)) {
        for (const auto& store : stores_.items) {
            store->applied_everywhere(*point - std::chrono::minutes(10));
        }
    }
}

/// The worker that this store waits for, if one does not get on.
const WorkerState* PrimaryHalf::problem_of(const std::vector<WorkerState>& workers,
                                           const StoreId& store) {
    const std::string name = store.to_string();
    for (const WorkerState& worker : workers) {
        const bool concerns = worker.name == "publisher" || worker.name.ends_with(" " + name) ||
                              worker.name.find(" " + name + " ") != std::string::npos;
        if (concerns && !worker.healthy && !worker.problem.empty()) {
            return &worker;
        }
    }
    return nullptr;
}

primary::ItemCapture* PrimaryHalf::items_of(const StoreId& store) const {
    for (const auto& items : stores_.items) {
        if (items->capture().store() == store) {
            return &items->capture();
        }
    }
    return nullptr;
}

std::string PrimaryHalf::publishing_problem(const StoreId& store) const {
    const std::vector<WorkerState> workers = workers_.states();
    const WorkerState* const worker = problem_of(workers, store);
    return worker == nullptr ? std::string() : worker->problem;
}

std::string PrimaryHalf::remark_of(const StoreId& store) const {
    for (const auto& items : stores_.items) {
        if (items->capture().store() == store) {
            return items->remark();
        }
    }
    return {};
}

/// How long the slot still keeps everything, were nothing confirmed from now on: until the server
/// ends it, or we let go of a site (slot_max_bytes). Unknown where there is no limit but the disk.
void PrimaryHalf::show_retention(const StoreId& store, const SourceFacts::Slot& slot,
                                 nlohmann::json& row) const {
    const uint64_t cap = config_of(store).slot_max_bytes;
    std::optional<double> room;
    if (slot.safe_wal_bytes) {
        room = static_cast<double>(*slot.safe_wal_bytes);
    }
    if (cap > 0) {
        const double left = static_cast<double>(cap) - static_cast<double>(slot.retained_bytes);
        room = std::min(room.value_or(left), left);
    }
    const auto growths = log_growth_.copy();
    const auto growth = growths.find(store);
    const bool measured = growth != growths.end();
    row["bytes_per_second"] = measured ? or_null(growth->second.per_second()) : nlohmann::json();
    row["retention_seconds"] =
        measured && room ? or_null(growth->second.seconds_for(*room)) : nlohmann::json();
}

/// What a database's slot keeps, and what is wrong with that, unless something else is already.
void PrimaryHalf::show_slot(const StoreId& store, nlohmann::json& row) const {
    for (const auto& database : stores_.databases) {
        const auto slot = database->capture().slot();
        if (database->capture().store() != store || !slot) {
            continue;
        }
        const auto let_go = let_go_.of(store);
        row["slot"] = {{"wal_status", slot->wal_status},
                       {"retained_bytes", slot->retained_bytes},
                       {"safe_wal_bytes", or_null(slot->safe_wal_bytes)},
                       {"let_go", let_go}};
        show_retention(store, *slot, row["slot"]);
        row["server_version"] = server_version_text(slot->server_version);
        auto problem = primary::slot_problem(*slot, config_of(store));
        if (!problem && !let_go.empty()) {
            std::string names;
            for (const std::string& name : let_go) {
                names += (names.empty() ? "" : ", ") + name;
            }
            problem = primary::UnmetNeed{
                "log that " + names +
                    " may need was let go of: the slot kept more than "
                    "slot_max_bytes",
                "start that site: what this site's stream still holds it takes from there, else "
                "its own status names the way back"};
        }
        if (problem && row["state"] == "serving") {
            row["state"] = "degraded";
            row["reason"] = problem->what;
            row["next_step"] = problem->remedy;
        }
    }
}

void PrimaryHalf::show_defects(const StoreId& store, nlohmann::json& row,
                               nlohmann::json& exceptions) const {
    const auto sweep = sweeps_.find(store);
    if (sweep == sweeps_.end()) {
        return;
    }
    const auto since = sweep->second->looked_since();
    row["content_check"] = {{"asked", 0},
                            {"failing", 0},
                            {"oldest_us", nullptr},
                            {"unproven", inventory_->unproven(store).size()}};
    if (since) {
        row["content_check"]["oldest_us"] = to_microseconds(*since);
    }
    row["defects"] = inventory_->defect_count(store);
    for (const auto& defect : inventory_->defects(store, defects_shown)) {
        exceptions.push_back(
            {{"store", store.to_string()},
             {"item", printable(defect.item)},
             {"kind", "broken"},
             {"class", "primary defect"},
             {"reason", defect.reason},
             {"next_step", "check the disk; bring it back from a backup or from a secondary"},
             {"since_us", to_microseconds(defect.since)},
             {"tries", nullptr},
             {"next_try_us", nullptr},
             {"position", nullptr}});
    }
    if (row["defects"] > 0 && row["state"] == "serving") {
        row["state"] = "degraded";
        row["reason"] = counted(inventory_->defect_count(store), "item is", "items are") +
                        " broken on this site, and right on those that have them";
        row["next_step"] = "antipode failures " + config_.site;
    }
}

/// Deletions that wait for an operator, unless something worse is the matter.
void PrimaryHalf::show_deletions(const primary::PublisherStatus::Lane& lane, nlohmann::json& row) {
    const auto& withheld = lane.withheld;
    if (withheld.none()) {
        return;
    }
    row["deletions"] = {{"held", withheld.held},
                        {"discarded", withheld.discarded},
                        {"released", withheld.released},
                        {"since_us", nullptr},
                        {"examples", nlohmann::json::array()}};
    for (const std::string& item : lane.withheld_examples) {
        row["deletions"]["examples"].push_back(printable(item));
    }
    if (withheld.since) {
        row["deletions"]["since_us"] = to_microseconds(*withheld.since);
    }
    if (withheld.held > 0 && row["state"] == "serving") {
        row["state"] = "degraded";
        row["reason"] = counted(withheld.held, "deletion is", "deletions are") +
                        " held, so many at once may be a mistake";
        row["next_step"] = "antipode deletions";
    }
}

void PrimaryHalf::show(nlohmann::json& out) const {
    const primary::PublisherStatus status = publisher_.status();
    const TimePoint now = clock_.now();
    const std::vector<WorkerState> workers = workers_.states();
    out["stream"] = stream_watch_.show();
    for (const auto& lane : status.lanes) {
        nlohmann::json store = empty_store(lane.store);
        if (const WorkerState* worker = problem_of(workers, lane.store)) {
            // Says more than the lane, which only sees that nothing comes.
            store["state"] = "degraded";
            store["reason"] = worker->problem;
            store["next_step"] = worker->next_step;
        } else {
            store["state"] = lane.problem.empty() ? "serving" : "degraded";
            store["reason"] = lane.problem.empty() ? remark_of(lane.store) : lane.problem;
            store["next_step"] = lane.next_step;
        }
        if (lane.captured_through) {
            store["captured_through_us"] = to_microseconds(*lane.captured_through);
            store["capture_lag_seconds"] = seconds_between(*lane.captured_through, now);
        }
        store["backlog_events"] = lane.unfinished;
        store["position"] = lane.head.to_string();
        store["safe_position"] = lane.head.to_string();
        if (lane.decoded) {
            store["lsn"] = lane.decoded.to_string();
        }
        show_slot(lane.store, store);
        show_deletions(lane, store);
        show_defects(lane.store, store, out["exceptions"]);
        out["stores"].push_back(std::move(store));
        for (const auto& problem : lane.problems) {
            out["exceptions"].push_back({{"store", lane.store.to_string()},
                                         {"item", printable(problem.item)},
                                         {"kind", "unreadable"},
                                         {"class", "primary defect"},
                                         {"reason", problem.text},
                                         {"next_step", problem.next_step},
                                         {"since_us", nullptr},
                                         {"tries", nullptr},
                                         {"next_try_us", nullptr},
                                         {"position", nullptr}});
        }
    }
}

}  // namespace antipode
