#include "adapters/git/beside_refs.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "adapters/git/borrowing.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/program.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::git {
namespace {

constexpr const char* description_file = "description";
constexpr const char* shallow_file = "shallow";
constexpr size_t shallow_bytes = 64 * limits::mib;

/// Its beginning; empty when it is not there, or no regular file.
std::string read_beginning(const std::filesystem::path& path, size_t most) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path, ignored))) {
        return {};
    }
    const Fd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
        if (errno == ENOENT) {
            return {};
        }
        throw_errno("opening", path);
    }
    std::string bytes(most, '\0');
    size_t size = 0;
    while (size < most) {
        const ssize_t count = read(fd.get(), bytes.data() + size, most - size);
        if (count == 0) {
            break;
        }
        if (count < 0 && errno != EINTR) {
            throw_errno("reading", path);
        }
        size += static_cast<size_t>(std::max<ssize_t>(count, 0));
    }
    bytes.resize(size);
    return bytes;
}

void remove_durably(const std::filesystem::path& path) {
    if (unlink(path.c_str()) == 0) {
        sync_path(path.parent_path());
    } else if (errno != ENOENT) {
        throw_errno("removing", path);
    }
}

void read_shallow(const std::filesystem::path& git_dir, size_t oid_size, RefMap& refs) {
    if (access((git_dir / shallow_file).c_str(), F_OK) != 0) {
        return;
    }
    const std::string shallow = read_small_file(git_dir / shallow_file, shallow_bytes);
    std::string_view rest = shallow;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const auto oid = from_hex(line);
        if (!oid || oid->size() != oid_size) {
            throw Error(Reaction::Resync,
                        "repository " + printable(git_dir.native()) +
                            ": its file \"shallow\" has "
                            "a line that is no object id",
                        "git --git-dir=" + printable(git_dir.native()) + " fsck --full");
        }
        refs[std::string(shallow_prefix) + to_hex(*oid)] = RefValue::direct(*oid);
    }
}

}  // namespace

void read_beside_refs(const std::filesystem::path& git_dir, size_t oid_size,
                      const std::filesystem::path& root, RefMap& refs) {
    const std::string text =
        encode_description(read_beginning(git_dir / description_file, description_bytes));
    if (!text.empty()) {
        refs[std::string(description_name)] = RefValue::symbolic(text);
    }
    const std::string pool = pool_of(root, git_dir);
    if (!pool.empty()) {
        refs[std::string(pool_name)] = RefValue::symbolic(escape_line(pool));
    }
    read_shallow(git_dir, oid_size, refs);
}

void change_shallow(const std::filesystem::path& git_dir, const std::vector<RefChange>& changes,
                    size_t oid_size) {
    RefMap refs;
    read_shallow(git_dir, oid_size, refs);
    for (const RefChange& change : changes) {
        if (change.after.absent()) {
            refs.erase(change.name);
        } else {
            refs[change.name] = change.after;
        }
    }
    const std::vector<std::string> commits = shallow_commits(refs);
    if (commits.empty()) {
        remove_durably(git_dir / shallow_file);
    } else {
        write_file_durably(git_dir / shallow_file, hex_lines(commits), 0644);
    }
}

void change_description(const std::filesystem::path& git_dir, const RefChange& change) {
    if (change.after.absent()) {
        remove_durably(git_dir / description_file);
    } else {
        write_file_durably(git_dir / description_file, unescape_line(change.after.target) + "\n",
                           0644);
    }
}

}  // namespace antipode::git
