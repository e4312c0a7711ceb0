#include "apps/antipode/sites.hpp"

#include <vector>

#include <nlohmann/json.hpp>

#include "apps/antipode/status.hpp"
#include "apps/antipode/status_view.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// What one site's server says, or why it says nothing.
struct Seen {
    const Config::Site* site = nullptr;
    std::optional<EpochRecordView> record;
    std::string problem;

    std::string role() const {
        if (!problem.empty() || !record) {
            return std::string(unknown);
        }
        return record->primary == site->name ? "primary" : "secondary";
    }
    std::string note() const {
        return !problem.empty() ? problem : !record ? "no epoch record" : record->state;
    }
};

Seen look(const Config::Site& site, const EpochRecords& records) {
    try {
        return {&site, records.read(site), {}};
    } catch (const Error& error) {
        return {&site, std::nullopt, error.what()};
    }
}

Json to_json(const Seen& seen) {
    return {{"site", seen.site->name},
            {"nats", seen.site->nats},
            {"http", seen.site->http},
            {"epoch", seen.record ? Json(seen.record->epoch) : Json()},
            {"primary", seen.record ? Json(seen.record->primary) : Json()},
            {"role", seen.role() == unknown ? Json() : Json(seen.role())},
            {"state", seen.record ? Json(seen.record->state) : Json()},
            {"problem", seen.problem}};
}

void print(const std::vector<Seen>& sites, const Config& config, const Output& output) {
    if (output.json()) {
        Json document = {
            {"schema", "antipode.sites/1"}, {"cluster", config.cluster}, {"sites", Json::array()}};
        for (const Seen& seen : sites) {
            document["sites"].push_back(to_json(seen));
        }
        output.out << document.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
        return;
    }
    Table table(
        {{"SITE"}, {"ROLE"}, {"EPOCH", Table::Align::Right}, {"NATS"}, {"HTTP"}, {"STATE"}});
    for (const Seen& seen : sites) {
        table.add({seen.site->name + (seen.site->name == config.site ? "*" : ""), seen.role(),
                   seen.record ? std::to_string(seen.record->epoch) : std::string(unknown),
                   seen.site->nats, seen.site->http, seen.note()});
    }
    output.out << table.render(output.coloured);
}

}  // namespace

ExitCode list_sites(const Config& config, const EpochRecords& records, const Output& output) {
    std::vector<Seen> sites;
    for (const Config::Site& site : config.sites) {
        sites.push_back(look(site, records));
    }
    print(sites, config, output);
    return ExitCode::Ok;
}

ExitCode show_site(const Config& config, const EpochRecords& records, const Fetch& fetch,
                   const Output& output, const std::string& name) {
    const Config::Site& site = require_site(config, name);
    print({look(site, records)}, config, output);
    if (output.json()) {
        return ExitCode::Ok;
    }
    const StatusReport status = get_status(fetch, daemon_of(config, site));
    output.out << "antipoded " << status.version;
    if (status.started) {
        output.out << ", running for " << format_age(status.now - *status.started);
    }
    output.out << "\n\n" << render_lag(status, output.coloured);
    return ExitCode::Ok;
}

ExitCode init_sites(const Config& config, const EpochRecords& records, const Output& output,
                    const std::string& primary) {
    require_site(config, primary);
    std::vector<Seen> sites;
    std::string silent;
    for (const Config::Site& site : config.sites) {
        Seen seen{&site, std::nullopt, {}};
        try {
            seen.record = records.create(site, primary);
        } catch (const Error& error) {
            seen.problem = error.what();
            silent += (silent.empty() ? "" : ", ") + site.name + " (" + error.what() + ")";
        }
        if (seen.record && seen.record->primary != primary) {
            throw CommandError(
                ExitCode::Conflict,
                "cluster " + config.cluster + " has a primary already: " + seen.record->primary +
                    ", in epoch " + std::to_string(seen.record->epoch) + ", says " + site.name,
                "antipode sites list");
        }
        sites.push_back(seen);
    }
    print(sites, config, output);
    if (!silent.empty()) {
        throw CommandError(
            ExitCode::Unreachable, "no epoch record could be written on " + silent,
            "antipode sites init --primary " + primary + ", again, once it can be reached");
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
