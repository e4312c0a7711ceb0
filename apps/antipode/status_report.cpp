#include "apps/antipode/status_report.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/drill.hpp"
#include "apps/antipode/exit_code.hpp"

namespace antipode::cli {
namespace {

using nlohmann::json;

constexpr std::string_view schema = "antipode.status/1";

/// The value at `key`; nullopt when it is null, absent or of another type.
template <typename Value>
std::optional<Value> get(const json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end()) {
        return std::nullopt;
    }
    if constexpr (std::is_same_v<Value, std::string>) {
        return found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
    } else if constexpr (std::is_same_v<Value, bool>) {
        return found->is_boolean() ? std::optional(found->get<bool>()) : std::nullopt;
    } else if constexpr (std::is_same_v<Value, TimePoint>) {
        return found->is_number_integer() ? std::optional(from_microseconds(found->get<int64_t>()))
                                          : std::nullopt;
    } else {
        return found->is_number() ? std::optional(found->get<Value>()) : std::nullopt;
    }
}

std::string text(const json& object, const char* key) {
    return get<std::string>(object, key).value_or("");
}

/// The objects in the list at `key`.
template <typename Row, typename Read>
std::vector<Row> rows(const json& object, const char* key, Read read) {
    std::vector<Row> result;
    const auto found = object.find(key);
    if (found != object.end() && found->is_array()) {
        for (const json& element : *found) {
            if (element.is_object()) {
                result.push_back(read(element));
            }
        }
    }
    return result;
}

CheckRow read_check(const json& row) {
    return {.store = text(row, "store"),
            .checked = get<TimePoint>(row, "checked_us"),
            .equal = get<TimePoint>(row, "equal_us"),
            .differing = get<uint64_t>(row, "differing"),
            .differed = get<uint64_t>(row, "differed"),
            .last_differing = text(row, "last_differing"),
            .what = text(row, "what"),
            .next_step = text(row, "next_step")};
}

SiteRow read_site(const json& row) {
    return {.site = text(row, "site"),
            .role = text(row, "role"),
            .state = text(row, "state"),
            .recovery_point = get<TimePoint>(row, "recovery_point_us"),
            .lag_seconds = get<double>(row, "lag_seconds"),
            .verified = get<uint64_t>(row, "verified"),
            .parked = get<uint64_t>(row, "parked"),
            .report_at = get<TimePoint>(row, "report_at_us"),
            .reason = text(row, "reason"),
            .next_step = text(row, "next_step"),
            .checks = rows<CheckRow>(row, "checks", read_check),
            .retention_seconds = get<double>(row, "retention_seconds")};
}

std::optional<CopyRow> read_copy(const json& row) {
    const auto found = row.find("copy");
    if (found == row.end() || !found->is_object()) {
        return std::nullopt;
    }
    return CopyRow{.tables_done = get<uint64_t>(*found, "tables_done").value_or(0),
                   .tables = get<uint64_t>(*found, "tables").value_or(0),
                   .rows = get<uint64_t>(*found, "rows").value_or(0),
                   .bytes = get<uint64_t>(*found, "bytes").value_or(0),
                   .bytes_per_second = get<double>(*found, "bytes_per_second"),
                   .remaining_seconds = get<double>(*found, "remaining_seconds"),
                   .table = text(*found, "table")};
}

std::optional<ContentCheckRow> read_content_check(const json& row) {
    const auto found = row.find("content_check");
    if (found == row.end() || !found->is_object()) {
        return std::nullopt;
    }
    return ContentCheckRow{.asked = get<uint64_t>(*found, "asked").value_or(0),
                           .failing = get<uint64_t>(*found, "failing").value_or(0),
                           .failing_since = get<TimePoint>(*found, "failing_since_us"),
                           .unproven = get<uint64_t>(*found, "unproven").value_or(0),
                           .oldest = get<TimePoint>(*found, "oldest_us"),
                           .names_asked = get<bool>(*found, "names_asked").value_or(false),
                           .differed = get<uint64_t>(*found, "differed").value_or(0),
                           .extras = get<uint64_t>(*found, "extras").value_or(0),
                           .first_extra = text(*found, "first_extra")};
}

std::optional<DeletionsRow> read_deletions(const json& row) {
    const auto found = row.find("deletions");
    if (found == row.end() || !found->is_object()) {
        return std::nullopt;
    }
    DeletionsRow deletions{.held = get<uint64_t>(*found, "held").value_or(0),
                           .discarded = get<uint64_t>(*found, "discarded").value_or(0),
                           .since = get<TimePoint>(*found, "since_us")};
    const auto examples = found->find("examples");
    if (examples != found->end() && examples->is_array()) {
        for (const json& example : *examples) {
            deletions.examples.push_back(example.is_string() ? example.get<std::string>() : "?");
        }
    }
    return deletions;
}

std::optional<PercentilesRow> read_percentiles(const json& row) {
    const auto found = row.find("lag_percentiles");
    if (found == row.end() || !found->is_object()) {
        return std::nullopt;
    }
    return PercentilesRow{.p50_seconds = get<double>(*found, "p50_seconds"),
                          .p95_seconds = get<double>(*found, "p95_seconds"),
                          .p99_seconds = get<double>(*found, "p99_seconds"),
                          .changes = get<uint64_t>(*found, "changes")};
}

/// `key`: "stream" or "slot"; an older daemon does not say how long it lasts.
std::optional<RetentionRow> read_retention(const json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_object() || !found->contains("retention_seconds")) {
        return std::nullopt;
    }
    return RetentionRow{.seconds = get<double>(*found, "retention_seconds"),
                        .bytes_per_second = get<double>(*found, "bytes_per_second")};
}

StoreRow read_store(const json& row) {
    return {.store = text(row, "store"),
            .state = text(row, "state"),
            .reason = text(row, "reason"),
            .next_step = text(row, "next_step"),
            .captured_through = get<TimePoint>(row, "captured_through_us"),
            .capture_lag_seconds = get<double>(row, "capture_lag_seconds"),
            .delivery_lag_seconds = get<double>(row, "delivery_lag_seconds"),
            .apply_lag_seconds = get<double>(row, "apply_lag_seconds"),
            .total_lag_seconds = get<double>(row, "total_lag_seconds"),
            .catches_up_seconds = get<double>(row, "catches_up_seconds"),
            .apply_rate = get<double>(row, "apply_rate"),
            .percentiles = read_percentiles(row),
            .slot = read_retention(row, "slot"),
            .backlog_events = get<uint64_t>(row, "backlog_events"),
            .backlog_bytes = get<uint64_t>(row, "backlog_bytes"),
            .applied = get<uint64_t>(row, "applied"),
            .verified = get<uint64_t>(row, "verified"),
            .mismatches = get<uint64_t>(row, "mismatches"),
            .parked = get<uint64_t>(row, "parked"),
            .waiting = get<uint64_t>(row, "waiting"),
            .lsn = Lsn::parse(text(row, "lsn")),
            .server_version = text(row, "server_version"),
            .copy = read_copy(row),
            .content_check = read_content_check(row),
            .deletions = read_deletions(row)};
}

ExceptionRow read_exception(const json& row) {
    return {.store = text(row, "store"),
            .item = text(row, "item"),
            .kind = text(row, "kind"),
            .failure_class = text(row, "class"),
            .reason = text(row, "reason"),
            .next_step = text(row, "next_step"),
            .since = get<TimePoint>(row, "since_us"),
            .tries = get<uint64_t>(row, "tries"),
            .next_try = get<TimePoint>(row, "next_try_us")};
}

RefusedRow read_refused(const json& document) {
    const auto found = document.find("refused");
    if (found == document.end() || !found->is_object()) {
        return {};
    }
    return {.events = get<uint64_t>(*found, "events").value_or(0),
            .reason = text(*found, "reason"),
            .next_step = text(*found, "next_step")};
}

std::vector<std::string> read_changed_limits(const json& document) {
    std::vector<std::string> names;
    const auto found = document.find("limits");
    if (found != document.end() && found->is_object()) {
        for (const auto& [name, limit] : found->items()) {
            if (limit.is_object() && get<TimePoint>(limit, "changed_us")) {
                names.push_back(name);
            }
        }
    }
    return names;
}

std::optional<DrillRow> read_drill(const json& document) {
    const auto found = document.find("drill");
    const auto began = found != document.end() && found->is_object()
                           ? get<TimePoint>(*found, "began_at_us")
                           : std::nullopt;
    return began ? std::optional(DrillRow{
                       *began, drill_in_words(nlohmann::ordered_json::parse(found->dump()))})
                 : std::nullopt;
}

std::optional<LeaseRow> read_lease(const json& document) {
    const auto found = document.find("lease");
    if (found == document.end() || !found->is_object()) {
        return std::nullopt;
    }
    return LeaseRow{.holds = get<bool>(*found, "holds"),
                    .remaining_seconds = get<double>(*found, "remaining_seconds"),
                    .at_witness = get<bool>(*found, "at_witness").value_or(false),
                    .at_sites = get<bool>(*found, "at_sites").value_or(false),
                    .wait_seconds = get<double>(*found, "wait_seconds"),
                    .obstacle = text(*found, "obstacle")};
}

std::vector<DiskRow> read_disks(const json& document) {
    auto disks = rows<DiskRow>(document, "disks", [](const json& row) {
        return DiskRow{text(row, "problem"), text(row, "next_step")};
    });
    std::erase_if(disks, [](const DiskRow& disk) { return disk.problem.empty(); });
    return disks;
}

WorkerRow read_worker(const json& row) {
    return {.name = text(row, "name"),
            .healthy = get<bool>(row, "healthy").value_or(false),
            .problem = text(row, "problem"),
            .next_step = text(row, "next_step"),
            .since = get<TimePoint>(row, "since_us")};
}

}  // namespace

StatusReport StatusReport::parse(const std::string& text_form, const std::string& source) {
    const auto document = nlohmann::json::parse(text_form, nullptr, false);
    if (!document.is_object() || text(document, "schema") != schema) {
        throw CommandError(ExitCode::Failed, source + " answered something that is no status",
                           "curl " + source + "/v1/status");
    }
    const auto now = get<TimePoint>(document, "now_us");
    if (!now) {
        throw CommandError(ExitCode::Failed, source + " answered a status without now_us",
                           "curl " + source + "/v1/status");
    }
    StatusReport report;
    report.cluster = text(document, "cluster");
    report.site = text(document, "site");
    report.role = text(document, "role");
    report.epoch = get<uint64_t>(document, "epoch");
    report.version = text(document, "version");
    report.now = *now;
    report.started = get<TimePoint>(document, "started_us");
    report.open_files = get<uint64_t>(document, "open_files");
    report.open_files_limit = get<uint64_t>(document, "open_files_limit");
    report.recovery_point = get<TimePoint>(document, "recovery_point_us");
    report.recovery_point_reason = text(document, "recovery_point_reason");
    report.refused = read_refused(document);
    report.stream = read_retention(document, "stream");
    report.drill = read_drill(document);
    report.lease = read_lease(document);
    report.limits = read_changed_limits(document);
    report.sites = rows<SiteRow>(document, "sites", read_site);
    report.stores = rows<StoreRow>(document, "stores", read_store);
    report.exceptions = rows<ExceptionRow>(document, "exceptions", read_exception);
    report.workers = rows<WorkerRow>(document, "workers", read_worker);
    report.disks = read_disks(document);
    report.json = text_form;
    return report;
}

}  // namespace antipode::cli
