// The part of `antipode doctor` that looks at this machine.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "adapters/git/program.hpp"
#include "apps/antipode/doctor.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t least_free_bytes = 1'000'000'000;
constexpr double least_free_share = 0.05;
/// Directories that are counted before the count is good enough.
constexpr uint64_t most_directories = 2'000'000;
/// Watches that other programs of the same user may need.
constexpr uint64_t spare_watches = 4096;
/// Since then it syncs what it writes (core.fsync).
constexpr std::pair oldest_git{2, 36};

std::string error_text(int error) {
    return std::generic_category().message(error);
}

struct Root {
    std::string store;
    fs::path path;
};

std::vector<Root> roots_of(const Config& config) {
    std::vector<Root> roots;
    for (const Config::Repositories& store : config.repositories) {
        roots.push_back({"repositories/" + store.name, store.root});
    }
    for (const Config::Blobs& store : config.blobs) {
        if (!store.bucket) {
            roots.push_back({"blobs/" + store.name, store.root});
        }
    }
    return roots;
}

/// Makes, syncs and removes a file: permissions, read-only mounts and full disks all show.
Finding try_writing(const std::string& check, const fs::path& directory) {
    std::string name = (directory / ".antipode-doctor-XXXXXX").string();
    const int file = mkostemp(name.data(), O_CLOEXEC);
    if (file < 0) {
        return bad(check, directory.string(), "cannot be written: " + error_text(errno),
                   "run this as the daemon's user; else chown or remount " + directory.string());
    }
    const bool synced = write(file, "x", 1) == 1 && fsync(file) == 0;
    const int error = errno;
    close(file);
    unlink(name.c_str());
    if (!synced) {
        return bad(check, directory.string(), "a file cannot be synced: " + error_text(error),
                   "df " + directory.string());
    }
    return good(check, directory.string(), "can be written");
}

Findings check_state(const Config& config) {
    if (!fs::is_directory(config.state_dir)) {
        return {bad("state", config.state_dir.string(), "is no directory",
                    "mkdir -p " + config.state_dir.string() + ", owned by the daemon's user")};
    }
    return {try_writing("state", config.state_dir)};
}

Findings check_roots(const Config& config) {
    Findings findings;
    for (const Root& root : roots_of(config)) {
        std::error_code error;
        const bool empty = fs::is_empty(root.path, error);
        if (error || !fs::is_directory(root.path)) {
            findings.push_back(bad("root", root.store,
                                   root.path.string() + " cannot be read: " +
                                       (error ? error.message() : "no directory"),
                                   "mount or create it, readable by the daemon's user"));
            continue;
        }
        Finding finding = try_writing("root", root.path);
        finding.subject = root.store;
        finding.text = root.path.string() + " " + finding.text + (empty ? ", empty" : "");
        findings.push_back(finding);
    }
    return findings;
}

}  // namespace

Finding check_space_of(const std::string& subject, const fs::path& path) {
    struct statvfs space {};
    if (statvfs(path.c_str(), &space) != 0) {
        return skipped("space", subject, path.string() + ": " + error_text(errno));
    }
    const uint64_t free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
    const uint64_t total_bytes = uint64_t{space.f_blocks} * space.f_frsize;
    const double share =
        total_bytes == 0 ? 1 : static_cast<double>(free_bytes) / static_cast<double>(total_bytes);
    const std::string text =
        format_bytes(free_bytes) + " of " + format_bytes(total_bytes) + " free at " + path.string();
    const bool few_inodes = space.f_files > 0 && space.f_favail * 100 < space.f_files;
    if (free_bytes < least_free_bytes || share < least_free_share) {
        return bad("space", subject, text, "make room: du -xh --max-depth=1 " + path.string());
    }
    if (few_inodes) {
        return bad("space", subject, "less than 1 % of the inodes are free at " + path.string(),
                   "make room: df -i " + path.string());
    }
    return good("space", subject, text);
}

namespace {

uint64_t bytes_below(const fs::path& root) {
    uint64_t bytes = 0;
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto entry = fs::recursive_directory_iterator(root, options, error);
         !error && entry != fs::end(entry); entry.increment(error)) {
        std::error_code ignored;
        const uint64_t size = entry->is_regular_file(ignored) ? entry->file_size(ignored) : 0;
        bytes += ignored ? 0 : size;
    }
    return bytes;
}

/// Whether the stream fits: by default nats-server gives its streams 75 % of what is free.
Findings check_stream_space(const Config& config) {
    const fs::path& directory = config.nats.store_dir;
    struct statvfs space {};
    if (directory.empty() || statvfs(directory.c_str(), &space) != 0) {
        return {};
    }
    const uint64_t room = uint64_t{space.f_bavail} * space.f_frsize + bytes_below(directory);
    const uint64_t most = room / 4 * 3;
    const std::string text = "nats.stream_max_bytes is " +
                             format_bytes(config.nats.stream_max_bytes) + ", nats-server may use " +
                             format_bytes(most) + " (75 %) at " + directory.string();
    if (config.nats.stream_max_bytes > most) {
        return {
            bad("space", "stream", text,
                "lower nats.stream_max_bytes, or make room; max_file_store of nats-server, when "
                "it is set, must not be less")};
    }
    return {good("space", "stream", text)};
}

Findings check_space(const Config& config) {
    Findings findings = {check_space_of("state_dir", config.state_dir)};
    for (const Root& root : roots_of(config)) {
        findings.push_back(check_space_of(root.store, root.path));
    }
    if (!config.nats.store_dir.empty()) {
        findings.push_back(check_space_of("nats.store_dir", config.nats.store_dir));
        for (Finding& finding : check_stream_space(config)) {
            findings.push_back(std::move(finding));
        }
    }
    return findings;
}

uint64_t count_directories(const fs::path& root) {
    uint64_t count = 1;
    std::error_code error;
    const auto options = fs::directory_options::skip_permission_denied;
    for (auto entry = fs::recursive_directory_iterator(root, options, error);
         !error && entry != fs::end(entry) && count < most_directories; entry.increment(error)) {
        std::error_code ignored;
        count += entry->is_directory(ignored) && !entry->is_symlink(ignored) ? 1 : 0;
    }
    return count;
}

Findings check_watches(const Config& config) {
    uint64_t limit = 0;
    std::ifstream("/proc/sys/fs/inotify/max_user_watches") >> limit;
    if (limit == 0) {
        return {skipped("inotify", "", "this kernel does not tell its limit of watches")};
    }
    uint64_t directories = 0;
    for (const Root& root : roots_of(config)) {
        directories += count_directories(root.path);
    }
    const std::string text = counted(directories, "directory", "directories") +
                             " to watch, the limit is " + std::to_string(limit);
    if (directories + spare_watches > limit) {
        return {bad("inotify", "", text,
                    "sysctl fs.inotify.max_user_watches=" +
                        std::to_string((directories + spare_watches) * 2) +
                        ", and put it into /etc/sysctl.d")};
    }
    return {good("inotify", "", text)};
}

/// How many a user has already, nobody tells: as many are made as the daemon of a primary makes.
Findings check_watch_instances(const Config& config) {
    size_t needed = 2 * config.repositories.size();  // the root, and the hooks' spool
    for (const Config::Blobs& store : config.blobs) {
        needed += store.bucket ? 0 : 1;
    }
    std::vector<int> made;
    int error = 0;
    while (made.size() < needed && error == 0) {
        const int instance = inotify_init1(IN_CLOEXEC);
        error = instance < 0 ? errno : 0;
        if (instance >= 0) {
            made.push_back(instance);
        }
    }
    for (const int instance : made) {
        close(instance);
    }
    uint64_t limit = 0;
    std::ifstream("/proc/sys/fs/inotify/max_user_instances") >> limit;
    const std::string text =
        std::to_string(made.size()) + " of " + std::to_string(needed) +
        " can be made besides what runs; the limit of all of a user's programs is " +
        std::to_string(limit);
    if (error != 0) {
        return {bad("inotify", "instances", text + ": " + error_text(error),
                    "sysctl fs.inotify.max_user_instances=1024, and put it into /etc/sysctl.d")};
    }
    return {good("inotify", "instances", text)};
}

Findings check_git(const Config& config) {
    if (config.repositories.empty()) {
        return {};
    }
    const git::Outcome outcome = git::Program().run({}, {.arguments = {"version"}}, {});
    std::pair version{0, 0};
    if (!outcome.ok() || std::sscanf(outcome.output.c_str(), "git version %d.%d", &version.first,
                                     &version.second) != 2) {
        return {bad("git", "", "it does not tell its version: " + outcome.complaint(),
                    "git version, as the daemon's user")};
    }
    const std::string text = outcome.output.substr(0, outcome.output.find('\n'));
    if (version < oldest_git) {
        return {bad("git", "", text + " does not sync what it writes: a power cut can take it",
                    "put git 2.36 or newer on the daemon's PATH, and on that of who pushes")};
    }
    return {good("git", "", text)};
}

Finding check_secret(const std::string& key, const fs::path& file) {
    struct stat about {};
    if (stat(file.c_str(), &about) != 0) {
        return bad("secret", key, file.string() + ": " + error_text(errno),
                   "create it, mode 0600, owned by the daemon's user");
    }
    if ((about.st_mode & 077) != 0) {
        return bad("secret", key, file.string() + " can be read by others",
                   "chmod 0600 " + file.string());
    }
    if (access(file.c_str(), R_OK) != 0) {
        return bad("secret", key, file.string() + " cannot be read by this user",
                   "run this as the daemon's user; else chown " + file.string());
    }
    return good("secret", key, file.string() + " is private");
}

Findings check_secrets(const Config& config) {
    Findings findings;
    if (!config.nats.credentials_file.empty()) {
        findings.push_back(check_secret("nats.credentials_file", config.nats.credentials_file));
    }
    if (!config.http.token_file.empty()) {
        findings.push_back(check_secret("http.token_file", config.http.token_file));
    }
    for (const Config::Blobs& store : config.blobs) {
        if (store.bucket) {
            findings.push_back(check_secret("credentials_file of blobs/" + store.name,
                                            store.bucket->credentials_file));
        }
    }
    return findings;
}

}  // namespace

std::vector<Check> local_checks() {
    return {{"state", check_state},
            {"root", check_roots},
            {"space", check_space},
            {"inotify", check_watches},
            {"inotify", check_watch_instances},
            {"git", check_git},
            {"secret", check_secrets}};
}

}  // namespace antipode::cli
