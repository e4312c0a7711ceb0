#include "apps/antipode/deletions.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/site_requester.hpp"
#include "apps/antipode/status.hpp"
#include "apps/antipode/status_report.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t examples_shown = 5;

/// The site that was named, else the primary, as this site's daemon knows it.
const Config::Site& site_of(const Config& config, const Fetch& fetch,
                            const DeletionsOptions& options) {
    if (options.site) {
        return require_site(config, *options.site);
    }
    const Config::Site& here = require_site(config, config.site);
    for (const SiteRow& row : get_status(fetch, daemon_of(config, here)).sites) {
        if (row.role == "primary" && config.find_site(row.site) != nullptr) {
            return require_site(config, row.site);
        }
    }
    throw CommandError(ExitCode::Unknown, "it is not known here which site is the primary",
                       "antipode deletions --site SITE");
}

StatusReport status_of_primary(const Config& config, const Fetch& fetch, const Config::Site& site) {
    StatusReport report = get_status(fetch, daemon_of(config, site));
    if (report.role != "primary") {
        throw CommandError(ExitCode::Usage,
                           harmless(report.site) + " is \"" + harmless(report.role) +
                               "\": deletions are held on the primary",
                           "antipode sites list");
    }
    return report;
}

std::string names_of(const DeletionsRow& row) {
    std::string names;
    for (size_t i = 0; i < row.examples.size() && i < examples_shown; ++i) {
        names += (names.empty() ? "" : ", ") + harmless(row.examples[i]);
    }
    return names + (row.held + row.discarded > examples_shown ? ", ..." : "");
}

void confirm(const Output& output, const DeletionsOptions& options, const std::string& store,
             const std::string& what) {
    if (options.yes || options.confirmed == store) {
        return;
    }
    output.error << what << "\nType the name of the store, " << store << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != store) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was changed",
                           "the same command with --confirm " + store + ", or --yes");
    }
}

ExitCode decide(const Config& config, const OpenBucket& open, const Fetch& fetch,
                const Clock& clock, const Output& output, const DeletionsOptions& options,
                bool release) {
    const StoreId store = find_stores(config, options.store).front();
    const Config::Site& site = site_of(config, fetch, options);
    const StatusReport report = status_of_primary(config, fetch, site);
    DeletionsRow row;
    for (const StoreRow& candidate : report.stores) {
        if (candidate.store == store.to_string()) {
            row = candidate.deletions.value_or(DeletionsRow{});
        }
    }
    const uint64_t concerned = row.held + (release ? row.discarded : 0);
    if (concerned > 0) {
        confirm(output, options, store.to_string(),
                counted(concerned, "item", "items") + " of " + store.to_string() +
                    (release ? " will be deleted on every secondary: "
                             : " will stay on the secondaries: ") +
                    names_of(row));
    }
    v1::SiteRequest request;
    request.set_action(release ? "release-deletions" : "discard-deletions");
    request.set_store(store.to_string());
    request.set_operator_name(operator_name());
    // Whoever was asked was told how many; whoever was not takes what there is.
    const bool was_asked = !options.yes && options.confirmed != store.to_string();
    request.set_at_most(was_asked ? concerned : UINT64_MAX);
    SiteRequester requests(site, open, clock, options.pause);
    const uint64_t count = concerned == 0 ? 0 : requests.ask(request);
    if (output.json()) {
        output.out << Json{{"schema", "antipode.deletions/1"},
                           {"site", site.name},
                           {"store", store.to_string()},
                           {"decision", release ? "released" : "discarded"},
                           {"items", count}}
                          .dump()
                   << "\n";
        return ExitCode::Ok;
    }
    output.out << store.to_string() << ": ";
    if (count == 0) {
        output.out << "no deletion is held\n";
    } else if (release) {
        output.out << counted(count, "deletion is", "deletions are") << " released\n";
    } else {
        output.out << counted(count, "deletion is", "deletions are")
                   << " discarded: secondaries keep the items\n";
    }
    return ExitCode::Ok;
}

}  // namespace

ExitCode show_deletions(const Config& config, const Fetch& fetch, const Output& output,
                        const DeletionsOptions& options) {
    const Config::Site& site = site_of(config, fetch, options);
    const StatusReport report = status_of_primary(config, fetch, site);
    Table table({{"STORE"},
                 {"HELD", Table::Align::Right},
                 {"DISCARDED", Table::Align::Right},
                 {"SINCE"},
                 {"ITEMS"}});
    Json rows = Json::array();
    std::string undecided;
    for (const StoreRow& store : report.stores) {
        if (!store.deletions) {
            continue;
        }
        const DeletionsRow& row = *store.deletions;
        undecided = undecided.empty() && row.held > 0 ? store.store : undecided;
        rows.push_back({{"store", store.store},
                        {"held", row.held},
                        {"discarded", row.discarded},
                        {"since_us", row.since ? Json(to_microseconds(*row.since)) : Json()},
                        {"examples", row.examples}});
        table.add({harmless(store.store), format_count(row.held), format_count(row.discarded),
                   row.since ? format_age(report.now - *row.since) : "-", names_of(row)});
    }
    const ExitCode code = undecided.empty() ? ExitCode::Ok : ExitCode::Findings;
    if (output.json()) {
        output.out << Json{{"schema", "antipode.deletions/1"},
                           {"site", site.name},
                           {"stores", rows}}
                          .dump()
                   << "\n";
    } else if (rows.empty()) {
        output.out << site.name << ": no deletion is held\n";
    } else {
        output.out << table.render(output.coloured);
    }
    if (!undecided.empty() && !output.json()) {
        output.out << "They are on the secondaries still. Meant? antipode deletions release "
                   << harmless(undecided)
                   << "\nA mistake? Bring the files back (a mount, a backup, "
                   << "a secondary); what is back is no more held.\n"
                   << "Gone here for good, but kept there? antipode deletions discard "
                   << harmless(undecided) << "\n";
    }
    return code;
}

ExitCode release_deletions(const Config& config, const OpenBucket& open, const Fetch& fetch,
                           const Clock& clock, const Output& output,
                           const DeletionsOptions& options) {
    return decide(config, open, fetch, clock, output, options, true);
}

ExitCode discard_deletions(const Config& config, const OpenBucket& open, const Fetch& fetch,
                           const Clock& clock, const Output& output,
                           const DeletionsOptions& options) {
    return decide(config, open, fetch, clock, output, options, false);
}

}  // namespace antipode::cli
