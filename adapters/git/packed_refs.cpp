#include "adapters/git/packed_refs.hpp"

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"

namespace antipode::git {
namespace {

constexpr const char* packed_refs_file = "packed-refs";
constexpr size_t packed_refs_bytes = limits::gib;
/// It promises nothing about what tags lead to: the lines about that are left out, and git looks it
/// up until it packs the refs once more.
constexpr std::string_view header = "# pack-refs with: sorted \n";

using FileClock = std::filesystem::file_time_type::clock;
/// git holds its locks for moments; that of all packed refs while it writes them. A ref's own is
/// what a daemon that was killed leaves, most of the time, and nobody else moves refs in a mirror.
constexpr std::chrono::seconds longest_lock(10);
constexpr std::chrono::seconds longest_lock_of_ref(1);
const FileClock::time_point process_began = FileClock::now();
/// Housekeeping may pack the refs just now. As long as git itself waits for that lock:
/// git-config(1), core.packedRefsTimeout.
constexpr std::chrono::milliseconds lock_patience(1000);
constexpr std::chrono::milliseconds between_tries(10);

std::string describe(const std::filesystem::path& git_dir) {
    return "updating refs of " + printable(git_dir.native());
}

/// A ref's own file would hide what is packed.
void refuse_loose(const std::filesystem::path& git_dir, const RefChange& change) {
    struct stat info {};
    if (lstat((git_dir / change.name).c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) {
        throw Error(Reaction::Resync, describe(git_dir) + ": " + printable(change.name) +
                                          " was changed by somebody else");
    }
}

void change_all(const std::filesystem::path& git_dir, const std::vector<const RefChange*>& changes,
                RefMap& refs) {
    for (const RefChange* change : changes) {
        const auto found = refs.find(change->name);
        const RefValue now = found == refs.end() ? RefValue{} : found->second;
        refuse_loose(git_dir, *change);
        if (now != change->before) {
            throw Error(Reaction::Resync, describe(git_dir) + ": " + printable(change->name) +
                                              " is not what it is expected to be");
        }
        if (change->after.absent()) {
            refs.erase(change->name);
        } else {
            refs[change->name] = change->after;
        }
    }
}

std::string text_of(const RefMap& refs) {
    std::string text(header);
    for (const auto& [name, value] : refs) {
        text += to_hex(value.oid) + ' ' + name + '\n';
    }
    return text;
}

/// git's lock on packed-refs, which becomes the new file. Waits for whoever holds it.
class PackedRefsLock {
  public:
    PackedRefsLock(const std::filesystem::path& git_dir, const std::stop_token& stop)
        : git_dir_(git_dir), lock_(git_dir / "packed-refs.lock") {
        const auto until = std::chrono::steady_clock::now() + lock_patience;
        while (!take()) {
            if (remove_leftover(lock_.string(), git_dir)) {
                continue;
            }
            if (std::chrono::steady_clock::now() >= until) {
                throw Error(Reaction::Retry,
                            describe(git_dir) + ": " + printable(lock_.native()) + " is held",
                            "if no git process works on that repository (ps -C git), remove the "
                            "lock file");
            }
            if (sleep_unless_stopped(between_tries, stop)) {
                throw Stopped{};
            }
        }
    }
    ~PackedRefsLock() {
        if (fd_.valid()) {
            unlink(lock_.c_str());
        }
    }
    PackedRefsLock(const PackedRefsLock&) = delete;
    PackedRefsLock& operator=(const PackedRefsLock&) = delete;

    void become(std::string_view text) {
        write_and_sync(fd_, text, lock_);
        rename_path(lock_, git_dir_ / packed_refs_file);
        fd_.reset();
        sync_path(git_dir_);
    }

  private:
    /// False: somebody holds it.
    bool take() {
        fd_ = Fd(open(lock_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
        if (!fd_.valid() && errno != EEXIST) {
            throw_errno("making", lock_);
        }
        return fd_.valid();
    }

    const std::filesystem::path git_dir_;
    const std::filesystem::path lock_;
    Fd fd_;
};

/// Also of refs/, from which git takes away the files of what it has packed.
void pack_all(const Program& program, const std::filesystem::path& git_dir,
              const std::stop_token& stop) {
    const Outcome outcome = run_past_leftovers(
        program, git_dir, {.arguments = {"pack-refs", "--all", "--prune"}}, stop);
    if (!outcome.ok()) {
        throw_failure(describe(git_dir), outcome);
    }
}

}  // namespace

RefMap read_packed_refs(const std::filesystem::path& git_dir) {
    RefMap refs;
    const std::filesystem::path file = git_dir / packed_refs_file;
    if (access(file.c_str(), F_OK) != 0) {
        return refs;
    }
    const std::string text = read_small_file(file, packed_refs_bytes);
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (line.empty() || line.front() == '#' || line.front() == '^') {
            continue;
        }
        const size_t space = line.find(' ');
        const auto oid = from_hex(line.substr(0, space));
        if (space == std::string_view::npos || !oid) {
            throw Error(Reaction::Resync, "repository " + printable(git_dir.native()) +
                                              ": packed-refs cannot be read");
        }
        refs.emplace_hint(refs.end(), std::string(line.substr(space + 1)), RefValue::direct(*oid));
    }
    return refs;
}

bool remove_leftover(const std::string& lock, const std::filesystem::path& git_dir) {
    std::error_code ignored;
    const auto since = std::filesystem::last_write_time(lock, ignored);
    const bool ours = lock.starts_with(git_dir.native() + "/") && lock.ends_with(".lock");
    const bool of_ref = lock.starts_with(git_dir.native() + "/refs/");
    const auto longest = of_ref ? longest_lock_of_ref : longest_lock;
    if (ignored || !ours || since >= process_began || FileClock::now() - since < longest) {
        return false;
    }
    return std::filesystem::remove(lock, ignored);
}

Outcome run_past_leftovers(const Program& program, const std::filesystem::path& git_dir,
                           const Program::Call& call, const std::stop_token& stop) {
    Outcome outcome = program.run(git_dir, call, stop);
    while (!outcome.ok() && remove_leftover(held_lock(outcome), git_dir)) {
        outcome = program.run(git_dir, call, stop);
    }
    return outcome;
}

void move_refs_at_once(const Program& program, const std::filesystem::path& git_dir,
                       const std::vector<const RefChange*>& changes, const std::stop_token& stop) {
    pack_all(program, git_dir, stop);
    {
        PackedRefsLock lock(git_dir, stop);
        RefMap refs = read_packed_refs(git_dir);
        change_all(git_dir, changes, refs);
        lock.become(text_of(refs));
    }
    pack_all(program, git_dir, stop);  // what tags lead to is known again
}

}  // namespace antipode::git
