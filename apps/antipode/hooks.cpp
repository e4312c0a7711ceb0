#include "apps/antipode/hooks.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/git/hooks.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/places.hpp"

namespace antipode::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_named = 5;

git::HookSettings settings_of(const Config& config, const Config::Repositories& store) {
    return {hook_program(), hook_spool(config, store.name)};
}

git::HookAction to_git(HooksAction action) {
    switch (action) {
        case HooksAction::Status:
            return git::HookAction::Show;
        case HooksAction::Install:
            return git::HookAction::Install;
        case HooksAction::Remove:
            return git::HookAction::Remove;
    }
    return git::HookAction::Show;
}

/// What to do in which store: everything below `root`.
struct Target {
    const Config::Repositories* store = nullptr;
    fs::path root;
};

bool is_within(const fs::path& path, const fs::path& root) {
    const auto [end, ignored] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
    return end == root.end();
}

std::vector<Target> targets(const Config& config, const std::optional<std::string>& path) {
    std::vector<Target> found;
    for (const Config::Repositories& store : config.repositories) {
        const fs::path root = fs::weakly_canonical(store.root);
        if (!path) {
            found.push_back({&store, root});
        } else if (is_within(fs::weakly_canonical(*path), root)) {
            found.push_back({&store, fs::weakly_canonical(*path)});
        }
    }
    if (found.empty()) {
        throw CommandError(ExitCode::Usage,
                           path ? *path + " is below no root of the configuration"
                                : std::string("the configuration names no store of repositories"),
                           "antipode config show");
    }
    return found;
}

struct Row {
    std::string store;
    git::HookReport report;

    bool wrong(HooksAction action) const {
        const bool installed = report.status == git::HookStatus::Installed;
        return !report.problem.empty() || (action != HooksAction::Remove && !installed);
    }
};

std::vector<Row> run(const Config& config, HooksAction action,
                     const std::optional<std::string>& path) {
    std::vector<Row> rows;
    for (const Target& target : targets(config, path)) {
        for (git::HookReport& report :
             git::for_all_hooks(target.root, settings_of(config, *target.store), to_git(action))) {
            rows.push_back({"repositories/" + target.store->name, std::move(report)});
        }
    }
    return rows;
}

void print(const std::vector<Row>& rows, const Output& output) {
    if (output.json()) {
        nlohmann::ordered_json document = {{"schema", "antipode.hooks/1"},
                                           {"repositories", nlohmann::ordered_json::array()}};
        for (const Row& row : rows) {
            document["repositories"].push_back({{"store", row.store},
                                                {"repository", printable(row.report.repository)},
                                                {"status", git::to_string(row.report.status)},
                                                {"chained", row.report.chained},
                                                {"problem", printable(row.report.problem)}});
        }
        output.out << document.dump() << "\n";
        return;
    }
    Table table({{"STORE"}, {"REPOSITORY"}, {"HOOK"}, {"NOTE"}});
    for (const Row& row : rows) {
        const std::string chained = row.report.chained ? "calls the one that was there" : "";
        table.add({row.store,
                   printable(row.report.repository),
                   {git::to_string(row.report.status),
                    row.wrong(HooksAction::Status) ? Colour::Yellow : Colour::Green},
                   row.report.problem.empty() ? chained : printable(row.report.problem)});
    }
    output.out << table.render(output.coloured);
}

}  // namespace

ExitCode run_hooks(const Config& config, const Output& output, HooksAction action,
                   const std::optional<std::string>& path) {
    const std::vector<Row> rows = run(config, action, path);
    print(rows, output);
    const bool wrong =
        std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.wrong(action); });
    return wrong ? ExitCode::Findings : ExitCode::Ok;
}

Check hooks_check() {
    return {"hooks", [](const Config& config) -> Findings {
                if (config.repositories.empty()) {
                    return {};
                }
                const std::vector<Row> rows = run(config, HooksAction::Status, std::nullopt);
                std::string names;
                size_t without = 0;
                for (const Row& row : rows) {
                    if (row.wrong(HooksAction::Status) && ++without <= most_named) {
                        names += " " + printable(row.report.repository);
                    }
                }
                if (without > 0) {
                    return {bad("hooks", "",
                                std::to_string(without) + " of " + std::to_string(rows.size()) +
                                    " repositories are without the hook, a push to them is found "
                                    "by the next reconcile only:" +
                                    names + (without > most_named ? " ..." : ""),
                                "antipode hooks install")};
                }
                return {good("hooks", "", std::to_string(rows.size()) + " repositories have it")};
            }};
}

}  // namespace antipode::cli
