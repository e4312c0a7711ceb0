#include "adapters/git/quarantine.hpp"

#include <algorithm>
#include <thread>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "adapters/git/loaded_pack.hpp"
#include "adapters/git/pack_file.hpp"
#include "adapters/git/small_push.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::git {
namespace {

/// Of directories and files; git itself deletes old directories of this name (git-prune(1)), should
/// we never come back.
constexpr std::string_view prefix = "tmp_objdir-antipode-";
/// git's, of packs and their indexes.
constexpr mode_t object_mode = 0444;

/// A pack up to here needs no git program.
constexpr size_t most_plain_bytes = 2 * limits::mib;

constexpr uint64_t bytes_per_thread = 4 * limits::mib;
constexpr unsigned most_threads = 4;

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

/// As many as pay for a pack of this size.
std::string threads_for(const PackInput& pack) {
    std::error_code ignored;
    const uint64_t bytes =
        pack.file.empty() ? pack.bytes.size() : std::filesystem::file_size(pack.file, ignored);
    const uint64_t most = std::clamp(std::thread::hardware_concurrency(), 1U, most_threads);
    return "--threads=" + std::to_string(std::clamp<uint64_t>(bytes / bytes_per_thread, 1, most));
}

bool has_no_objects(const std::filesystem::path& git_dir) {
    std::error_code error;
    const auto is_known = [](const auto& entry) {
        return entry.path().filename() == "info" || entry.path().filename() == "pack";
    };
    const std::filesystem::directory_iterator objects(git_dir / "objects", error);
    if (error || !std::all_of(begin(objects), end(objects), is_known) ||
        std::filesystem::exists(git_dir / "objects/info/alternates")) {
        return false;
    }
    const std::filesystem::directory_iterator packs(git_dir / "objects/pack", error);
    return error || begin(packs) == end(packs);
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
    if (directory_.empty()) {
        return;
    }
    // After a release nothing is left in it.
    if (rmdir((directory_ / "pack").c_str()) != 0 || rmdir(directory_.c_str()) != 0) {
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

Intake Quarantine::index(const PackInput& pack, const Needed& needed, bool strict,
                         const std::stop_token& stop) {
    const bool is_whole = needed.prove_all && needed.pool.empty();  // no thin pack
    is_closed_ = is_whole && needed.shallow.empty() && has_no_objects(git_dir_);
    make_directory();
    const auto index_it = [&](const PackInput& part, bool in_place, bool is_first) {
        std::vector<std::string> arguments{"index-pack", threads_for(part)};
        if (strict) {
            arguments.emplace_back("--strict");
        }
        const std::filesystem::path linked =
            in_place && !needed.oids.empty()
                ? link(part.file, name_of_pack(part.file, needed.oids.front().size()) + ".pack")
                : std::filesystem::path();
        if (linked.empty()) {
            arguments.insert(arguments.end(), {"--stdin", "--fix-thin"});
        } else {
            arguments.push_back(linked.string());
        }
        return index_one(part, std::move(arguments), is_first, stop);
    };
    if (!pack.base.empty()) {
        const Intake intake = index_it({{}, pack.base, {}}, true, true);
        if (intake.kind != Intake::Kind::Stored || (pack.bytes.empty() && pack.file.empty())) {
            return intake;
        }
    }
    const bool is_only = pack.base.empty();
    return index_it({pack.bytes, pack.file, {}}, is_only && is_whole && !pack.file.empty(),
                    is_only);
}

Intake Quarantine::index_one(const PackInput& pack, std::vector<std::string> arguments,
                             bool is_first, const std::stop_token& stop) {
    const auto run = [&] {
        std::vector<std::string> variables = environment();
        variables.emplace_back("GIT_SHALLOW_FILE=");
        return program_.run(git_dir_,
                            {.arguments = arguments,
                             .environment = variables,
                             .input = pack.bytes,
                             .input_file = pack.file},
                            stop);
    };
    if (is_closed_) {
        arguments.emplace_back("--check-self-contained-and-connected");
        const Outcome outcome = run();
        // 1: it is taken in, every object that it leads to is there, and some are outside of it.
        const bool leads_out = outcome.status == 1 && !outcome.output.empty();
        is_closed_ = outcome.ok() || (leads_out && !is_first);
        if (outcome.ok() || leads_out) {
            return {};
        }
        arguments.pop_back();  // what no ref leads to may be in pieces
    }
    const Outcome outcome = run();
    if (outcome.ok()) {
        return {};
    }
    if (is_system_trouble(outcome)) {
        throw_failure("taking a pack into " + printable(git_dir_.native()), outcome);
    }
    const bool base_missing = outcome.error.find("unresolved delta") != std::string::npos;
    return {base_missing ? Intake::Kind::Incomplete : Intake::Kind::BadPack, outcome.complaint()};
}

/// What was pulled, here under the name that git gives it: it is not written again. Empty: the file
/// system has no second names.
std::filesystem::path Quarantine::link(const std::filesystem::path& file, const std::string& name) {
    const std::filesystem::path directory = directory_ / "pack";
    std::filesystem::create_directories(directory);
    std::filesystem::path linked = directory / name;
    if (::link(file.c_str(), linked.c_str()) != 0) {
        return {};
    }
    if (chmod(linked.c_str(), object_mode) != 0) {  // whoever reads the mirror
        throw_errno("giving its mode to", linked);
    }
    return linked;
}

bool Quarantine::believe(const PackInput& pack, const Needed& needed, const std::stop_token& stop) {
    const bool is_whole = needed.prove_all && needed.pool.empty() && needed.shallow.empty();
    if (pack.base_index.empty() || needed.oids.empty() || !is_whole || !has_no_objects(git_dir_)) {
        return false;
    }
    make_directory();
    const PackInput rest{pack.bytes, pack.file, {}};
    if (believe_index(pack, needed) &&
        (rest.empty() ||
         index_one(rest, {"index-pack", threads_for(rest), "--stdin"}, false, stop).kind ==
             Intake::Kind::Stored) &&
        names_all(needed)) {
        return true;
    }
    clear();
    return false;
}

bool Quarantine::believe_index(const PackInput& pack, const Needed& needed) {
    const size_t oid_bytes = needed.oids.front().size();
    const std::string reason = refuse_index(pack.base_index, pack.base, oid_bytes);
    if (!reason.empty()) {
        spdlog::warn("{}: the index that came with its pack is not used: {}",
                     printable(git_dir_.native()), reason);
        return false;
    }
    const std::string name = name_of_pack(pack.base, oid_bytes);
    return !link(pack.base, name + ".pack").empty() &&
           !link(pack.base_index, name + ".idx").empty();
}

bool Quarantine::is_proven(const Needed& needed) const {
    return is_closed_ && names_all(needed);
}

bool Quarantine::names_all(const Needed& needed) const {
    std::vector<std::string> missing = needed.oids;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ / "pack")) {
        if (entry.path().extension() == ".idx") {
            missing = not_named(entry.path(), missing);
        }
    }
    return missing.empty();
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
    std::vector<std::string> settings;
    if (needed.prove_all) {
        settings.emplace_back("core.commitGraph=false");  // it knows commits that are lost
    } else {
        arguments.insert(arguments.end(), {"--not", "--all"});
    }
    const Outcome outcome = program_.run(
        git_dir_,
        {.arguments = arguments, .settings = settings, .environment = variables, .input = input},
        stop);
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
    if (!pack.base.empty() || needed.prove_all || !needed.shallow.empty() ||
        (!pack.file.empty() && std::filesystem::file_size(pack.file) > most_plain_bytes)) {
        return false;
    }
    const auto push = SmallPush::open(git_dir_);
    if (push == nullptr) {
        return false;
    }
    std::vector<std::string> whole(needed.here.begin(), needed.here.end());
    whole.insert(whole.end(), known.begin(), known.end());
    if ((pack.empty() || load(*push, pack)) && push->prove(needed.oids, whole)) {
        return true;
    }
    clear();
    return false;
}

/// In memory what is small and whole by itself: directories and files that come and go with each
/// push are dear on a disk. What a thin pack builds on can be of any size.
bool Quarantine::load(SmallPush& push, const PackInput& pack) {
    if (!pack.file.empty()) {
        pulled_ = read_small_file(pack.file, most_plain_bytes);
    }
    loaded_bytes_ = pack.file.empty() ? pack.bytes : std::string_view(pulled_);
    loaded_ = LoadedPack::load(loaded_bytes_);
    if (loaded_) {
        return push.add(*loaded_);
    }
    make_directory();
    is_synced_ = true;  // libgit2 does, before it gives them their names
    return push.index(loaded_bytes_, directory_);
}

void Quarantine::clear() {
    loaded_.reset();
    if (!directory_.empty()) {
        std::filesystem::remove_all(directory_);
        directory_.clear();
        is_synced_ = false;
    }
}

/// Whole and synced, under the name that it is read by, or not there.
void Quarantine::write_in(std::string_view bytes, const std::filesystem::path& place) const {
    // The next quarantine deletes it, should we never come back.
    std::string unfinished = (git_dir_ / "objects" / (std::string(prefix) + "XXXXXX")).string();
    const Fd fd(mkostemp(unfinished.data(), O_CLOEXEC));
    if (!fd.valid()) {
        throw_errno("making a file beside", place);
    }
    TreeRemover remover(unfinished);
    if (fchmod(fd.get(), object_mode) != 0) {
        throw_errno("giving its mode to", unfinished);
    }
    write_and_sync(fd, bytes, unfinished);
    rename_path(unfinished, place);
    remover.release();
}

/// What was pulled gets no second name: its inode would change once more when the first one goes,
/// which whoever watches the mirror takes for a change by hand.
void Quarantine::release_loaded() {
    const std::filesystem::path packs = git_dir_ / "objects" / "pack";
    make_directories_durably(git_dir_ / "objects", "pack");
    write_in(loaded_bytes_, packs / (loaded_->name() + ".pack"));
    // A pack is there for readers as soon as its index is: that comes last.
    write_in(loaded_->index(), packs / (loaded_->name() + ".idx"));
    sync_path(packs);
}

void Quarantine::release() {
    if (loaded_) {
        release_loaded();
        return;
    }
    const std::filesystem::path from = directory_ / "pack";
    const std::filesystem::path to = git_dir_ / "objects" / "pack";
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("tmp_")) {
            continue;  // what a run of git that failed has left
        }
        names.push_back(name);
        if (!is_synced_) {
            sync_path(entry.path());
        }
    }
    // A pack is there for readers as soon as its index is: that comes last.
    std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
        return std::pair(a.ends_with(".idx"), a) < std::pair(b.ends_with(".idx"), b);
    });
    // git-prune(1) may have taken it for one that was left behind.
    if (names.empty() || !names.back().ends_with(".idx") || names.front().ends_with(".idx")) {
        throw Error(Reaction::Retry, "what came for " + printable(git_dir_.native()) +
                                         " is gone before it was moved");
    }
    make_directories_durably(git_dir_ / "objects", "pack");
    for (const std::string& name : names) {
        rename_path(from / name, to / name);
    }
    sync_path(to);
}

}  // namespace antipode::git
