#include "adapters/git/quarantine.hpp"

#include <algorithm>

#include "adapters/git/files.hpp"
#include "adapters/git/small_push.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

/// git itself deletes old directories of this name (git-prune(1)), should we never come back.
constexpr std::string_view prefix = "tmp_objdir-antipode-";

/// A colon separates the entries of GIT_ALTERNATE_OBJECT_DIRECTORIES; a quoted entry may hold any.
std::string quoted(const std::filesystem::path& path) {
    std::string text = "\"";
    for (const char c : path.native()) {
        if (c == '"' || c == '\\') {
            text += '\\';
        }
        text += c;
    }
    return text + '"';
}

}  // namespace

Quarantine::Quarantine(const Program& program, std::filesystem::path git_dir)
    : program_(program), git_dir_(std::move(git_dir)) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(git_dir_ / "objects", ignored)) {
        if (entry.path().filename().string().starts_with(prefix)) {
            std::filesystem::remove_all(entry.path(), ignored);
        }
    }
}

Quarantine::~Quarantine() {
    if (!directory_.empty()) {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
}

std::vector<std::string> Quarantine::environment() const {
    if (directory_.empty()) {
        return {};
    }
    return {"GIT_OBJECT_DIRECTORY=" + directory_.string(),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + quoted(git_dir_ / "objects"),
            "GIT_QUARANTINE_PATH=" + directory_.string()};
}

void Quarantine::make_directory() {
    if (directory_.empty()) {
        directory_ = make_unique_directory(git_dir_ / "objects", std::string(prefix));
    }
}

Intake Quarantine::index(const PackInput& pack, bool strict, const std::stop_token& stop) {
    make_directory();
    std::vector<std::string> arguments{"index-pack", "--stdin", "--fix-thin"};
    if (strict) {
        arguments.emplace_back("--strict");
    }
    const Outcome outcome = program_.run(git_dir_,
                                         {.arguments = arguments,
                                          .environment = environment(),
                                          .input = pack.bytes,
                                          .input_file = pack.file},
                                         stop);
    if (outcome.ok()) {
        return {};
    }
    if (is_system_trouble(outcome)) {
        throw_failure("taking a pack into " + printable(git_dir_.native()), outcome);
    }
    const bool base_missing = outcome.error.find("unresolved delta") != std::string::npos;
    return {base_missing ? Intake::Kind::Incomplete : Intake::Kind::BadPack, outcome.complaint()};
}

/// Where history will end, for git to read (git(1), --shallow-file); the repository's own file
/// follows once the objects are there.
std::string Quarantine::shallow_file(const std::vector<std::string>& shallow) {
    if (shallow.empty()) {
        return {};  // git takes it for "none"
    }
    make_directory();
    const std::filesystem::path file = directory_ / "shallow";
    write_file_durably(file, hex_lines(shallow), 0644);
    return file.string();
}

Intake Quarantine::prove(const Needed& needed, const std::vector<std::string>& known,
                         const std::stop_token& stop) {
    if (needed.oids.empty()) {
        return {};
    }
    std::string input = hex_lines(needed.oids);
    for (const std::string& oid : known) {
        input += "^" + to_hex(oid) + "\n";
    }
    std::vector<std::string> variables = environment();
    variables.push_back("GIT_SHALLOW_FILE=" + shallow_file(needed.shallow));
    std::vector<std::string> arguments{"rev-list", "--objects", "--stdin", "--quiet"};
    if (!needed.prove_all) {
        arguments.insert(arguments.end(), {"--not", "--all"});
    }
    const Outcome outcome = program_.run(
        git_dir_, {.arguments = arguments, .environment = variables, .input = input}, stop);
    if (outcome.ok()) {
        return {};
    }
    if (is_system_trouble(outcome)) {
        throw_failure("checking new objects of " + printable(git_dir_.native()), outcome);
    }
    return {Intake::Kind::Incomplete, outcome.complaint()};
}

bool Quarantine::take_plain(const PackInput& pack, const Needed& needed,
                            const std::vector<std::string>& known) {
    if (!pack.file.empty() || needed.prove_all || !needed.shallow.empty()) {
        return false;
    }
    const auto push = SmallPush::open(git_dir_);
    if (push == nullptr) {
        return false;
    }
    if (!pack.empty()) {
        make_directory();
    }
    if ((pack.empty() || push->index(pack.bytes, directory_)) && push->prove(needed.oids, known)) {
        return true;
    }
    if (!directory_.empty()) {
        std::filesystem::remove_all(directory_);
        directory_.clear();
    }
    return false;
}

void Quarantine::release() {
    const std::filesystem::path from = directory_ / "pack";
    const std::filesystem::path to = git_dir_ / "objects" / "pack";
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        names.push_back(entry.path().filename().string());
        sync_path(entry.path());
    }
    // A pack is there for readers as soon as its index is: that comes last.
    std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
        return std::pair(a.ends_with(".idx"), a) < std::pair(b.ends_with(".idx"), b);
    });
    make_directories_durably(git_dir_ / "objects", "pack");
    for (const std::string& name : names) {
        rename_path(from / name, to / name);
    }
    sync_path(to);
}

}  // namespace antipode::git
