#include "adapters/git/repositories.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <regex>
#include <sstream>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include "adapters/git/borrowing.hpp"
#include "adapters/git/discovery.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/kept_pack.hpp"
#include "adapters/git/quarantine.hpp"
#include "adapters/git/ref_reader.hpp"
#include "adapters/git/small_push.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::git {
namespace {

/// File times come from a clock that ticks every few milliseconds, and may be coarser on some file
/// systems: a change this young can be followed by another with the same times.
constexpr std::chrono::seconds time_resolution{2};

/// Of a repository of which packs are packed anew while it is looked at.
constexpr int most_looks = 3;

/// Below own_directory.
constexpr const char* linked_packs = "packs";

bool is_temporary(const std::string& name) {
    return name.starts_with("making-");
}

/// Those of `oids` that exist, as lines in hexadecimal.
std::string existing_lines(const Program& program, const std::filesystem::path& git_dir,
                           const std::vector<std::string>& oids, const std::stop_token& stop) {
    if (oids.empty()) {
        return {};
    }
    const std::string input = hex_lines(oids);
    const Outcome outcome = program.run(
        git_dir, {.arguments = {"cat-file", "--batch-check=%(objectname)"}, .input = input}, stop);
    if (!outcome.ok()) {
        return {};  // nothing is known to exist: the pack carries more than it must
    }
    std::string lines;
    std::string_view rest = outcome.output;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n') + 1);
        if (line.find(' ') == std::string_view::npos) {
            lines += line;
        }
        rest.remove_prefix(line.size());
    }
    return lines;
}

/// Whether git fsck speaks of an object that is lost or not what its name says. What else it says
/// is about how somebody wrote an object ("error in commit 1234...: badDate: ..."), or of refs that
/// may well be so (symbolic ones that lead nowhere, HEAD outside of refs/heads, branches that name
/// tags): a mirror keeps both as they are.
bool speaks_of_damage(const std::string& line) {
    static const std::regex remark("^(error|warning) in |^warning|^notice|^[0-9a-f]{40,}: ");
    static const std::regex harmless(
        "points to something strange|: not a commit|invalid sha1 pointer 0{40}");
    static const std::regex damage(
        "missing|broken|corrupt|mismatch|does not match|inflate|[Cc]ould not|[Uu]nable|[Cc]annot|"
        "failed|bad |invalid|truncated|too (short|small|large)|not valid|garbage|premature|wrong|"
        "non-monotonic|beyond|^fatal");
    return !std::regex_search(line, remark) && !std::regex_search(line, harmless) &&
           std::regex_search(line, damage);
}

/// What a disk cannot read is damage.
bool is_trouble_but_of_reading(const Outcome& outcome) {
    return is_system_trouble(outcome) && outcome.error.find(strerror(EIO)) == std::string::npos;
}

/// Whether a line is about what is not there, although something leads to it.
bool is_of_links(const std::string& line) {
    return line.starts_with("missing ") || line.starts_with("broken link ");
}

/// Whether a line complains of a pack or a loose object that was there when git began to look, and
/// is gone: somebody has packed it anew.
bool names_what_is_gone(const std::string& line) {
    static const std::regex complaint(
        "^[a-z]+: (packfile (.*) (index not opened|cannot be accessed)"
        "|unable to (mmap|open) (.*): No such file or directory"
        "|[0-9a-f]{40,64}: object corrupt or missing: (.*))$");
    std::smatch parts;
    if (!std::regex_match(line, parts, complaint)) {
        return false;
    }
    const std::string file = parts[2].str() + parts[5].str() + parts[6].str();
    const size_t end = file.rfind("/objects/");
    std::error_code error;
    return end != std::string::npos && std::filesystem::is_directory(file.substr(0, end), error) &&
           !std::filesystem::exists(file, error) && !error;
}

/// Changes when a file is written anew, or a directory's entries are.
std::string stamp_of(const std::filesystem::path& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) {
        return {};
    }
    return std::to_string(info.st_ino) + " " + std::to_string(info.st_ctim.tv_sec) + " " +
           std::to_string(info.st_ctim.tv_nsec);
}

/// What git fsck takes for as it is when it begins.
struct Place {
    explicit Place(const std::filesystem::path& git_dir)
        : refs(look_at_refs(git_dir).fingerprint),
          packs(stamp_of(git_dir / "objects/pack")),
          index(stamp_of(git_dir / "objects/pack/multi-pack-index")) {}
    bool operator==(const Place&) const = default;

    std::string refs;
    std::string packs;
    std::string index;  ///< names packs that may be gone by then
};

std::vector<std::string> lines_of_damage(const Outcome& outcome) {
    std::vector<std::string> found;
    for (const std::string* text : {&outcome.error, &outcome.output}) {
        std::istringstream lines(*text);
        for (std::string line; std::getline(lines, line);) {
            if (speaks_of_damage(line)) {
                found.push_back(line);
            }
        }
    }
    return found;
}

}  // namespace

GitRepositories::GitRepositories(Options options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), progress_(clock) {
    if (!options_.packs_directory.empty()) {
        std::filesystem::create_directories(options_.packs_directory);
    }
}

std::string GitRepositories::root() const {
    return options_.root.string();
}

std::filesystem::path GitRepositories::path_of(const std::string& name) const {
    if (!is_safe_relative(name)) {
        throw Error(Reaction::Stop, "not a path below a root: " + printable(name));
    }
    return options_.root / name;
}

Discovery GitRepositories::discover(const std::stop_token& stop) {
    return discover_repositories(options_.root, stop);
}

void GitRepositories::require_root() {
    open_file(options_.root, O_RDONLY | O_DIRECTORY);
}

bool GitRepositories::root_is_empty() {
    std::error_code error;
    std::filesystem::directory_iterator entries(options_.root, error);
    if (error) {
        errno = error.value();
        throw_errno("reading directory", options_.root);
    }
    return std::all_of(begin(entries), end(entries), [](const auto& entry) {
        return entry.path().filename() == own_directory || entry.path().filename() == "lost+found";
    });
}

Presence GitRepositories::presence(const std::string& name) {
    path_of(name);
    bool foreign = false;
    const Fd directory = open_beneath(options_.root, name, foreign);
    if (!directory.valid()) {
        return foreign ? Presence::Foreign : Presence::Absent;
    }
    return presence_of(directory.get());
}

std::string GitRepositories::fingerprint(const std::string& name) {
    const auto now = clock_.now();
    const RefFiles files = look_at_refs(path_of(name));
    const auto youngest = TimePoint(std::chrono::microseconds(files.newest_ns / 1000));
    return youngest + time_resolution < now ? files.fingerprint : std::string();
}

std::optional<RepositoryRefs> GitRepositories::read_refs(const std::string& name) {
    switch (presence(name)) {
        case Presence::Absent:
            return std::nullopt;
        case Presence::Repository:
            return read_all_refs(program_, path_of(name), options_.root);
        case Presence::Damaged:
        case Presence::Foreign:
            break;
    }
    throw Error(Reaction::Resync,
                printable(path_of(name).native()) + " is no git repository (any more)",
                "look whether HEAD, objects and refs are there; restore it or move it away");
}

std::string GitRepositories::pool_of(const std::string& name) {
    return antipode::git::pool_of(options_.root, path_of(name));
}

/// git fsck lists what is there before it follows the refs. Where somebody pushes meanwhile, or
/// packs are packed anew, it calls missing what came behind its list, and looks at nothing that
/// only such things lead to.
std::string GitRepositories::defect(const std::string& name, const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    for (int look = 1;; ++look) {
        const Place before(git_dir);
        const Outcome outcome =
            program_.run(git_dir,
                         {.arguments = {"fsck", "--full", "--no-dangling", "--no-progress"},
                          .error_limit = Command{}.output_limit},
                         stop);
        if (is_trouble_but_of_reading(outcome)) {
            throw_failure("checking repository " + printable(name), outcome);
        }
        const Place after(git_dir);
        auto damage = outcome.ok() ? std::vector<std::string>() : lines_of_damage(outcome);
        const bool was_packed_anew =
            std::erase_if(damage, names_what_is_gone) > 0 || before.index != after.index;
        if (was_packed_anew && look < most_looks) {
            continue;
        }
        const auto found = std::find_if_not(damage.begin(), damage.end(), is_of_links);
        if (found != damage.end()) {
            return "git fsck: " + printable(*found);
        }
        const bool held_still = !was_packed_anew && before == after && pool_of(name).empty();
        return damage.empty() && held_still ? std::string() : broken_link(name, stop);
    }
}

/// What the refs lead to and is not there, wherever it is moved meanwhile.
std::string GitRepositories::broken_link(const std::string& name, const std::stop_token& stop) {
    const Outcome outcome = program_.run(
        path_of(name),
        {.arguments = {"rev-list", "--objects", "--all", "--quiet", "--exclude-promisor-objects"},
         .settings = {"core.commitGraph=false"},  // it knows commits that are lost
         .error_limit = Command{}.output_limit},
        stop);
    if (outcome.ok()) {
        return {};
    }
    const std::vector<std::string> damage = lines_of_damage(outcome);
    if (is_trouble_but_of_reading(outcome) || damage.empty()) {
        throw_failure("following the refs of " + printable(name), outcome);
    }
    return "git rev-list: " + printable(damage.front());
}

void GitRepositories::sync(const std::string& name) {
    sync_file_system(path_of(name));
}

std::optional<Pack> GitRepositories::make_pack(const std::string& name,
                                               const std::vector<std::string>& wants,
                                               const std::vector<std::string>& haves,
                                               const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    if (const auto push = SmallPush::open(git_dir)) {
        const auto made = push->make_pack(wants, haves);
        if (made && made->empty()) {
            return std::nullopt;
        }
        if (made && made->file.empty()) {
            return Pack{sha256(made->bytes), made->bytes.size(), made->bytes};
        }
        if (auto kept = made ? keep_pushed(made->file, stop) : std::nullopt) {
            return kept;
        }
    }
    return pack(name, wants, haves, std::nullopt, stop);
}

/// What the base holds is left out of the other pack.
WholePacks GitRepositories::make_whole_packs(const std::string& name,
                                             const std::vector<std::string>& wants,
                                             const std::vector<std::string>& haves,
                                             const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    const auto base = find_base(git_dir);
    WholePacks packs;
    if (base) {
        packs.base = keep_base(base->file, stop);
        packs.base_index =
            keep_base(std::filesystem::path(base->file).replace_extension(".idx"), stop);
    }
    if (!packs.base) {
        packs.base_index.reset();
        packs.rest = make_pack(name, wants, haves, stop);
    } else if (!base->is_all) {
        packs.rest = pack(name, wants, haves, base, stop);
    }
    return packs;
}

/// A pack of the repository; small ones travel in the event.
std::optional<Pack> GitRepositories::keep_pushed(const std::filesystem::path& file,
                                                 const std::stop_token& stop) {
    std::error_code gone;
    if (std::filesystem::file_size(file, gone) > limits::inline_content_bytes || gone) {
        return gone ? std::nullopt : keep_base(file, stop);
    }
    try {
        std::string bytes = read_small_file(file, limits::inline_content_bytes);
        return Pack{sha256(bytes), bytes.size(), std::move(bytes)};
    } catch (const Error&) {
        return std::nullopt;  // git takes it away just now
    }
}

/// nullopt: this cannot be done here, or git takes the pack away just now.
std::optional<Pack> GitRepositories::keep_base(const std::filesystem::path& file,
                                               const std::stop_token& stop) {
    try {
        return link_pack(file, work_directory(linked_packs), stop);
    } catch (const Error& error) {
        spdlog::debug("{} is not sent as it is: {}", printable(file.native()), error.what());
        return std::nullopt;
    }
}

/// What was packed and not published before a crash is not packed again.
std::optional<Pack> GitRepositories::pack(const std::string& name,
                                          const std::vector<std::string>& wants,
                                          const std::vector<std::string>& haves,
                                          const std::optional<BasePack>& base,
                                          const std::stop_token& stop) {
    const std::filesystem::path git_dir = path_of(name);
    const std::filesystem::path work = make_unique_directory(options_.packs_directory, "making-");
    const TreeRemover remover(work);
    const std::filesystem::path file = work / "pack";
    const std::string known = existing_lines(program_, git_dir, haves, stop);
    const std::string wanted = hex_lines(wants);
    const std::string base_name = base ? base->file.filename().string() : std::string();
    const std::string request = name + '\0' + base_name + '\n' + wanted + "--not\n" + known;
    if (auto kept = take_made(options_.packs_directory, request, stop)) {
        return kept;
    }
    PackProgress::Running progress(progress_, name);
    const auto run = [&](const std::string& input, bool thin) {
        std::vector<std::string> arguments{"pack-objects", "--revs", "--stdout", "--all-progress",
                                           "--delta-base-offset"};
        if (thin) {
            // By a bitmap git finds no bases among what is there: a byte that changed in a large
            // file would take the whole file.
            arguments.insert(arguments.end(), {"--thin", "--no-use-bitmap-index"});
        }
        if (base) {
            arguments.push_back("--keep-pack=" + base_name);
        }
        Outcome outcome =
            program_.run(git_dir,
                         {.arguments = arguments,
                          .input = input,
                          .output_file = file,
                          .on_error = [&](std::string_view piece) { progress.hear(piece); }},
                         stop);
        outcome.error = without_progress(outcome.error);
        return outcome;
    };
    Outcome outcome = run(known.empty() ? wanted : wanted + "--not\n" + known, !known.empty());
    if (!outcome.ok() && !known.empty() && !is_system_trouble(outcome)) {
        // What was published before may be half pruned after a forced push: leave it out.
        outcome = run(wanted, false);
    }
    if (!outcome.ok()) {
        throw_failure("packing repository " + printable(git_dir.native()), outcome);
    }
    auto made = keep_pack(file, options_.packs_directory);
    if (made && made->bytes.empty()) {
        note_made(options_.packs_directory, request, *made);
    }
    return made;
}

std::unique_ptr<BulkBody> GitRepositories::open_kept_pack(const Sha256& hash) {
    for (const auto& directory : kept_packs()) {
        if (auto body = open_pack(directory, hash)) {
            return body;
        }
    }
    return nullptr;
}

size_t GitRepositories::drop_kept_packs_before(TimePoint time) {
    size_t dropped = 0;
    for (const auto& directory : kept_packs()) {
        dropped += drop_packs(directory, time);
    }
    return dropped;
}

/// Where a pack that waits to be pulled can be: those of repositories stay on their file system.
std::vector<std::filesystem::path> GitRepositories::kept_packs() const {
    if (options_.packs_directory.empty()) {
        return {};
    }
    return {options_.packs_directory, options_.root / own_directory / linked_packs};
}

std::filesystem::path GitRepositories::work_directory(const std::string& name) {
    make_directories_durably(options_.root, std::string(own_directory) + "/" + name);
    return options_.root / own_directory / name;
}

std::filesystem::path GitRepositories::incoming_directory() {
    return work_directory("incoming");
}

void GitRepositories::clean_leftovers() {
    std::error_code ignored;
    for (const std::string& name : {std::string("trash"), std::string("new")}) {
        std::filesystem::remove_all(options_.root / own_directory / name, ignored);
    }
    if (options_.packs_directory.empty()) {
        std::filesystem::remove_all(options_.root / own_directory / linked_packs, ignored);
    }
    for (const auto& directory : kept_packs()) {
        for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
            if (is_temporary(entry.path().filename().string())) {
                std::filesystem::remove_all(entry.path(), ignored);
            }
        }
    }
}

}  // namespace antipode::git
