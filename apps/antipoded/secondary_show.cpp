#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "apps/antipoded/pulls_status.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "base/digest.hpp"

/// What /v1/status shows of a secondary.
namespace antipode {
namespace {

constexpr size_t exceptions_shown = 50;

nlohmann::json seconds_or_null(const std::optional<TimePoint>& from, TimePoint to) {
    return from ? nlohmann::json(std::max(0.0, seconds_between(*from, to))) : nlohmann::json();
}

nlohmann::json show_copy(const secondary::CopyProgress& copy, double seconds) {
    nlohmann::json row = {{"tables_done", copy.tables_done},
                          {"tables", copy.tables},
                          {"rows", copy.rows},
                          {"bytes", copy.bytes},
                          {"bytes_per_second", nullptr},
                          {"source_bytes", copy.source_bytes},
                          {"source_bytes_done", copy.source_bytes_done},
                          {"remaining_seconds", nullptr},
                          {"table", printable(copy.table)}};
    const uint64_t done = copy.source_bytes_done - copy.source_bytes_before;
    if (seconds > 0) {
        row["bytes_per_second"] = static_cast<double>(copy.bytes) / seconds;
    }
    if (seconds > 0 && done > 0) {
        const uint64_t left = copy.source_bytes - copy.source_bytes_done;
        row["remaining_seconds"] = seconds * static_cast<double>(left) / static_cast<double>(done);
    }
    return row;
}

}  // namespace

nlohmann::json SecondaryHalf::show_inventory(const StoreId& store) const {
    const auto status = inventory_check_.status(store);
    nlohmann::json row = {{"equal_us", nullptr},
                          {"undecided", status.undecided},
                          {"differed", status.differed},
                          {"damaged", status.damaged},
                          {"last_differing", status.last_differing}};
    if (status.equal_at) {
        row["equal_us"] = to_microseconds(*status.equal_at);
    }
    return row;
}

nlohmann::json SecondaryHalf::show_content_check(const StoreId& store) const {
    const auto looks = registry_.looks(store);
    const auto status = sweeps_.at(store)->status();
    const auto repeated = registry_.repeated(store);
    nlohmann::json row = {{"asked", looks.asked},
                          {"failing", looks.failing},
                          {"failing_since_us", nullptr},
                          {"unproven", registry_.unproven(store)},
                          {"names_asked", registry_.looks_asked(store) != status.names_looked},
                          {"oldest_us", nullptr},
                          {"looked", status.looked},
                          {"differed", registry_.found_differing(store)},
                          {"found_by_reading", registry_.found_by_reading(store)},
                          {"last_differing", status.last_differing},
                          {"repeated", repeated.items},
                          {"most_repeated", printable(repeated.most_often)},
                          {"most_repeated_times", repeated.times},
                          {"extras", nullptr},
                          {"first_extra", status.first_extra},
                          {"watch_problem", nullptr}};
    if (const auto watching = mirror_watches_.find(store); watching != mirror_watches_.end()) {
        row["watch_problem"] = watching->second->problem();
    }
    if (looks.failing_since) {
        row["failing_since_us"] = to_microseconds(*looks.failing_since);
    }
    if (looks.oldest) {
        row["oldest_us"] = to_microseconds(*looks.oldest);
    }
    if (status.extras) {
        row["extras"] = *status.extras;
    }
    return row;
}

/// Whoever asks for the status makes the measurement, the daemon itself every few seconds.
void SecondaryHalf::show_catch_up(const secondary::ReceiverLaneStatus& lane, TimePoint now,
                                  nlohmann::json& row) const {
    const auto applied_through = lane.times.applied_through;
    catch_ups_.with([&](auto& lanes) {
        secondary::CatchUp& catch_up = lanes[lane.store];
        if (applied_through) {
            catch_up.note(clock_.steady_now(), *applied_through);
            const auto left = catch_up.seconds_left(seconds_between(*applied_through, now));
            row["catches_up_seconds"] = left ? nlohmann::json(*left) : nlohmann::json();
        }
        const auto rate = catch_up.rate();
        row["apply_rate"] = rate ? nlohmann::json(*rate) : nlohmann::json();
    });
}

nlohmann::json SecondaryHalf::show_lane(const secondary::ReceiverLaneStatus& lane,
                                        TimePoint now) const {
    nlohmann::json row = empty_store(lane.store);
    std::string reason;
    std::string next_step;
    row["state"] = state_of(lane, reason, next_step);
    row["reason"] = reason;
    row["next_step"] = next_step;
    const auto& times = lane.times;
    if (times.captured_through) {
        row["captured_through_us"] = to_microseconds(*times.captured_through);
        row["capture_lag_seconds"] =
            std::max(0.0, seconds_between(*times.captured_through, times.marker_clock));
        row["delivery_lag_seconds"] =
            std::max(0.0, seconds_between(times.marker_clock, times.marker_received));
    }
    if (times.applied_through && times.captured_through) {
        row["apply_lag_seconds"] =
            std::max(0.0, seconds_between(*times.applied_through, *times.captured_through));
    }
    row["total_lag_seconds"] = seconds_or_null(times.applied_through, now);
    show_catch_up(lane, now, row);
    if (lane.took) {
        row["lag_percentiles"] = {{"window_seconds", secondary::Latencies::window.count()},
                                  {"changes", lane.took->changes},
                                  {"p50_seconds", lane.took->p50_seconds},
                                  {"p95_seconds", lane.took->p95_seconds},
                                  {"p99_seconds", lane.took->p99_seconds}};
    }
    row["backlog_events"] = lane.order.waiting;
    row["backlog_bytes"] = lane.order.waiting_bytes;
    row["position"] = lane.order.finished.to_string();
    row["safe_position"] = relay_.status().safe.position.to_string();
    row["applied"] = lane.order.applied;
    row["verified"] = lane.items - std::min(lane.unproven, lane.items);
    if (lane.database) {
        row["lsn"] = lane.database->lsn.to_string();
        row["applied"] = lane.database->transactions;
        row["verified"] = lane.database->transactions;
    }
    if (SecondaryDatabase* const database = database_of(lane.store)) {
        if (const auto version = database->watch().server_version()) {
            row["server_version"] = *version;
        }
        row["read_only"] = database->watch().show_fence();
        row["skipped"] = database->watch().show_skipped();
        row["check"] = database->checks().show();
    }
    if (sweeps_.contains(lane.store)) {
        row["content_check"] = show_content_check(lane.store);
        row["inventory"] = show_inventory(lane.store);
    }
    row["mismatches"] = lane.order.mismatches;
    row["parked"] = lane.exceptions;
    row["waiting"] = lane.order.waiting;
    if (lane.copy) {
        row["copy"] = show_copy(*lane.copy, seconds_between(lane.copy_since, now));
    }
    return row;
}

std::string SecondaryHalf::why_unknown(
    const std::vector<secondary::ReceiverLaneStatus>& lanes) const {
    for (const auto& lane : lanes) {
        if (lane.copying) {
            return "initial copy of " + lane.store.to_string();
        }
    }
    for (const auto& lane : lanes) {
        if (lane.gap) {
            return "comparing " + lane.store.to_string() + " with the primary";
        }
        if (!lane.times.captured_through) {
            return "no complete capture of " + lane.store.to_string() + " yet";
        }
    }
    return "nothing has been applied yet";
}

void SecondaryHalf::show_took(nlohmann::json& status) const {
    for (nlohmann::json& row : status["stores"]) {
        const auto store = StoreId::parse(row["store"].get<std::string>());
        const auto total = receiver_.latencies(*store);
        row["took"] = {{"bounds", secondary::Latencies::bounds()},
                       {"counts", total.counts},
                       {"sum_seconds", total.sum_seconds}};
    }
}

void SecondaryHalf::show(nlohmann::json& out) const {
    const TimePoint now = clock_.now();
    const auto lanes = receiver_.status();
    for (const auto& lane : lanes) {
        out["stores"].push_back(show_lane(lane, now));
    }
    for (const secondary::Exception& exception : registry_.exceptions(exceptions_shown)) {
        const bool plain = printable(exception.item) == exception.item;
        out["exceptions"].push_back(
            {{"store", exception.store.to_string()},
             {"item", exception.item == protocol::whole_store ? std::string("the whole store")
                                                              : printable(exception.item)},
             {"item_hex", plain ? nlohmann::json() : nlohmann::json(to_hex(exception.item))},
             {"kind", secondary::to_string(exception.kind)},
             {"class", secondary::to_string(exception.failure)},
             {"reason", exception.reason},
             {"next_step", exception.next_step},
             {"since_us", to_microseconds(exception.since)},
             {"tries", exception.tries},
             {"next_try_us", to_microseconds(exception.next_try)},
             {"position", exception.position.to_string()}});
    }
    if (!config_.http.token_file.empty()) {
        out["actions"].push_back("resync");
    }
    const secondary::RelayStatus relay = relay_.status();
    out["refused"] = {{"events", relay.refused},
                      {"reason", relay.refusal},
                      {"next_step", relay.refused == 0 ? "" : secondary::refusal_remedy}};
    out["pulls"] = show_pulls(pulls_, pull_places_.traffic());
    out["stream"] = stream_watch_.show();
    if (const auto point = receiver_.recovery_point()) {
        out["recovery_point_us"] = to_microseconds(*point);
    } else {
        out["recovery_point_reason"] = why_unknown(lanes);
    }
}

}  // namespace antipode
