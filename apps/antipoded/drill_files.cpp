#include "apps/antipoded/drill_files.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "failover/durable.hpp"

namespace antipode {
namespace {

constexpr size_t most_kept = 20;

std::filesystem::path directory_of(const Config& config) {
    return config.state_dir / "drills";
}

/// In the order of their names, which is that of their times.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
        if (entry.path().extension() == ".json") {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

nlohmann::json read(const std::filesystem::path& file) {
    const auto text = failover::read_whole(file);
    auto drill = nlohmann::json::parse(text.value_or(""), nullptr, false);
    return drill.is_object() && drill.contains("drill") ? drill : nlohmann::json();
}

}  // namespace

void keep_drill(const Config& config, const nlohmann::json& drill) {
    const auto directory = directory_of(config);
    std::filesystem::create_directories(directory);
    failover::replace_durably(directory / (drill.at("drill").get<std::string>() + ".json"),
                              dump(drill) + "\n");
    std::vector<std::filesystem::path> files = files_in(directory);
    for (size_t i = 0; i + most_kept < files.size(); ++i) {
        failover::remove_durably(files[i]);
    }
}

std::vector<nlohmann::json> kept_drills(const Config& config) {
    std::vector<nlohmann::json> drills;
    for (const auto& file : files_in(directory_of(config))) {
        if (nlohmann::json drill = read(file); !drill.is_null()) {
            drills.push_back(std::move(drill));
        }
    }
    return drills;
}

void end_stopped_drills(const Config& config) {
    for (nlohmann::json& drill : kept_drills(config)) {
        if (drill.value("outcome", "") == "runs") {
            drill["outcome"] = "stopped";
            drill["problem"] = "the daemon ended, or its role changed, before the drill did";
            keep_drill(config, drill);
        }
    }
}

nlohmann::json newest_drill(const Config& config) {
    const auto files = files_in(directory_of(config));
    const nlohmann::json drill = files.empty() ? nlohmann::json() : read(files.back());
    if (drill.is_null()) {
        return nullptr;
    }
    nlohmann::json summary;
    for (const char* const key :
         {"drill", "outcome", "began_at_us", "open_seconds", "known_lost", "unknown_seconds"}) {
        summary[key] = drill.contains(key) ? drill[key] : nlohmann::json();
    }
    return summary;
}

}  // namespace antipode
