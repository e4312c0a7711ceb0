#include "apps/antipode/hooks.hpp"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/git/hooks.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/places.hpp"
#include "base/words.hpp"

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

/// One repository: what for_all_hooks() does for each below a root.
git::HookReport handle_one(const fs::path& repository, const git::HookSettings& settings,
                           HooksAction action) {
    git::HookReport report;
    report.repository = repository.filename().string();
    try {
        if (action == HooksAction::Install) {
            git::install_hook(repository, settings);
        } else if (action == HooksAction::Remove) {
            git::remove_hook(repository);
        }
    } catch (const Error& error) {
        report.problem = error.describe();
    }
    report.status = git::hook_status(repository, settings);
    return report;
}

bool is_repository(const fs::path& path) {
    return fs::is_regular_file(path / "HEAD") && fs::is_directory(path / "objects") &&
           fs::is_directory(path / "refs");
}

struct Row {
    std::string store;
    git::HookReport report;

    bool missing() const { return report.status != git::HookStatus::Installed; }
    bool wrong(bool wanted) const { return !report.problem.empty() || (wanted && missing()); }
};

std::vector<Row> run(const Config& config, HooksAction action,
                     const std::optional<std::string>& path) {
    std::vector<Row> rows;
    for (const Target& target : targets(config, path)) {
        const git::HookSettings settings = settings_of(config, *target.store);
        const std::vector<git::HookReport> reports =
            is_repository(target.root) ? std::vector{handle_one(target.root, settings, action)}
                                       : git::for_all_hooks(target.root, settings, to_git(action));
        for (const git::HookReport& report : reports) {
            rows.push_back({"repositories/" + target.store->name, report});
        }
    }
    if (rows.empty() && path) {
        throw CommandError(ExitCode::Usage, "there is no bare repository at or below " + *path,
                           "antipode hooks status");
    }
    return rows;
}

/// `wanted`: a repository without the hook is a finding.
void print(const std::vector<Row>& rows, bool wanted, const Output& output) {
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
        const Colour colour = row.wrong(wanted) ? Colour::Yellow
                              : row.missing()   ? Colour::Plain
                                                : Colour::Green;
        table.add({row.store,
                   printable(row.report.repository),
                   {git::to_string(row.report.status), colour},
                   row.report.problem.empty() ? chained : printable(row.report.problem)});
    }
    output.out << table.render(output.coloured);
}

std::string roots(const Config& config) {
    std::string list;
    for (const Config::Repositories& store : config.repositories) {
        list += (list.empty() ? "" : ", ") + store.root.string();
    }
    return list;
}

}  // namespace

ExitCode run_hooks(const Config& config, const OpenBucket& open, const Output& output,
                   HooksAction action, const std::optional<std::string>& path) {
    const std::vector<Row> rows = run(config, action, path);
    if (rows.empty() && !output.json()) {
        output.out << "no repositories below " << roots(config) << "\n";
        return ExitCode::Ok;
    }
    const bool missing =
        std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.missing(); });
    const bool on_secondary =
        action == HooksAction::Status && missing && is_secondary(config, open);
    const bool wanted = action != HooksAction::Remove && !on_secondary;
    print(rows, wanted, output);
    if (on_secondary && !output.json()) {
        output.out << "this site is a secondary: nothing is pushed here, so it needs no hooks\n";
    }
    const bool wrong =
        std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.wrong(wanted); });
    return wrong ? ExitCode::Findings : ExitCode::Ok;
}

ExitCode install_hook_template(const Config& config, const Output& output,
                               const fs::path& directory, const std::optional<std::string>& path) {
    const std::vector<Target> stores = targets(config, path);
    if (stores.size() != 1) {
        throw CommandError(ExitCode::Usage, "there are several stores of repositories",
                           "antipode hooks install --template DIR ROOT");
    }
    git::install_template(fs::absolute(directory), settings_of(config, *stores.front().store));
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.hooks-template/1"},
                                             {"directory", printable(directory.string())}}
                          .dump()
                   << "\n";
    } else {
        output.out << "new repositories have the hook once git uses the template: git config "
                      "--system init.templateDir "
                   << printable(fs::absolute(directory).string()) << "\n";
    }
    return ExitCode::Ok;
}

Check hooks_check(const OpenBucket& open) {
    return {"hooks", [open](const Config& config) -> Findings {
                if (config.repositories.empty()) {
                    return {};
                }
                const std::vector<Row> rows = run(config, HooksAction::Status, std::nullopt);
                std::string names;
                size_t without = 0;
                for (const Row& row : rows) {
                    if (row.wrong(true) && ++without <= most_named) {
                        names += " " + printable(row.report.repository);
                    }
                }
                if (rows.empty()) {
                    return {good("hooks", "", "no repositories below " + roots(config))};
                }
                if (without > 0 && is_secondary(config, open)) {
                    return {good("hooks", "", "a secondary needs none")};
                }
                if (without > 0) {
                    return {bad("hooks", "",
                                std::to_string(without) + " of " +
                                    counted(rows.size(), "repository", "repositories") +
                                    " without the hook, a push there is found by the next "
                                    "reconcile only:" +
                                    names + (without > most_named ? " ..." : ""),
                                "antipode hooks install")};
                }
                return {good("hooks", "",
                             "installed in " + counted(rows.size(), "repository", "repositories"))};
            }};
}

}  // namespace antipode::cli
