// Reads what an old primary has kept, without code of the daemons.
#include <sstream>

#include <nlohmann/json.hpp>

#include "chaos-tests/quarantine.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::chaos {
namespace {

using Json = nlohmann::json;

std::vector<Json> lines_of(const std::filesystem::path& file) {
    std::istringstream stream(test::read_file(file));
    std::vector<Json> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(Json::parse(line));
    }
    return lines;
}

/// As the file HEAD says it.
std::string value_of_ref(const std::string& value) {
    return value.starts_with("refs/") ? "ref: " + value : value;
}

Quarantine::Loss loss_of(const Json& line) {
    Quarantine::Loss loss{line.at("kind"), line.at("store"), line.at("item"), {}};
    for (const Json& ref : line.at("refs")) {
        loss.refs.push_back(
            {ref.at("ref"), value_of_ref(ref.at("old")), value_of_ref(ref.at("new"))});
    }
    return loss;
}

std::string text(const Json& row, const char* column) {
    return row.at(column).get<std::string>();
}

/// As View::Row::notes.
std::string notes_of(const Json& row) {
    std::string notes;
    for (const auto& [column, value] : row.items()) {
        if (column.starts_with("note_") && value.is_string()) {
            notes += (notes.empty() ? "" : ",") + column + "=" + value.get<std::string>();
        }
    }
    return notes;
}

Quarantine::Change change_of(const Json& line) {
    Quarantine::Change change;
    change.transaction = line.at("xid");
    change.operation = line.at("operation");
    change.table = line.at("table");
    const Json& key = line.contains("key") ? line.at("key") : line.at("old");
    const bool of_writes = change.table == "public.writes";
    const bool of_accounts = change.table == "public.accounts";
    change.key = of_accounts ? text(key, "id") : text(key, "writer") + "/" + text(key, "number");
    if (line.contains("new") && change.table == "public.bulk") {
        change.value =
            text(line.at("new"), "version") + " " + text(line.at("new"), "content").substr(0, 40);
    } else if (line.contains("new") && (of_writes || of_accounts)) {
        const Json& row = line.at("new");
        change.value = of_writes
                           ? value_of({text(row, "repository"), text(row, "path"),
                                       text(row, "sha256"), text(row, "commit"), notes_of(row)})
                           : text(row, "balance");
    }
    return change;
}

std::map<std::string, std::string> files_in(const std::filesystem::path& directory) {
    std::map<std::string, std::string> files;
    if (!std::filesystem::exists(directory)) {
        return files;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (entry.is_regular_file()) {
            files[entry.path().lexically_relative(directory)] =
                test::must_run({"sha256sum", entry.path().string()}).substr(0, 64);
        }
    }
    return files;
}

/// `clone` gets what the bundle holds, if there is one.
std::set<std::string> objects_of(const std::filesystem::path& clone,
                                 const std::filesystem::path& bundle) {
    if (std::filesystem::exists(bundle)) {
        test::must_run({"git", "--git-dir", clone.string(), "fetch", "-q", bundle.string(),
                        "+refs/*:refs/found/*"});
    }
    std::istringstream lines(
        test::must_run({"git", "--git-dir", clone.string(), "cat-file", "--batch-all-objects",
                        "--batch-check=%(objectname)"}));
    std::set<std::string> objects;
    for (std::string line; std::getline(lines, line);) {
        objects.insert(line);
    }
    return objects;
}

Quarantine::Counts counts_of(const Json& report) {
    const Json& lost = report.at("lost");
    return {report.at("known_lost"),   lost.at("transactions"), lost.at("changes"),
            lost.at("repositories"),   lost.at("refs"),         lost.at("files"),
            lost.at("undone_removals")};
}

}  // namespace

Quarantine read_quarantine(const std::filesystem::path& directory,
                           const std::filesystem::path& clones, const std::string& report) {
    Quarantine kept;
    for (const Json& line : lines_of(directory / "losses.jsonl")) {
        kept.losses.push_back(loss_of(line));
    }
    for (const Json& line : lines_of(directory / "database/app.jsonl")) {
        if (line.at("operation") == "again") {
            std::erase_if(kept.changes, [&](const Quarantine::Change& change) {
                return change.transaction == line.at("xid");
            });
        } else {
            kept.changes.push_back(change_of(line));
        }
    }
    kept.files = files_in(directory / "blobs/uploads");
    for (const auto& clone : std::filesystem::directory_iterator(clones)) {
        const std::string name = clone.path().filename();
        kept.objects[name] =
            objects_of(clone.path(), directory / "repositories/git" / (name + ".bundle"));
    }
    kept.stated = counts_of(Json::parse(report));
    return kept;
}

}  // namespace antipode::chaos
