#include "apps/antipode/item_list.hpp"

#include <nlohmann/json.hpp>

#include "adapters/http/url.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// Which stores are asked, and whether the subject is an item of theirs.
struct Asked {
    std::vector<StoreId> stores;
    std::optional<std::string> item;
};

bool is_store(const std::vector<StoreId>& stores, const std::string& text) {
    return std::any_of(stores.begin(), stores.end(), [&](const StoreId& store) {
        return store.to_string() == text || store.name == text;
    });
}

Asked read_subject(const Config& config, const ItemListOptions& options) {
    std::optional<std::string> store = options.store;
    Asked asked;
    if (options.subject && !store && is_store(config.stores(), *options.subject)) {
        store = options.subject;
    } else {
        asked.item = options.subject;
    }
    asked.stores = find_stores(config, store);
    std::erase_if(asked.stores, [](const StoreId& id) { return id.kind == StoreKind::Database; });
    if (asked.stores.empty()) {
        throw CommandError(ExitCode::Usage, "a database's rows are compared, not listed",
                           "antipode database check");
    }
    if (options.after && asked.stores.size() > 1) {
        throw CommandError(ExitCode::Usage, "--after goes on in one store; there are several",
                           "antipode items " + asked.stores.front().to_string() + " --after ...");
    }
    return asked;
}

std::string query_of(const StoreId& store, const std::optional<std::string>& item,
                     const ItemListOptions& options) {
    std::string query = "/v1/items?store=" + http::percent_encode(store.to_string()) +
                        "&most=" + std::to_string(options.most);
    const auto add = [&](const std::string& name, const std::string& value) {
        query += "&" + name + "=" + http::percent_encode(value);
    };
    if (item) {
        add("item", *item);
    }
    if (!options.prefix.empty()) {
        add("prefix", options.prefix);
    }
    if (options.failed || options.differing) {
        add("only", options.differing ? "differing" : "failed");
    }
    if (options.after) {
        add("after", *options.after);
    }
    return query;
}

Json ask(const Fetch& fetch, const std::string& daemon, const std::string& query) {
    Json answer = Json::parse(get(fetch, daemon, query), nullptr, false);
    if (!answer.is_object() || answer.value("schema", "") != "antipode.items/1" ||
        !answer.contains("items") || !answer["items"].is_array()) {
        throw CommandError(ExitCode::Failed, daemon + " does not list items",
                           "compare the versions of Antipode (antipode version)");
    }
    return answer;
}

std::string text_in(const Json& row, const char* key, std::string_view otherwise) {
    return row.contains(key) && row[key].is_string() ? harmless(row[key].get<std::string>())
                                                     : std::string(otherwise);
}

std::optional<TimePoint> time_in(const Json& row, const char* key) {
    return row.contains(key) && row[key].is_number_integer()
               ? std::optional(from_microseconds(row[key].get<int64_t>()))
               : std::nullopt;
}

std::string moment_in(const Json& row, const char* key, TimePoint now) {
    const auto time = time_in(row, key);
    return time ? format_time(*time, now) + " (" + format_age(now - *time) + " ago)"
                : std::string(unknown);
}

/// "local defect: its digest is ...; 3 tries, next in 5s"
std::string describe_problem(const Json& row, TimePoint now) {
    if (!row.contains("problem") || !row["problem"].is_object()) {
        return {};
    }
    const Json& problem = row["problem"];
    std::string text = text_in(problem, "class", "") + ": " + text_in(problem, "reason", unknown);
    if (problem.contains("tries") && problem["tries"].is_number_unsigned()) {
        const auto tries = problem["tries"].get<uint64_t>();
        text += "; " + std::to_string(tries) + (tries == 1 ? " try" : " tries");
    }
    const auto next = time_in(problem, "next_try_us");
    if (next && *next > now) {
        text += ", next in " + format_age(*next - now);
    }
    return text;
}

std::string age_in(const Json& row, const char* key, TimePoint now) {
    const auto time = time_in(row, key);
    return time ? format_age(now - *time) : std::string(unknown);
}

void print_one(const Output& output, const Json& answer, const Json& row, TimePoint now) {
    output.out << text_in(answer, "store", unknown) << " " << text_in(row, "item", unknown)
               << " on " << text_in(answer, "site", unknown) << ": "
               << text_in(row, "state", unknown) << "\n  digest    "
               << text_in(row, "digest", unknown) << "\n  position  "
               << text_in(row, "position", unknown) << "\n  applied   "
               << moment_in(row, "applied_us", now) << "\n  verified  "
               << (row.contains("verify_asked") && row["verify_asked"] == true
                       ? "to be read again"
                       : moment_in(row, "verified_us", now))
               << "\n";
    const std::string problem = describe_problem(row, now);
    if (!problem.empty()) {
        output.out << "  problem   " << problem
                   << "\nTry: " << text_in(row["problem"], "next_step", "antipode resync --failed")
                   << "\n";
    }
}

void print_list(const Output& output, const Json& answers, TimePoint now) {
    Table table({{"STORE"},
                 {"ITEM"},
                 {"STATE"},
                 {"DIGEST"},
                 {"POSITION"},
                 {"APPLIED", Table::Align::Right},
                 {"VERIFIED", Table::Align::Right},
                 {"PROBLEM"}});
    constexpr size_t digest_shown = 24;
    std::string more;
    bool any = false;
    for (const Json& answer : answers) {
        const std::string store = text_in(answer, "store", unknown);
        for (const Json& row : answer["items"]) {
            any = true;
            table.add({store, text_in(row, "item", unknown), text_in(row, "state", unknown),
                       text_in(row, "digest", unknown).substr(0, digest_shown),
                       text_in(row, "position", unknown), age_in(row, "applied_us", now),
                       age_in(row, "verified_us", now), describe_problem(row, now)});
        }
        const std::string next = text_in(answer, "next", "");
        more += next.empty() ? "" : "more: antipode items " + store + " --after " + next + "\n";
    }
    output.out << (any ? table.render(output.coloured) : "no such items\n") << more;
}

}  // namespace

ExitCode list_items(const Config& config, const Fetch& fetch, const Clock& clock,
                    const Output& output, const ItemListOptions& options) {
    const Config::Site& site = require_site(config, options.site.value_or(config.site));
    const Asked asked = read_subject(config, options);
    Json answers = Json::array();
    const Json* found = nullptr;
    size_t items = 0;
    for (const StoreId& store : asked.stores) {
        answers.push_back(
            ask(fetch, daemon_of(config, site), query_of(store, asked.item, options)));
        items += answers.back()["items"].size();
    }
    for (const Json& answer : answers) {
        found = found == nullptr && !answer["items"].empty() ? &answer : found;
    }
    if (asked.item && found == nullptr && !options.failed && !options.differing) {
        throw CommandError(ExitCode::Unknown,
                           site.name + " knows nothing of " + harmless(*asked.item),
                           "antipode items --prefix TEXT lists names");
    }
    if (output.json()) {
        output.out << Json{{"schema", "antipode.items/1"},
                           {"site", site.name},
                           {"stores", std::move(answers)}}
                          .dump()
                   << "\n";
    } else if (asked.item && items == 1) {
        print_one(output, *found, (*found)["items"][0], clock.now());
    } else {
        print_list(output, answers, clock.now());
    }
    const bool findings = (options.failed || options.differing) && items > 0;
    return findings ? ExitCode::Findings : ExitCode::Ok;
}

}  // namespace antipode::cli
