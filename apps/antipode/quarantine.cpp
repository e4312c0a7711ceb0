#include "apps/antipode/quarantine.hpp"

#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/standing.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/words.hpp"
#include "failover/durable.hpp"
#include "failover/quarantine.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t losses_shown = 100;
constexpr std::chrono::days kept_at_least(30);

void print(const Output& output, const Json& json) {
    output.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

std::filesystem::path quarantines_of(const Config& config) {
    return config.state_dir / "quarantine";
}

std::optional<std::string> manifest_in(const std::filesystem::path& directory) {
    return failover::read_whole(directory / "manifest.json");
}

std::set<std::filesystem::path> directories_in(const std::filesystem::path& parent) {
    std::set<std::filesystem::path> found;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(parent, code)) {
        if (entry.is_directory()) {
            found.insert(entry.path());
        }
    }
    if (code && code != std::errc::no_such_file_or_directory) {
        throw CommandError(ExitCode::Failed, parent.string() + ": " + code.message(),
                           "the same command as the daemon's user");
    }
    return found;
}

Json row_of(const std::filesystem::path& directory) {
    const auto manifest = manifest_in(directory);
    const Json report = report_of(manifest.value_or(""));
    return {{"operation", directory.filename().string()},
            {"path", directory.string()},
            {"complete", manifest.has_value()},
            {"epoch_ended", report.value("epoch_ended", Json())},
            {"completed_at_us", report.value("completed_at_us", Json())},
            {"lost", report.value("lost", Json())}};
}

Table::Cell number_in(const Json& row, const char* name) {
    const Json& lost = row["lost"];
    return lost.is_object() ? std::to_string(lost.value(name, uint64_t{0})) : std::string(unknown);
}

void print_losses(const std::filesystem::path& directory, const Output& output) {
    std::ifstream lines(directory / "losses.jsonl");
    size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        if (count < losses_shown) {
            output.out << render_one_loss(report_of(line));
        }
    }
    if (count > losses_shown) {
        output.out << "  ... and " << count - losses_shown
                   << " more: " << (directory / "losses.jsonl").string() << "\n";
    }
}

std::filesystem::path find(const Config& config, const std::string& operation) {
    const auto all = directories_in(quarantines_of(config));
    std::filesystem::path directory = quarantines_of(config) / operation;
    if (operation.empty() && all.size() == 1) {
        directory = *all.begin();
    }
    if (!all.contains(directory)) {
        throw CommandError(
            ExitCode::Usage,
            operation.empty() ? "there are " + std::to_string(all.size()) + " quarantines; name one"
                              : "there is no quarantine of " + harmless(operation),
            "antipode quarantine list");
    }
    return directory;
}

std::string require_manifest(const std::filesystem::path& directory) {
    auto manifest = manifest_in(directory);
    if (!manifest) {
        throw CommandError(ExitCode::Unknown, directory.string() + " is half made",
                           "antipode status: the daemon goes on with it");
    }
    return std::move(*manifest);
}

/// What was kept of a loss, below the quarantine, from what the loss is about: no text in it is
/// taken for a path. nullopt: nothing was.
std::optional<std::string> kept_of(const Json& loss, const std::string& line) {
    const auto text = [&](const char* key) {
        const auto found = loss.find(key);
        return found != loss.end() && found->is_string() ? found->get<std::string>()
                                                         : std::string();
    };
    const auto store = StoreId::parse(text("store"));
    const auto raw = from_hex(text("item_hex"));
    const std::string item = raw && !raw->empty() ? *raw : text("item");
    if (store && text("kept").empty()) {
        return std::nullopt;
    }
    if (!store || (store->kind != StoreKind::Database && why_no_path(path_of(item)))) {
        throw CommandError(ExitCode::Failed,
                           "losses.jsonl has a line that names no item: " + harmless(line),
                           "look at it; copy what you need by hand");
    }
    return failover::kept_path(*store, item);
}

/// Copies files and directories of a quarantine, durably.
class Export {
  public:
    Export(std::filesystem::path from, const std::filesystem::path& to)
        : from_(std::move(from)),
          // Without a '/' at its end.
          to_(std::filesystem::absolute(to / "").lexically_normal().parent_path()) {
        make_directory(to_);
    }

    void take_losses() {
        std::ifstream lines(from_ / "losses.jsonl");
        for (std::string line; std::getline(lines, line);) {
            if (const auto kept = kept_of(report_of(line), line)) {
                take(*kept);
            }
        }
        if (!lines.eof()) {
            throw Error(Reaction::Stop, "losses.jsonl cannot be read");
        }
    }
    /// A file, or a directory that is an item of its own. Of what several share, once.
    void take(const std::string& path) {
        if (names_directory(path)) {
            return make_directory(to_ / path_of(path));
        }
        make_directory((to_ / path).parent_path());
        if (!std::filesystem::exists(to_ / path)) {
            bytes_ += failover::copy_durably(from_ / path, to_ / path);
            ++files_;
        }
    }
    void sync() const {
        for (const auto& directory : directories_) {
            failover::sync_directory(directory);
        }
        failover::sync_directory(to_.parent_path());
    }
    uint64_t files() const { return files_; }
    uint64_t bytes() const { return bytes_; }

  private:
    void make_directory(const std::filesystem::path& directory) {
        if (directories_.contains(directory)) {
            return;
        }
        if (directory != to_) {
            make_directory(directory.parent_path());
        }
        if (std::filesystem::create_directory(directory)) {
            std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
        }
        directories_.insert(directory);
    }

    const std::filesystem::path from_;
    const std::filesystem::path to_;
    std::set<std::filesystem::path> directories_;
    uint64_t files_ = 0;
    uint64_t bytes_ = 0;
};

void require_empty(const std::filesystem::path& directory) {
    std::error_code code;
    const auto type = std::filesystem::symlink_status(directory, code).type();
    if (type == std::filesystem::file_type::not_found) {
        return;
    }
    const bool empty = type == std::filesystem::file_type::directory &&
                       std::filesystem::is_empty(directory, code) && !code;
    if (!empty) {
        throw CommandError(ExitCode::Usage,
                           harmless(directory.string()) +
                               (code ? ": " + code.message() : " is there and no empty directory"),
                           "name a directory that is not there yet");
    }
}

std::string summary_of(const Json& report) {
    const Json lost = report.value("lost", Json::object());
    const auto number = [&](const char* key) { return lost.value(key, uint64_t{0}); };
    return counted(number("transactions"), "transaction", "transactions") + ", " +
           counted(number("refs"), "ref", "refs") + ", " +
           counted(number("files"), "file", "files");
}

void refuse_while_coming_back(const Config& config, const Fetch& fetch) {
    const Config::Site& site = require_site(config, config.site);
    const Standing now = standing_of(config, fetch, site);
    if (!now.state) {
        throw CommandError(ExitCode::Unknown,
                           "the daemon of " + site.name + " does not know yet where it stands",
                           "antipode status " + site.name);
    }
    if (comes_back(*now.state)) {
        throw CommandError(ExitCode::Blocked,
                           site.name + " is " + std::string(failover::to_string(*now.state)) +
                               ": what it kept may be needed until it follows the new primary",
                           "antipode rejoin " + site.name);
    }
}

/// Since it was whole; none, when it never was.
std::chrono::days age_of(const std::filesystem::path& quarantine) {
    std::error_code missing;
    const auto whole = std::filesystem::last_write_time(quarantine / "manifest.json", missing);
    if (missing) {
        return {};
    }
    return std::chrono::floor<std::chrono::days>(std::filesystem::file_time_type::clock::now() -
                                                 whole);
}

/// One that may still be asked for takes its name: a script that says --yes to everything does not
/// delete it.
void confirm_drop(const Output& output, const ChangeOptions& options, const std::string& operation,
                  const std::string& what, std::chrono::days age) {
    const bool is_young = age < kept_at_least;
    if ((options.yes && !is_young) || options.confirmed == operation) {
        return;
    }
    output.error << harmless(what) << " are deleted for good, and are nowhere else.\n";
    if (is_young) {
        output.error << "They are kept for " << age.count() << " days; keep them for "
                     << kept_at_least.count() << ": who wrote them may ask for them.\n";
    }
    output.error << "Type " << harmless(operation) << " to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != operation) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was deleted",
                           "the same command with --confirm " + harmless(operation) +
                               (is_young ? "" : ", or --yes"));
    }
}

}  // namespace

ExitCode list_quarantines(const Config& config, const Output& output) {
    Json rows = Json::array();
    Table table({{"OPERATION"},
                 {"EPOCH ENDED", Table::Align::Right},
                 {"TRANSACTIONS", Table::Align::Right},
                 {"ROW CHANGES", Table::Align::Right},
                 {"REFS", Table::Align::Right},
                 {"FILES", Table::Align::Right},
                 {"PATH"}});
    for (const auto& directory : directories_in(quarantines_of(config))) {
        Json row = row_of(directory);
        table.add(
            {harmless(row["operation"].get<std::string>()),
             row["epoch_ended"].is_number() ? row["epoch_ended"].dump() : std::string(unknown),
             number_in(row, "transactions"), number_in(row, "changes"), number_in(row, "refs"),
             number_in(row, "files"),
             harmless(directory.string()) + (row["complete"].get<bool>() ? "" : " (half made)")});
        rows.push_back(std::move(row));
    }
    if (output.json()) {
        print(output, {{"schema", "antipode.quarantines/1"}, {"quarantines", rows}});
    } else {
        output.out << (rows.empty() ? "no quarantine: nothing was lost to this site\n"
                                    : table.render(output.coloured));
    }
    return ExitCode::Ok;
}

ExitCode show_quarantine(const Config& config, const Output& output, const std::string& operation) {
    const std::filesystem::path directory = find(config, operation);
    const std::string manifest = require_manifest(directory);
    if (output.json()) {
        Json report = report_of(manifest);
        report["path"] = directory.string();
        print(output, report);
    } else {
        output.out << render_loss_head(report_of(manifest));
        print_losses(directory, output);
    }
    return ExitCode::Ok;
}

ExitCode export_quarantine(const Config& config, const Output& output,
                           const std::filesystem::path& directory, const std::string& operation) {
    const std::filesystem::path from = find(config, operation);
    require_manifest(from);
    require_empty(directory);
    uint64_t files = 0;
    uint64_t bytes = 0;
    try {
        Export copy(from, directory);
        copy.take_losses();
        copy.take("losses.jsonl");
        copy.sync();
        copy.take("manifest.json");
        copy.sync();
        files = copy.files();
        bytes = copy.bytes();
    } catch (const std::runtime_error& error) {
        throw CommandError(
            ExitCode::Failed, "the export is not whole: " + harmless(error.what()),
            "mend that; empty " + harmless(directory.string()) + ", then the same command again");
    }
    if (output.json()) {
        print(output, {{"schema", "antipode.quarantine-export/1"},
                       {"operation", from.filename().string()},
                       {"path", directory.string()},
                       {"files", files},
                       {"bytes", bytes}});
    } else {
        output.out << counted(files, "file", "files") << " of " << from.filename().string()
                   << " copied to " << harmless(directory.string()) << "\n";
    }
    return ExitCode::Ok;
}

ExitCode drop_quarantine(const Config& config, const Fetch& fetch, const Output& output,
                         const std::string& operation, const ChangeOptions& options) {
    if (operation.empty()) {
        throw CommandError(ExitCode::Usage, "which quarantine is to be dropped is not said",
                           "antipode quarantine list");
    }
    const std::filesystem::path directory = find(config, operation);
    refuse_while_coming_back(config, fetch);
    const std::string name = directory.filename().string();
    confirm_drop(output, options, name, summary_of(report_of(manifest_in(directory).value_or(""))),
                 age_of(directory));
    try {
        failover::Quarantine::drop(directory);
    } catch (const Error& error) {
        throw CommandError(ExitCode::Failed, harmless(error.what()),
                           "the same command as the daemon's user");
    }
    if (output.json()) {
        print(output, {{"schema", "antipode.quarantine-drop/1"},
                       {"operation", name},
                       {"path", directory.string()}});
    } else {
        output.out << "dropped " << harmless(name) << "\n";
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
