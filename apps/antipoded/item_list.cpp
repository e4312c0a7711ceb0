#include "apps/antipoded/item_list.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "apps/antipoded/primary_half.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "base/digest.hpp"

namespace antipode {
namespace {

using Json = nlohmann::json;

constexpr size_t most_items = 1000;

Json time_or_null(const std::optional<TimePoint>& time) {
    return time ? Json(to_microseconds(*time)) : Json();
}

/// What every row has. Names are raw bytes: where what is shown is not the name, it is there in
/// hexadecimal, too.
Json empty_item(const std::string& item) {
    Json row = {{"item", printable(item)}, {"state", "unknown"}};
    for (const char* key : {"item_hex", "digest", "position", "applied_us", "verified_us",
                            "verify_asked", "problem"}) {
        row[key] = nullptr;
    }
    if (printable(item) != item) {
        row["item_hex"] = to_hex(item);
    }
    return row;
}

Json show_problem(const secondary::Exception& exception) {
    return {{"class", secondary::to_string(exception.failure)},
            {"reason", exception.reason},
            {"next_step", exception.next_step},
            {"since_us", to_microseconds(exception.since)},
            {"tries", exception.tries},
            {"next_try_us", to_microseconds(exception.next_try)}};
}

Json show_item(const secondary::Registry::ListedItem& item) {
    Json row = empty_item(item.item);
    if (item.state) {
        row["state"] = item.state->digest.empty() ? "removed" : "applied";
        row["digest"] = item.state->digest.to_string();
        row["position"] = item.state->position.to_string();
        row["applied_us"] = time_or_null(item.applied_at);
        row["verified_us"] = time_or_null(item.looked_at);
        row["verify_asked"] = item.look_asked;
    }
    if (item.exception) {
        row["state"] = secondary::to_string(item.exception->kind);
        row["problem"] = show_problem(*item.exception);
    }
    return row;
}

std::string_view word_of(primary::Inventory::Decision decision) {
    using Decision = primary::Inventory::Decision;
    switch (decision) {
        case Decision::Held:
            return "deletion held";
        case Decision::Discarded:
            return "deletion discarded";
        case Decision::Released:
            return "deletion released";
    }
    return "?";
}

Json show_item(const primary::Inventory::ListedItem& item) {
    Json row = empty_item(item.item);
    if (item.published) {
        const bool forgotten = item.published->forgotten();
        row["state"] =
            forgotten ? "to be published" : (item.published->removed() ? "removed" : "published");
        row["digest"] = forgotten ? Json() : Json(item.published->digest.to_string());
        row["position"] = item.position.to_string();
    }
    if (item.withheld) {
        row["state"] = word_of(*item.withheld);
    }
    if (item.defect) {
        row["state"] = "broken";
        row["problem"] = {
            {"class", "primary defect"},
            {"reason", item.defect->reason},
            {"next_step", "check the disk; bring it back from a backup or from a secondary"},
            {"since_us", to_microseconds(item.defect->since)},
            {"tries", nullptr},
            {"next_try_us", nullptr}};
    }
    return row;
}

template <typename Source>
Json rows_of(const Source& source, const StoreId& store, const ItemQuery& query) {
    Json rows = Json::array();
    for (const auto& item : source.list(store, query)) {
        rows.push_back(show_item(item));
        rows.back()["token"] = to_hex(item.item);
    }
    return rows;
}

struct Refused {
    std::string problem;
    std::string next_step;
};

std::optional<std::string> value_of(const http::HttpRequest& request, const std::string& name) {
    const auto found = request.query.find(name);
    return found == request.query.end() ? std::nullopt : std::optional(found->second);
}

size_t read_most(const std::string& text) {
    size_t most = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9' || most > most_items) {
            throw Refused{"most=" + printable(text) + " is no number from 1 to 1000", "most=100"};
        }
        most = most * 10 + static_cast<size_t>(digit - '0');
    }
    if (most == 0 || most > most_items) {
        throw Refused{"most=" + printable(text) + " is no number from 1 to 1000", "most=100"};
    }
    return most;
}

ItemQuery read_query(const http::HttpRequest& request) {
    ItemQuery query;
    query.item = value_of(request, "item");
    query.prefix = value_of(request, "prefix").value_or("");
    const std::string only = value_of(request, "only").value_or("");
    if (only == "failed") {
        query.only = ItemQuery::Only::Failed;
    } else if (only == "differing") {
        query.only = ItemQuery::Only::Differing;
    } else if (!only.empty()) {
        throw Refused{"only=" + printable(only) + " is not known", "only=failed, only=differing"};
    }
    if (const auto after = value_of(request, "after")) {
        query.after = from_hex(*after);
        if (!query.after) {
            throw Refused{"after= is no token of an earlier answer", "begin without it"};
        }
    }
    if (const auto most = value_of(request, "most")) {
        query.most = read_most(*most);
    }
    return query;
}

}  // namespace

nlohmann::json SecondaryHalf::items(const StoreId& store, const ItemQuery& query) const {
    return rows_of(registry_, store, query);
}

nlohmann::json PrimaryHalf::items(const StoreId& store, const ItemQuery& query) const {
    return rows_of(*inventory_, store, query);
}

http::HttpResponse answer_items(const http::HttpRequest& request, const std::string& site,
                                const std::vector<StoreId>& known, const AskItems& ask) {
    const auto store = StoreId::parse(value_of(request, "store").value_or(""));
    if (!store || store->kind == StoreKind::Database ||
        std::find(known.begin(), known.end(), *store) == known.end()) {
        return http::error_response(404, "this site has no such store of files or repositories",
                                    "antipode status");
    }
    if (!ask) {
        return http::error_response(503, "this site has no role now", "antipode status");
    }
    ItemQuery query;
    try {
        query = read_query(request);
    } catch (const Refused& refused) {
        return http::error_response(400, refused.problem, refused.next_step);
    }
    const size_t most = query.most++;
    Json rows = ask(*store, query);
    Json document = {{"schema", "antipode.items/1"},
                     {"site", site},
                     {"store", store->to_string()},
                     {"items", Json::array()},
                     {"next", nullptr}};
    if (rows.size() > most) {
        rows.erase(most);
        document["next"] = rows.back()["token"];
    }
    for (Json& row : rows) {
        row.erase("token");
    }
    document["items"] = std::move(rows);
    return {.body = dump(document) + "\n"};
}

}  // namespace antipode
