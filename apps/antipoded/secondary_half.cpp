#include "apps/antipoded/secondary_half.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/json.hpp"
#include "base/limits.hpp"
#include "base/words.hpp"
#include "failover/fences.hpp"
#include "failover/handover.hpp"
#include "verify/expected_digest.hpp"

namespace antipode {
namespace {

constexpr size_t recent_bytes = 16 * limits::mib;
constexpr double catching_up_seconds = 10;
constexpr std::chrono::milliseconds heard_interval(20);
constexpr std::chrono::seconds failing_for_good(20);

std::map<StoreId, secondary::ContentStore*> contents_of(const SecondaryStores& stores) {
    std::map<StoreId, secondary::ContentStore*> contents;
    for (const auto& store : stores.items) {
        contents[store->apply().store()] = &store->contents();
    }
    return contents;
}

std::vector<StoreId> item_stores(std::vector<StoreId> stores) {
    std::erase_if(stores, [](const StoreId& store) { return store.kind == StoreKind::Database; });
    return stores;
}

/// Empty: it is not.
std::string why_copying(const secondary::ReceiverLaneStatus& lane) {
    if (lane.copying) {
        return lane.gap ? "transactions are lost; comparing the tables with the primary's"
                        : "initial copy";
    }
    if (lane.settling) {
        return "its rows are newer than files and repositories: waiting for those";
    }
    return lane.behind_gap ? "events were lost: until its rows have come to where files and "
                             "repositories are, they may name what was removed since"
                           : "";
}

/// A primary that handed over has published everything before; one that did not may have published
/// more than the next one has.
std::map<StoreId, Position> ends_of(const std::optional<v1::EpochStart>& ended) {
    std::map<StoreId, Position> ends;
    if (ended && !ended->fenced_by().empty()) {
        for (const v1::LaneCut& cut : ended->cuts()) {
            if (const auto store = StoreId::parse(cut.store())) {
                ends[*store] = failover::position_of(cut);
            }
        }
    }
    return ends;
}

}  // namespace

SecondaryHalf::SecondaryHalf(const Config& config, uint64_t epoch, const Upstream& upstream,
                             http::HttpServer& server, RuntimeLimits& limits, const Clock& clock)
    : config_(config),
      epoch_(epoch),
      end_(upstream.ended ? upstream.ended->epoch() : 0),
      clock_(clock),
      server_(server),
      limits_(limits),
      ids_(config.stores()),
      registry_(config.state_dir / "registry.db", clock),
      stores_(make_secondary_stores(config, registry_, clock)),
      bulk_({.url = url_of(config, upstream.primary),
             .token = read_token(config),
             .limit = limits.pulls()}),
      pull_places_(bulk_, other_places(config, upstream, limits),
                   place_of(config, upstream.primary, limits), clock),
      upstream_(stream_of(config, upstream.stream_of, epoch, "relay")),
      relay_stream_(own_stream(config, epoch, false, "relay")),
      receive_stream_(own_stream(config, epoch, false, "receiver")),
      recent_(recent_bytes),
      relay_appends_(relay_stream_, recent_),
      receiver_reads_(receive_stream_, recent_),
      requester_(endpoint_of(config, upstream.primary, "repair")),
      safe_teller_(endpoint_of(config, upstream.primary, "safe")),
      pulls_(
          contents_of(stores_), [this](const StoreId& store) { receiver_.content_arrived(store); },
          clock),
      receiver_({.cluster = config.cluster,
                 .epoch = epoch,
                 .order = {.causal = config.tuning.consistency == "causal",
                           .max_hold = config.tuning.max_hold},
                 .ends = ends_of(upstream.ended),
                 .on_damaged_stream = [this] { relay_.doubt_local(); }},
                receiver_reads_, ids_, registry_, pulls_, verify::expected_digest, clock),
      relay_(
          {.cluster = config.cluster,
           .epoch = epoch,
           .stores = ids_,
           .on_safe = [this](const secondary::Safe& safe) { tell_safe(safe); }},
          upstream_, relay_appends_, pulls_, registry_, [this] { receiver_.wake(); }, clock),
      repair_(
          config.site, ids_, registry_, bulk_,
          [this](const v1::Want& want) {
              const std::string answer = requester_.request(protocol::want_subject(config_.cluster),
                                                            want.SerializeAsString());
              if (answer != protocol::want_taken && answer != protocol::want_forgotten) {
                  throw Error(Reaction::Retry, "the primary is busy");
              }
              return answer == protocol::want_taken;
          },
          [this](const StoreId& store) { return receiver_.applied_lsn(store); }, clock),
      inventory_check_({.stores = item_stores(ids_)}, registry_, bulk_, clock),
      pauses_(registry_, clock),
      asked_(
          ids_, registry_, pauses_,
          [this](const StoreId& store, const std::string& item) {
              return why_no_item(store, item);
          },
          clock),
      requests_(
          config.site,
          std::make_unique<nats::Bucket>(endpoint_of(config, config.site, "requests"),
                                         protocol::bucket_name(config.cluster), true),
          [this](const v1::SiteRequest& request) {
              return RuntimeLimits::concerns(request) ? limits_.fulfil(request)
                     : Drill::concerns(request)       ? drill_.fulfil(request)
                                                      : fulfil(request);
          },
          clock),
      pull_workers_(
          "pull",
          [this](const std::stop_token& stop) { pulls_.step(pull_places_, limits::wait, stop); },
          clock),
      drill_(config, *this, epoch, upstream.primary, clock),
      expected_loss_(config, *this, epoch, upstream.primary, clock),
      stream_watch_(config, epoch, clock),
      workers_(clock) {
    // Only a promotion opens them.
    failover::Fences(config).close_hooks(upstream.primary);
    serve_held();
    start_workers();
}

/// Commits on the primary may wait for it.
void SecondaryHalf::tell_safe(const secondary::Safe& safe) {
    if (end_ != 0) {
        return;  // the next epoch's primary has a log of its own
    }
    v1::SiteReport report;
    report.set_site(config_.site);
    report.set_role("secondary");
    report.set_epoch(epoch_);
    report.set_safe_epoch(safe.position.epoch);
    for (const auto& [store, lsn] : safe.lsns) {
        v1::LaneReport& lane = *report.add_lanes();
        lane.set_store(store.to_string());
        lane.set_safe_lsn(lsn.value);
    }
    safe_teller_.tell(protocol::safe_subject(config_.cluster), report.SerializeAsString());
}

void SecondaryHalf::start_workers() {
    receiver_.hold(pauses_.stores());
    for (const auto& store : stores_.databases) {
        secondary::DatabaseApply& apply = store->apply();
        workers_.add("apply " + apply.store().to_string(),
                     [&](const std::stop_token& stop, Worker::Progress progress) {
                         if (end_ != 0 && !apply.position().copied) {
                             throw Error(Reaction::Stop,
                                         apply.store().to_string() +
                                             " was still being copied when the primary changed",
                                         "docs/runbooks/third-site.md");
                         }
                         // Only a copy needs it: what is here goes on without a primary.
                         while (!apply.position().copied && !heard_ &&
                                !sleep_unless_stopped(heard_interval, stop)) {
                             progress.waiting_for("the primary does not know of this site yet",
                                                  "antipode doctor");
                         }
                         receiver_.begin_database(apply, bulk_, stop);
                         while (!stop.stop_requested()) {
                             compare_what_is_lost(apply, stop);
                             receiver_.apply_database(apply);
                             progress.healthy();
                         }
                     });
    }
    for (const auto& store : stores_.databases) {
        const std::string name = store->apply().store().to_string();
        workers_.add("watch " + name, [&](const std::stop_token& stop, Worker::Progress progress) {
            store->watch().run_locks(stop, progress);
        });
        workers_.add("fence " + name, [&](const std::stop_token& stop, Worker::Progress progress) {
            store->watch().run_fence(stop, progress);
        });
    }
    for (const auto& store : stores_.items) {
        secondary::ItemApply& apply = store->apply();
        for (unsigned i = 1; i <= config_.tuning.apply_workers; ++i) {
            workers_.loop("apply " + apply.store().to_string() + " " + std::to_string(i),
                          [&](const std::stop_token& stop) { receiver_.apply_items(apply, stop); });
        }
    }
    pull_workers_.set_size(limits_.pull_workers());
    workers_.add("receiver", [this](const std::stop_token& stop, Worker::Progress progress) {
        receiver_.run(stop, progress);
    });
    workers_.add("relay", [this](const std::stop_token& stop, Worker::Progress progress) {
        relay_.run(stop, progress);
    });
    workers_.add("stream watch", [this](const std::stop_token& stop, Worker::Progress progress) {
        stream_watch_.run(stop, progress);
    });
    workers_.add("requests", [this](const std::stop_token& stop, Worker::Progress progress) {
        run_requests(stop, progress);
    });
    if (end_ == 0) {
        start_work_with_primary();
    }
}

/// What compares with the primary, or asks it for something: another epoch's would not understand
/// it.
void SecondaryHalf::start_work_with_primary() {
    start_checks();
    start_sweeps();
    workers_.add("repair", [this](const std::stop_token& stop, Worker::Progress progress) {
        repair_.run(stop, progress);
    });
}

void SecondaryHalf::start_checks() {
    for (const auto& store : stores_.databases) {
        const StoreId& id = store->apply().store();
        workers_.add(
            "check " + id.to_string(), [&](const std::stop_token& stop, Worker::Progress progress) {
                store->checks().run(
                    bulk_,
                    {.epoch = epoch_,
                     .copied = [&] { return is_copied(id); },
                     .tell = [&](const std::string& t) { receiver_.tell(id, "check", t); }},
                    stop, progress);
            });
    }
}

void SecondaryHalf::start_sweeps() {
    for (const auto& store : stores_.items) {
        const StoreId& id = store->apply().store();
        auto& sweep = sweeps_[id];
        sweep = std::make_unique<secondary::Sweep>(
            secondary::Sweep::Options{
                .store = id,
                .every = store->check_every(),
                .bytes_per_second = [this] { return limits_.check_bytes_per_second(); },
                .excludes = [&store](const std::string& item) { return store->excludes(item); }},
            store->looks(), registry_,
            secondary::Sweep::Lane{.newest = [this] { return newest_here(); },
                                   .finished = [this, id] { return receiver_.passed(id); },
                                   .is_applying =
                                       [this, id](const std::string& item) {
                                           return receiver_.is_applying(id, item);
                                       }},
            clock_);
        workers_.add("content check " + id.to_string(),
                     [&sweep](const std::stop_token& stop, Worker::Progress progress) {
                         sweep->run(stop, progress);
                     });
        if (config_.tuning.watch_mirrors && !store->root().empty()) {
            start_mirror_watch(*store);
        }
    }
    for (const auto& store : stores_.items) {
        for (SecondaryItems::Chore& chore : store->chores()) {
            workers_.loop(chore.name + " " + store->apply().store().to_string(),
                          std::move(chore.step));
        }
    }
    workers_.add("inventory check", [this](const std::stop_token& stop, Worker::Progress progress) {
        inventory_check_.run(stop, progress);
    });
}

void SecondaryHalf::start_mirror_watch(SecondaryItems& store) {
    const StoreId& id = store.apply().store();
    secondary::Sweep& sweep = *sweeps_.at(id);
    auto& watching = mirror_watches_[id];
    watching = std::make_unique<MirrorWatching>(
        store, registry_, [&sweep](const std::string& name, bool here) { sweep.seen(name, here); },
        [this, &id](const std::string& item) { return receiver_.is_applying(id, item); }, clock_);
    workers_.add("mirror watch " + id.to_string(),
                 [&watching](const std::stop_token& stop, Worker::Progress progress) {
                     watching->run(stop, progress);
                 });
}

std::string SecondaryHalf::why_no_item(const StoreId& store, const std::string& item) const {
    for (const auto& items : stores_.items) {
        if (items->apply().store() == store) {
            return items->why_no_item(item);
        }
    }
    return {};
}

Position SecondaryHalf::newest_here() const {
    const secondary::RelayStatus relay = relay_.status();
    if (!relay.begun) {
        throw Error(Reaction::Retry, "what this site received is not known before the relay begins",
                    "antipode status");
    }
    return std::max(relay.relayed, receiver_.accepted());
}

void SecondaryHalf::stop_at(const Position& end) {
    stopped_ = true;
    receiver_.end_at(end);
}

bool SecondaryHalf::has_applied(const Position& position) const {
    const auto lanes = receiver_.status();
    return std::all_of(lanes.begin(), lanes.end(), [&](const auto& lane) {
        return receiver_.passed(lane.store) >= position ||
               (receiver_.accepted() >= position && lane.order.waiting == 0);
    });
}

v1::SiteAnswer SecondaryHalf::fulfil(const v1::SiteRequest& request) {
    const std::scoped_lock lock(asking_);
    v1::SiteAnswer answer = asked_.fulfil(request);
    requests_.wake();  // what is paused now
    return answer;
}

void SecondaryHalf::run_requests(const std::stop_token& stop, Worker::Progress progress) {
    do {
        receiver_.hold(pauses_.stores());
        requests_.step();
        receiver_.hold(pauses_.stores());
        pull_workers_.set_size(limits_.pull_workers());
        progress.healthy();
    } while (!requests_.wait(stop));
}

std::vector<WorkerState> SecondaryHalf::workers() const {
    std::vector<WorkerState> states = workers_.states();
    const std::vector<WorkerState> pulls = pull_workers_.states();
    states.insert(states.end(), pulls.begin(), pulls.end());
    return states;
}

void SecondaryHalf::resume_all() {
    if (!pauses_.stores().empty()) {
        spdlog::warn("what is paused goes on: this site is about to be the primary");
        pauses_.resume_all();
        receiver_.hold({});
    }
}

bool SecondaryHalf::is_copied(const StoreId& store) const {
    for (const auto& lane : receiver_.status()) {
        if (lane.store == store) {
            return lane.database && !lane.copying && !lane.gap;
        }
    }
    return false;
}

// Brings back a database of which nobody can send what is missing.
void SecondaryHalf::compare_what_is_lost(secondary::DatabaseApply& apply,
                                         const std::stop_token& stop) {
    const StoreId& store = apply.store();
    if (!repair_.is_beyond_repair(store, receiver_.applied_lsn(store)) ||
        receiver_.brings_rows_before_gap(store)) {
        return;
    }
    spdlog::error(
        "{}: transactions behind {} are lost: the primary's slot has passed them. The tables are "
        "compared with the primary's, and what differs is copied",
        store.to_string(), receiver_.applied_lsn(store).to_string());
    apply.compare_anew();
    receiver_.begin_database(apply, bulk_, stop);
}

void SecondaryHalf::hear(const std::vector<v1::SiteReport>& reports) {
    for (const v1::SiteReport& report : reports) {
        if (report.site() == config_.site && report.role() == "secondary") {
            heard_ = true;
        }
    }
}

void SecondaryHalf::report(v1::SiteReport& report) const {
    const secondary::RelayStatus relay = relay_.status();
    report.set_safe_epoch(relay.safe.position.epoch);
    report.set_safe_session(relay.safe.position.session);
    report.set_safe_number(relay.safe.position.number);
    for (const auto& lane : receiver_.status()) {
        v1::LaneReport& out = *report.add_lanes();
        out.set_store(lane.store.to_string());
        out.set_applied_epoch(lane.order.finished.epoch);
        out.set_applied_session(lane.order.finished.session);
        out.set_applied_number(lane.order.finished.number);
        if (const auto safe = relay.safe.lsns.find(lane.store); safe != relay.safe.lsns.end()) {
            out.set_safe_lsn(safe->second.value);
        }
        if (lane.database) {
            out.set_applied_lsn(lane.database->lsn.value);
        }
    }
    if (const auto point = receiver_.recovery_point()) {
        report.set_recovery_point_us(to_microseconds(*point));
    }
}

bool SecondaryHalf::has_reached(const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts) const {
    for (const auto& lane : receiver_.status()) {
        const v1::LaneCut* const cut = failover::find_cut(cuts, lane.store);
        if (cut == nullptr) {
            throw Error(Reaction::Stop,
                        lane.store.to_string() + " is not among the primary's stores",
                        "configure the same stores on all sites");
        }
        if (lane.order.finished < failover::position_of(*cut)) {
            return false;
        }
        if (lane.copying || lane.gap || lane.exceptions > 0) {
            throw Error(Reaction::Retry,
                        lane.store.to_string() + (lane.copying ? " is still copied"
                                                  : lane.gap   ? " lacks events"
                                                               : " has items that failed"),
                        "antipode status " + config_.site);
        }
    }
    return true;
}

const WorkerState* SecondaryHalf::problem_of(const std::vector<WorkerState>& workers,
                                             const StoreId& store) const {
    const std::string name = "apply " + store.to_string();
    for (const WorkerState& worker : workers) {
        const bool concerns = worker.name == name || worker.name.starts_with(name + " ");
        if (concerns && !worker.healthy && !worker.problem.empty()) {
            return &worker;
        }
    }
    return nullptr;
}

bool SecondaryHalf::reads() const {
    const auto workers = this->workers();
    return std::any_of(workers.begin(), workers.end(), [](const WorkerState& worker) {
        return worker.name == "relay" && worker.healthy;
    });
}

/// A large transaction, or one that waits for a lock here, takes its time without a sign. What
/// fails for long will fail again.
bool SecondaryHalf::is_at_work(const secondary::ReceiverLaneStatus& lane) const {
    const auto workers = this->workers();
    const WorkerState* const failing = problem_of(workers, lane.store);
    return lane.order.waiting > 0 && lane.order.held_by.empty() && lane.order.problem.empty() &&
           (failing == nullptr || clock_.now() - failing->since < failing_for_good);
}

SecondaryDatabase* SecondaryHalf::database_of(const StoreId& store) const {
    for (const auto& database : stores_.databases) {
        if (database->apply().store() == store) {
            return database.get();
        }
    }
    return nullptr;
}

/// What does not keep rows from being applied, but should be known.
void SecondaryHalf::show_watch(SecondaryDatabase& database, const StoreId& store,
                               const std::vector<WorkerState>& workers, std::string& reason,
                               std::string& next_step) {
    for (const WorkerState& worker : workers) {
        const bool watches = worker.name == "watch " + store.to_string() ||
                             worker.name == "fence " + store.to_string() ||
                             worker.name == "check " + store.to_string();
        if (watches && !worker.healthy && !worker.problem.empty()) {
            reason = worker.problem;
            next_step = worker.next_step;
            return;
        }
    }
    auto problem = database.watch().fence_problem();
    problem = problem ? problem : database.watch().skipped_problem();
    reason = problem ? problem->reason : "";
    next_step = problem ? problem->next_step : "";
}

/// What keeps the store from being applied. False: nothing.
bool SecondaryHalf::show_worker(const std::vector<WorkerState>& workers, const StoreId& store,
                                std::string& reason, std::string& next_step) const {
    if (const WorkerState* const worker = problem_of(workers, store)) {
        reason = worker->problem;
        next_step = worker->next_step;
        return true;
    }
    for (const WorkerState& worker : workers) {
        const bool everybodys = worker.name == "relay" || worker.name == "receiver";
        if (everybodys && !worker.healthy && !worker.problem.empty()) {
            reason = worker.name + ": " + worker.problem;
            next_step = worker.next_step;
            return true;
        }
    }
    return false;
}

std::string SecondaryHalf::state_of(const secondary::ReceiverLaneStatus& lane, std::string& reason,
                                    std::string& next_step) const {
    SecondaryDatabase* const database = database_of(lane.store);
    const auto pauses = pauses_.current();
    if (const auto paused = pauses.find(lane.store); paused != pauses.end()) {
        const Pause& pause = paused->second;
        reason = "paused by " + printable(pause.operator_name) + " until " +
                 to_iso8601(pause.until) + ": " + printable(pause.reason);
        next_step = "antipode resume " + lane.store.to_string() + " --site " + config_.site;
        return "paused";
    }
    if (const auto held_up = database == nullptr ? std::nullopt : database->watch().held_up()) {
        reason = held_up->reason;
        next_step = held_up->next_step;
        return "waiting";
    }
    const auto workers = this->workers();
    const bool waits = show_worker(workers, lane.store, reason, next_step);
    // Whatever it waits for: its rows may name what is not here.
    if (const std::string why = why_copying(lane); !why.empty()) {
        reason = reason.empty() ? why : why + "; " + reason;
        return "copying";
    }
    if (waits) {
        return "waiting";
    }
    if (!lane.order.problem.empty()) {
        reason = lane.order.problem;
        return "degraded";
    }
    if (lane.gap) {
        reason = "events are missing; comparing with the primary";
        return "catching-up";
    }
    if (lane.exceptions > 0) {
        reason =
            counted(lane.exceptions, "item failed and is", "items failed and are") + " tried again";
        next_step = "antipode status -o json, see exceptions";
        return "degraded";
    }
    reason = lane.order.held_by;
    if (const auto problem = pulls_.problem(lane.store)) {
        reason = std::string("content cannot be pulled: ") + problem->what();
        next_step = problem->next_step();
    }
    if (database != nullptr && reason.empty()) {
        show_watch(*database, lane.store, workers, reason, next_step);
    }
    if (const auto differs = database == nullptr ? std::nullopt : database->checks().problem()) {
        // What holds it up now is told first: it can be what keeps it from being mended.
        reason = reason.empty() ? differs->reason : reason + "; also: " + differs->reason;
        next_step = next_step.empty() ? differs->next_step : next_step;
        return "degraded";
    }
    if (!lane.times.applied_through) {
        return "catching-up";
    }
    const double lag = seconds_between(*lane.times.applied_through, clock_.now());
    return lag > catching_up_seconds ? "catching-up" : "streaming";
}

}  // namespace antipode
