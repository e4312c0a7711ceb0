#include "apps/antipoded/loss_reports.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "adapters/http/client.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "failover/durable.hpp"
#include "failover/epoch.hpp"
#include "failover/loss.hpp"

namespace antipode {
namespace {

nlohmann::json parse(const std::string& text) {
    auto report = nlohmann::json::parse(text, nullptr, false);
    return report.is_object() ? report : nlohmann::json::object();
}

/// Nothing will be added to it.
bool is_rejoined(const nlohmann::json& report) {
    const auto at = report.find("rejoined_at_us");
    return at != report.end() && !at->is_null();
}

std::filesystem::path directory_of(const Config& config) {
    return config.state_dir / "loss-reports";
}

std::set<std::filesystem::path> files_in(const std::filesystem::path& directory) {
    std::set<std::filesystem::path> files;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
        if (entry.path().extension() == ".json") {
            files.insert(entry.path());
        }
    }
    return files;
}

/// The newest last.
std::vector<std::filesystem::path> by_age(const std::filesystem::path& directory) {
    std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> aged;
    for (const auto& file : files_in(directory)) {
        aged.emplace_back(std::filesystem::last_write_time(file), file);
    }
    std::sort(aged.begin(), aged.end());
    std::vector<std::filesystem::path> files;
    files.reserve(aged.size());
    for (auto& [written, file] : aged) {
        files.push_back(std::move(file));
    }
    return files;
}

std::filesystem::path newest_in(const std::filesystem::path& directory) {
    const auto files = by_age(directory);
    return files.empty() ? std::filesystem::path() : files.back();
}

/// Empty: it does not answer, or knows nothing of that yet.
std::string ask(const std::string& url) {
    try {
        const auto answer = http::http_get(url);
        return answer.status == 200 ? answer.body : std::string();
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Retry) {
            throw;
        }
        return {};
    }
}

}  // namespace

std::filesystem::path LossReports::file_of(const Config& config, const std::string& operation) {
    if (!is_valid_name(operation)) {
        throw Error(Reaction::Stop, "the operation's id is none: " + printable(operation),
                    "ask for the operation again, by antipode");
    }
    return directory_of(config) / (operation + ".json");
}

void LossReports::write(const Config& config, const std::string& operation,
                        const std::string& report) {
    const auto file = file_of(config, operation);
    std::filesystem::create_directories(file.parent_path());
    failover::replace_durably(file, report);
}

std::optional<std::string> LossReports::read(const Config& config, const std::string& operation) {
    const auto file =
        operation.empty() ? newest_in(directory_of(config)) : file_of(config, operation);
    return file.empty() ? std::nullopt : failover::read_whole(file);
}

/// A promotion that was given up has left one of the same epoch, which is older.
std::optional<std::string> LossReports::of_epoch(const Config& config, uint64_t epoch) {
    const auto files = by_age(directory_of(config));
    for (auto file = files.rbegin(); file != files.rend(); ++file) {
        auto text = failover::read_whole(*file);
        if (text && parse(*text).value("epoch_ended", uint64_t{0}) + 1 == epoch) {
            return text;
        }
    }
    return std::nullopt;
}

void LossReports::note_nothing_lost(const Config& config, const v1::EpochRecord& record,
                                    const Clock& clock) {
    const v1::EpochStart* const start = failover::start_of(record, record.epoch());
    const Config::Site* const primary = config.find_site(record.primary());
    if (start == nullptr || start->from() != config.site || start->fenced_by().empty() ||
        primary == nullptr) {
        return;
    }
    const std::string epoch = std::to_string(record.epoch());
    const auto answer = http::http_get(primary->http + "/v1/loss?epoch=" + epoch);
    const auto operation = parse(answer.body).value("operation", "");
    if (answer.status != 200 || !is_valid_name(operation)) {
        throw Error(Reaction::Retry,
                    record.primary() + " does not give the loss report of epoch " + epoch,
                    "antipode status " + record.primary());
    }
    failover::FinalLoss nothing;
    nothing.site = config.site;
    nothing.at = clock.now();
    write(config, operation,
          failover::rejoined_report(failover::complete_report(answer.body, nothing), clock.now()));
}

void LossReports::complete() {
    for (const auto& file : files_in(directory_of(config_))) {
        if (!completed_.contains(file)) {
            complete(file);
        }
    }
}

void LossReports::complete(const std::filesystem::path& file) {
    const auto text = failover::read_whole(file);
    const nlohmann::json report = parse(text.value_or(""));
    const auto operation = report.value("operation", "");
    const auto from = report.value("old_primary", "");
    const Config::Site* const old_primary = config_.find_site(from);
    if (is_rejoined(report) || old_primary == nullptr || from == config_.site ||
        report.value("new_primary", "") != config_.site) {
        completed_.insert(file);
        return;
    }
    const auto answer = ask(old_primary->http + "/v1/loss?operation=" + operation);
    const nlohmann::json theirs = parse(answer);
    if (theirs.value("state", "") == "final" && theirs.value("operation", "") == operation &&
        answer != *text) {
        failover::replace_durably(file, answer);
        spdlog::info("{}: {} was looked at; the loss report is final: {} lost", operation, from,
                     theirs.value("known_lost", uint64_t{0}));
    }
}

}  // namespace antipode
