#include "apps/antipoded/sequence_headroom.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "adapters/postgres/sequence_headroom.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/words.hpp"
#include "failover/durable.hpp"

namespace antipode {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t most_named = 100;

std::string text_of(const Json& json) {
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json to_json(const postgres::SequenceHeadroom& headroom) {
    Json moves = Json::array();
    for (const postgres::SequenceMove& move : headroom.moves) {
        moves.push_back({move.from.name.schema, move.from.name.table, move.from.value,
                         move.from.called, move.to});
    }
    Json left = Json::array();
    for (const auto& one : headroom.left) {
        left.push_back({{"sequence", printable(one.name.to_string())}, {"why", one.why}});
    }
    return {{"moves", moves}, {"left", left}};
}

std::vector<postgres::SequenceMove> moves_of(const Json& plan) {
    std::vector<postgres::SequenceMove> moves;
    for (const Json& move : plan["moves"]) {
        moves.push_back({{{move.at(0), move.at(1)}, move.at(2), move.at(3)}, move.at(4)});
    }
    return moves;
}

/// What each store's sequences are to do, as far as that was written down for `operation`.
Json read_plans(const std::filesystem::path& file, const std::string& operation) {
    const auto text = failover::read_whole(file);
    Json plans = Json::parse(text.value_or(""), nullptr, false);
    if (!plans.is_object() || plans.value("operation", "") != operation) {
        plans = {{"operation", operation}, {"stores", Json::object()}};
    }
    return plans;
}

Json row_of(const std::string& store, uint64_t calls, const Json& plan) {
    const Json& all = plan["left"];
    Json left = Json::array();
    for (size_t i = 0; i < std::min(all.size(), most_named); ++i) {
        left.push_back(all[i]);
    }
    return {{"store", store},
            {"headroom", calls},
            {"moved", plan["moves"].size()},
            {"left", left},
            {"left_count", all.size()}};
}

void log(const Json& row) {
    const uint64_t moved = row["moved"];
    spdlog::info("{}: {} moved on by {} each, which the old primary may have given out",
                 row["store"].get<std::string>(), counted(moved, "sequence", "sequences"),
                 counted(row["headroom"], "number", "numbers"));
    for (const Json& left : row["left"]) {
        spdlog::warn("{}: the sequence {} stays where it is: {}", row["store"].get<std::string>(),
                     left["sequence"].get<std::string>(), left["why"].get<std::string>());
    }
}

void add_to_report(const Config& config, const std::string& operation, const Json& rows) {
    Json report = Json::parse(LossReports::read(config, operation).value_or(""), nullptr, false);
    if (report.is_object()) {
        report["sequences"] = rows;
        LossReports::write(config, operation, text_of(report));
    }
}

/// Behind the point of no return no sequence is worth that writes stay closed: what may not be read
/// is left, and named.
Json plan_for(const Config::Database& store, const std::string& application) {
    try {
        return to_json(postgres::plan_headroom(store.url, application, store.sequence_headroom));
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Stop) {
            throw;
        }
        return {{"moves", Json::array()},
                {"left", Json::array({{{"sequence", "all of them"}, {"why", error.what()}}})}};
    }
}

}  // namespace

void make_sequence_headroom(const Config& config, const std::string& operation) {
    const auto file = config.state_dir / "sequence-headroom.json";
    Json plans = read_plans(file, operation);
    Json rows = Json::array();
    for (const Config::Database& store : config.databases) {
        if (store.sequence_headroom == 0) {
            continue;
        }
        const std::string id = StoreId{StoreKind::Database, store.name}.to_string();
        const std::string application =
            "antipode " + config.cluster + " " + config.site + " " + store.name + " sequences";
        if (!plans["stores"].contains(id)) {
            plans["stores"][id] = plan_for(store, application);
            failover::replace_durably(file, text_of(plans));
        }
        const Json& plan = plans["stores"][id];
        postgres::move_ahead(store.url, application, moves_of(plan));
        rows.push_back(row_of(id, store.sequence_headroom, plan));
        log(rows.back());
    }
    add_to_report(config, operation, rows);
}

}  // namespace antipode
