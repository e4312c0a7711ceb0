#include "apps/antipode/sites.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/nats/key_value.hpp"
#include "apps/antipode/status.hpp"
#include "apps/antipode/status_view.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "protocol/message.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

/// What one site's server says, or why it says nothing.
struct Seen {
    const Config::Site* site = nullptr;
    std::unique_ptr<KeyValue> bucket;
    std::optional<failover::Epoch> epoch;
    std::string problem;
    bool unreachable = false;  ///< `problem` is that its server does not answer

    std::string role() const {
        if (!epoch) {
            return std::string(unknown);
        }
        return epoch->record.primary() == site->name ? "primary" : "secondary";
    }
    std::string note() const {
        return !problem.empty() ? problem : !epoch ? "no epoch record" : epoch->record.state();
    }
};

Seen look(const Config& config, const Config::Site& site, const OpenBucket& open, bool create) {
    Seen seen{&site, nullptr, std::nullopt, {}, false};
    try {
        seen.bucket = open(site, create);
        seen.epoch = failover::read_epoch(*seen.bucket, config.cluster);
    } catch (const Error& error) {
        seen.problem = error.what();
        seen.unreachable = error.reaction() == Reaction::Retry;
    }
    return seen;
}

std::vector<Seen> look_at_all(const Config& config, const OpenBucket& open, bool create) {
    std::vector<Seen> sites;
    for (const Config::Site& site : config.sites) {
        sites.push_back(look(config, site, open, create));
    }
    return sites;
}

Json to_json(const Seen& seen) {
    return {{"site", seen.site->name},
            {"nats", seen.site->nats},
            {"http", seen.site->http},
            {"epoch", seen.epoch ? Json(seen.epoch->record.epoch()) : Json()},
            {"primary", seen.epoch ? Json(seen.epoch->record.primary()) : Json()},
            {"role", seen.role() == unknown ? Json() : Json(seen.role())},
            {"state", seen.epoch ? Json(seen.epoch->record.state()) : Json()},
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
                   seen.epoch ? std::to_string(seen.epoch->record.epoch()) : std::string(unknown),
                   seen.site->nats, seen.site->http, seen.note()});
    }
    output.out << table.render(output.coloured);
}

/// The newest record that any site holds.
std::optional<failover::Epoch> newest(const std::vector<Seen>& sites) {
    std::optional<failover::Epoch> found;
    for (const Seen& seen : sites) {
        if (seen.epoch && (!found || seen.epoch->record.epoch() > found->record.epoch())) {
            found = seen.epoch;
        }
    }
    return found;
}

/// Creates the cluster's first record on the primary's own server.
failover::Epoch create(const Config& config, std::vector<Seen>& sites, const Clock& clock,
                       const std::string& primary) {
    const auto home = std::find_if(sites.begin(), sites.end(),
                                   [&](const Seen& seen) { return seen.site->name == primary; });
    if (!home->problem.empty()) {
        throw CommandError(
            ExitCode::Unreachable,
            "the epoch record cannot be written on " + primary + ": " + home->problem,
            "start nats-server of " + primary + " with JetStream");
    }
    const auto created =
        failover::create_epoch(*home->bucket, config.cluster, primary,
                               "antipode sites init on " + config.site, clock.now());
    if (!created) {
        throw CommandError(ExitCode::Conflict, "somebody else just named a primary",
                           "antipode sites list");
    }
    return *created;
}

void copy_to(Seen& seen, const Config& config, const failover::Epoch& epoch) {
    if (!seen.problem.empty()) {
        return;
    }
    try {
        failover::adopt_epoch(*seen.bucket, config.cluster, epoch.record);
        seen.epoch = failover::read_epoch(*seen.bucket, config.cluster);
    } catch (const Error& error) {
        seen.problem = error.what();
    }
}

}  // namespace

OpenBucket nats_buckets(const Config& config) {
    return [config](const Config::Site& site, bool create) -> std::unique_ptr<KeyValue> {
        const bool own = site.name == config.site;
        return std::make_unique<nats::Bucket>(
            nats::Endpoint{own ? config.nats.url : site.nats, config.nats.credentials_file,
                           "antipode sites"},
            protocol::bucket_name(config.cluster), create);
    };
}

ExitCode list_sites(const Config& config, const OpenBucket& open, const Output& output) {
    const std::vector<Seen> sites = look_at_all(config, open, false);
    print(sites, config, output);
    const bool silent =
        std::all_of(sites.begin(), sites.end(), [](const Seen& seen) { return seen.unreachable; });
    if (silent) {
        throw CommandError(ExitCode::Unreachable, "no site's nats-server answers",
                           "antipode doctor");
    }
    return ExitCode::Ok;
}

ExitCode show_site(const Config& config, const OpenBucket& open, const Fetch& fetch,
                   const Output& output, const std::string& name) {
    const Config::Site& site = require_site(config, name);
    std::vector<Seen> sites;
    sites.push_back(look(config, site, open, false));
    print(sites, config, output);
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

ExitCode init_sites(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const std::string& primary) {
    require_site(config, primary);
    std::vector<Seen> sites = look_at_all(config, open, true);
    std::optional<failover::Epoch> epoch = newest(sites);
    if (epoch && epoch->record.primary() != primary) {
        throw CommandError(ExitCode::Conflict,
                           "cluster " + config.cluster +
                               " has a primary already: " + epoch->record.primary() +
                               ", in epoch " + std::to_string(epoch->record.epoch()),
                           "antipode sites list");
    }
    if (!epoch) {
        epoch = create(config, sites, clock, primary);
    }
    std::string missing;
    for (Seen& seen : sites) {
        copy_to(seen, config, *epoch);
        if (!seen.problem.empty()) {
            missing += (missing.empty() ? "" : ", ") + seen.site->name + " (" + seen.problem + ")";
        }
    }
    print(sites, config, output);
    if (!missing.empty()) {
        throw CommandError(
            ExitCode::Unreachable, "no epoch record could be written on " + missing,
            "antipode sites init --primary " + primary + ", again, once it can be reached");
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
