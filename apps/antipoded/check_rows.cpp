#include "apps/antipoded/check_rows.hpp"

#include <nlohmann/json.hpp>

#include "base/words.hpp"

namespace antipode {
namespace {

using nlohmann::json;

/// Of a database: compared with the primary's.
json database_row(const json& check) {
    json row = {{"checked_us", check["finished_us"]},
                {"equal_us", nullptr},
                {"differing", check["differing"]},
                {"undecided", check["undecided"]},
                {"differed", nullptr},
                {"extras", nullptr},
                {"last_differing", nullptr},
                {"what", check["reason"]},
                {"next_step", check["next_step"]}};
    const auto undecided = check["undecided"].get<uint64_t>();
    if (undecided > 0 && check["differing"] == 0) {
        row["what"] = counted(undecided, "table", "tables") +
                      " could not be compared: written to, or unreadable, each time";
        row["next_step"] = "antipode database check";
    }
    return row;
}

/// What removes the one thing that was never applied; of several, or one with a name that no shell
/// takes as it is, what names them.
std::string removal_of(const json& store, const std::string& site) {
    const json& content = store["content_check"];
    const auto name = content["first_extra"].get<std::string>();
    const std::string plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+@:=";
    const bool one = content["extras"] == 1 && !name.empty() && name.front() != '-' &&
                     name.find_first_not_of(plain + "-") == std::string::npos;
    const std::string of = store["store"].get<std::string>() + " --site " + site;
    return one ? "antipode resync --store " + of + " " + name : "antipode verify " + of;
}

/// Of files or repositories: read again, and their inventory compared with the primary's.
json items_row(const json& store, const std::string& site) {
    const json& content = store["content_check"];
    const json& inventory = store["inventory"];
    json row = {{"checked_us", content["oldest_us"]},
                {"equal_us", inventory["equal_us"]},
                {"differing", inventory["differed"]},
                {"undecided", inventory["undecided"]},
                {"differed", content["differed"]},
                {"extras", content["extras"]},
                {"last_differing", content.value("last_differing", "")},
                {"what", ""},
                {"next_step", ""}};
    if (const uint64_t repeated = content.value("repeated", uint64_t{0}); repeated > 0) {
        row["what"] =
            counted(repeated, "item does", "items do") + " not stay as applied, the worst " +
            content["most_repeated"].get<std::string>() + ": found to differ " +
            std::to_string(content["most_repeated_times"].get<uint64_t>()) + " times within a day";
        row["next_step"] = "look at that machine's disk and memory: dmesg, smartctl -a";
    } else if (content["extras"].is_number() && content["extras"] > 0) {
        const auto extras = content["extras"].get<uint64_t>();
        row["what"] = counted(extras, "thing is", "things are") +
                      (extras > 1 ? " there that were never applied, the first "
                                  : " there that was never applied, ") +
                      content["first_extra"].get<std::string>();
        row["next_step"] = removal_of(store, site);
    }
    return row;
}

/// Another site's daemon may be of another version.
bool is_check(const json& row) {
    return row.is_object() && row.contains("store") && row["store"].is_string() &&
           (!row.contains("what") || row["what"].is_string());
}

std::string result_of(const json& row) {
    const auto what = row.value("what", std::string());
    return what.empty() ? "equal to the primary's" : what;
}

}  // namespace

json check_rows(const json& status) {
    json rows = json::array();
    for (const json& store : status["stores"]) {
        json row;
        if (store.contains("check") && store["check"].is_object()) {
            row = database_row(store["check"]);
        } else if (store.contains("inventory")) {
            row = items_row(store, status["site"]);
        } else {
            continue;
        }
        row["store"] = store["store"];
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<CheckNews::News> CheckNews::hear(const std::vector<v1::SiteReport>& reports) {
    std::vector<News> news;
    for (const v1::SiteReport& report : reports) {
        const json site = json::parse(report.status_json(), nullptr, false);
        const auto rows = site.is_object() ? site.find("checks") : site.end();
        if (report.role() != "secondary" || rows == site.end() || !rows->is_array()) {
            continue;
        }
        for (const json& row : *rows) {
            if (!is_check(row)) {
                continue;
            }
            const auto store = StoreId::parse(row["store"].get<std::string>());
            if (!store || store->kind != StoreKind::Database) {
                continue;
            }
            const std::string now = row.value("checked_us", json()).dump() + " " + result_of(row);
            const auto [known, first] = known_.try_emplace({report.site(), *store}, now);
            if (!first && known->second != now) {
                known->second = now;
                news.push_back({*store, report.site() + ": " + result_of(row)});
            }
        }
    }
    return news;
}

}  // namespace antipode
