#include "apps/antipoded/metrics.hpp"

#include <nlohmann/json.hpp>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace antipode {
namespace {

constexpr double microseconds_per_second = 1e6;

using Labels = std::map<std::string, std::string>;

void gauge(prometheus::Registry& registry, const char* name, const char* help, const Labels& labels,
           const nlohmann::json& value, double scale = 1) {
    if (value.is_number()) {
        prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels).Set(
            value.get<double>() / scale);
    }
}

/// One that is filled at once: its counts are of a daemon's whole life, and a registry lives for
/// one answer.
void histogram(prometheus::Registry& registry, const char* name, const char* help,
               const Labels& labels, const nlohmann::json& took) {
    prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Register(registry)
        .Add(labels, took["bounds"].get<std::vector<double>>())
        .ObserveMultiple(took["counts"].get<std::vector<double>>(),
                         took["sum_seconds"].get<double>());
}

void render_store(prometheus::Registry& registry, const nlohmann::json& store) {
    const Labels labels = {{"store", store["store"].get<std::string>()}};
    gauge(registry, "antipode_store_captured_through_timestamp_seconds",
          "Everything up to here is captured on the primary.", labels, store["captured_through_us"],
          microseconds_per_second);
    gauge(registry, "antipode_store_lag_seconds",
          "How far this site is behind the primary's capture and clock.", labels,
          store["total_lag_seconds"]);
    for (const char* stage : {"capture", "delivery", "apply"}) {
        Labels of_stage = labels;
        of_stage["stage"] = stage;
        gauge(registry, "antipode_store_stage_lag_seconds",
              "The part of the lag that arises there, by the newest marker.", of_stage,
              store[std::string(stage) + "_lag_seconds"]);
    }
    gauge(registry, "antipode_store_catches_up_seconds",
          "Until the lag is gone at the rate of the last minute.", labels,
          store["catches_up_seconds"]);
    if (store.contains("took")) {
        histogram(registry, "antipode_store_applied_after_seconds",
                  "From a change's commit or capture on the primary until it was applied here.",
                  labels, store["took"]);
    }
    gauge(registry, "antipode_store_backlog_events", "Events that wait here.", labels,
          store["backlog_events"]);
    gauge(registry, "antipode_store_backlog_bytes", "Their bytes.", labels, store["backlog_bytes"]);
    gauge(registry, "antipode_store_verified", "Items or transactions whose digest was checked.",
          labels, store["verified"]);
    gauge(registry, "antipode_store_mismatches",
          "Digests that were not as captured, since the daemon started.", labels,
          store["mismatches"]);
    if (store["slot"].is_object()) {
        gauge(registry, "antipode_store_slot_retained_bytes",
              "Write-ahead log that the primary's server keeps for this store's slot.", labels,
              store["slot"]["retained_bytes"]);
        gauge(registry, "antipode_store_slot_safe_wal_bytes",
              "How much more log may be written until the server may end the slot.", labels,
              store["slot"]["safe_wal_bytes"]);
        gauge(registry, "antipode_store_slot_retention_seconds",
              "Until a site that is away lacks log, at the rate of the last ten minutes.", labels,
              store["slot"]["retention_seconds"]);
        gauge(registry, "antipode_store_slot_let_go_sites",
              "Sites whose needs the slot has passed because of slot_max_bytes.", labels,
              store["slot"]["let_go"].size());
    }
    if (store.contains("defects")) {
        gauge(registry, "antipode_store_defects",
              "Items that are broken on the primary's disk, though nobody changed them.", labels,
              store["defects"]);
    }
    if (store.contains("deletions")) {
        gauge(registry, "antipode_store_held_deletions",
              "Deletions on the primary that an operator has to release or discard.", labels,
              store["deletions"]["held"]);
    }
    if (store.contains("content_check") && store["content_check"].is_object()) {
        const auto& check = store["content_check"];
        gauge(registry, "antipode_store_content_check_oldest_timestamp_seconds",
              "When the item was read again that waits for it the longest.", labels,
              check["oldest_us"], microseconds_per_second);
        gauge(registry, "antipode_store_content_check_differed",
              "Items that were ever found not to be as they were applied.", labels,
              check.value("found_by_reading", nlohmann::json()));
        gauge(registry, "antipode_store_unproven",
              "Repositories that are here and whose objects are still to be read.", labels,
              check.value("unproven", nlohmann::json()));
        gauge(registry, "antipode_store_repeated_mismatches",
              "Items that were found to differ three times or more within a day.", labels,
              check.value("repeated", nlohmann::json()));
        gauge(registry, "antipode_store_content_check_extras",
              "What is here and was never applied.", labels,
              check.value("extras", nlohmann::json()));
    }
    if (store.contains("inventory")) {
        const auto& inventory = store["inventory"];
        gauge(registry, "antipode_store_inventory_equal_timestamp_seconds",
              "When this site's inventory was last equal to the primary's.", labels,
              inventory["equal_us"], microseconds_per_second);
        gauge(registry, "antipode_store_inventory_differed",
              "Items in which the inventories differed at the same position.", labels,
              inventory["differed"]);
        gauge(registry, "antipode_store_inventory_undecided",
              "Parts, of 1024, that could not be compared at the last look.", labels,
              inventory["undecided"]);
    }
    if (store.contains("check") && store["check"].is_object()) {
        const auto& check = store["check"];
        gauge(registry, "antipode_store_check_timestamp_seconds",
              "When the last comparison of everything with the primary's database ended.", labels,
              check["finished_us"], microseconds_per_second);
        gauge(registry, "antipode_store_check_rows",
              "Rows that were compared, by the last results.", labels, check["rows"]);
        gauge(registry, "antipode_store_check_differing",
              "Tables, or other parts, that differed when they were last compared.", labels,
              check["differing"]);
        gauge(registry, "antipode_store_check_undecided",
              "Tables that were written to all the time when they were last compared.", labels,
              check["undecided"]);
    }
    gauge(registry, "antipode_store_parked", "Items that failed and are tried again.", labels,
          store["parked"]);
}

/// Nothing of it where there is no witness.
void render_lease(prometheus::Registry& registry, const nlohmann::json& lease) {
    gauge(registry, "antipode_fencer_runs", "1 while antipode-fencer runs beside the daemon.", {},
          lease["fencer"]["runs"].get<bool>() ? 1 : 0);
    gauge(registry, "antipode_fencer_problem",
          "1 while antipode-fencer runs, and could not do what it is there for.", {},
          lease["fencer"]["problem"] != "" ? 1 : 0);
    if (!lease["holds"].is_boolean()) {
        return;
    }
    gauge(registry, "antipode_lease_held", "1 while the primary may have writes open.", {},
          lease["holds"].get<bool>() ? 1 : 0);
    gauge(registry, "antipode_lease_remaining_seconds",
          "Until the fences are closed unless the lease is renewed.", {},
          lease["remaining_seconds"]);
    gauge(registry, "antipode_lease_ways", "By how many of two it is held: witness, other sites.",
          {}, (lease["at_witness"].get<bool>() ? 1 : 0) + (lease["at_sites"].get<bool>() ? 1 : 0));
}

}  // namespace

std::string render_metrics(const nlohmann::json& status) {
    prometheus::Registry registry;
    gauge(registry, "antipode_info", "Constant 1; what runs here.",
          {{"version", status["version"].get<std::string>()},
           {"site", status["site"].get<std::string>()},
           {"role", status["role"].get<std::string>()}},
          1);
    gauge(registry, "antipode_epoch", "Number of the current primaryship.", {}, status["epoch"]);
    gauge(registry, "antipode_start_timestamp_seconds", "When the daemon started.", {},
          status["started_us"], microseconds_per_second);
    gauge(registry, "antipode_recovery_point_timestamp_seconds",
          "Everything captured up to here is applied on this site.", {},
          status["recovery_point_us"], microseconds_per_second);
    if (status["stream"].is_object()) {
        gauge(registry, "antipode_stream_bytes", "What this site's stream holds.", {},
              status["stream"]["bytes"]);
        gauge(registry, "antipode_stream_max_bytes", "What it may hold.", {},
              status["stream"]["max_bytes"]);
        gauge(registry, "antipode_stream_retention_seconds",
              "Until it is full, at the rate of the last ten minutes, if nothing is taken out.", {},
              status["stream"]["retention_seconds"]);
    }
    if (const auto lease = status.find("lease"); lease != status.end() && lease->is_object()) {
        render_lease(registry, *lease);
    }
    for (const auto& disk : status["disks"]) {
        const Labels labels = {{"path", disk["path"].get<std::string>()}};
        gauge(registry, "antipode_disk_available_bytes",
              "Room on a file system that this site writes to.", labels, disk["available_bytes"]);
        gauge(registry, "antipode_disk_size_bytes", "Its size.", labels, disk["size_bytes"]);
    }
    if (status["refused"].is_object()) {
        gauge(
            registry, "antipode_refused_events",
            "Messages of the primary's stream that are not this cluster's and epoch's, or broken, "
            "since the daemon started.",
            {}, status["refused"]["events"]);
    }
    if (status["pulls"].is_object()) {
        const auto& pulls = status["pulls"];
        gauge(registry, "antipode_pulls_missing_bytes", "Large content that is not here yet.", {},
              pulls["missing_bytes"]);
        gauge(registry, "antipode_pulls_received_bytes",
              "That came from the primary beside the stream, as they passed the wire, since the "
              "daemon became a secondary.",
              {}, pulls["received_bytes"]);
        gauge(registry, "antipode_pulls_content_bytes",
              "The same without compression: the difference was saved.", {},
              pulls["content_bytes"]);
        gauge(registry, "antipode_pulls_inventory_bytes",
              "Of what came: lists of what there is and their sums, to compare and to mend gaps.",
              {}, pulls["inventory_bytes"]);
    }
    for (const auto& store : status["stores"]) {
        render_store(registry, store);
    }
    for (const auto& worker : status["workers"]) {
        gauge(registry, "antipode_worker_healthy", "1 while the worker gets on.",
              {{"worker", worker["name"].get<std::string>()}},
              worker["healthy"].get<bool>() ? 1 : 0);
    }
    return prometheus::TextSerializer().Serialize(registry.Collect());
}

}  // namespace antipode
