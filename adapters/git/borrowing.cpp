#include "adapters/git/borrowing.hpp"

#include <algorithm>
#include <cerrno>
#include <set>
#include <sstream>

#include <unistd.h>

#include "adapters/git/discovery.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/housekeeping.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/refs.hpp"

namespace antipode::git {
namespace {

namespace fs = std::filesystem;

constexpr const char* alternates_file = "objects/info/alternates";
constexpr size_t file_bytes = 16 * limits::mib;

bool is_there(const fs::path& path) {
    return access(path.c_str(), F_OK) == 0;
}

/// The first path in a repository's list of alternates; empty: there is none. Quoted ones are not
/// read: nothing but their sharing is lost.
std::string first_alternate(const fs::path& git_dir) {
    const fs::path file = git_dir / alternates_file;
    if (!is_there(file)) {
        return {};
    }
    std::istringstream lines(read_small_file(file, file_bytes));
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty() && line.front() != '#' && line.front() != '"') {
            return line;
        }
    }
    return {};
}

}  // namespace

std::string pool_of(const fs::path& root, const fs::path& git_dir) {
    const std::string alternate = first_alternate(git_dir);
    if (alternate.empty()) {
        return {};
    }
    std::error_code error;
    // A relative path is relative to the objects; operator/ keeps an absolute one.
    const fs::path objects = fs::weakly_canonical(git_dir / "objects" / alternate, error);
    const fs::path real_root = fs::weakly_canonical(root, error);
    const std::string name = objects.parent_path().lexically_relative(real_root).string();
    const bool is_below = !error && objects.filename() == "objects" && is_safe_relative(name);
    return is_below && !is_left_out(name) ? name : std::string();
}

void borrow_from(const fs::path& root, const std::string& borrower, const std::string& pool) {
    point_to_pool(root, borrower, borrower, pool);
}

void point_to_pool(const fs::path& root, const std::string& borrower, const std::string& place,
                   const std::string& pool) {
    const fs::path path =
        (fs::path(pool) / "objects").lexically_relative(fs::path(place) / "objects");
    make_directories_durably(root / borrower, "objects/info");
    write_file_durably(root / borrower / alternates_file, path.string() + "\n", 0644);
}

void stop_borrowing(const Program& program, const fs::path& git_dir, const std::stop_token& stop) {
    const Outcome outcome =
        program.run(git_dir, {.arguments = {"repack", "-a", "-d", "-k", "-q"}}, stop);
    if (!outcome.ok()) {
        throw_failure("copying what is borrowed into " + printable(git_dir.native()), outcome);
    }
    sync_path(git_dir / "objects" / "pack");
    for (const fs::path& file : {git_dir / alternates_file, git_dir / own_bytes_file}) {
        if (unlink(file.c_str()) != 0 && errno != ENOENT) {
            throw_errno("removing", file);
        }
    }
    sync_path(git_dir / "objects" / "info");
}

std::vector<std::string> borrowers_of(const fs::path& root, const std::string& pool,
                                      const std::stop_token& stop) {
    std::vector<std::string> borrowers;
    for (const std::string& name : discover_repositories(root, stop).found) {
        if (name != pool && pool_of(root, root / name) == pool) {
            borrowers.push_back(name);
        }
    }
    return borrowers;
}

}  // namespace antipode::git
