#include "adapters/files/inotify_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <system_error>
#include <unordered_map>
#include <unordered_set>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "adapters/files/descriptor.hpp"
#include "adapters/files/posix_tree.hpp"
#include "base/digest.hpp"
#include "base/limits.hpp"

namespace antipode::files {
namespace {

constexpr uint32_t noticed_events = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE |
                                    IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF |
                                    IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr uint32_t arrivals = IN_CREATE | IN_MOVED_TO;
constexpr uint32_t departures = IN_DELETE | IN_MOVED_FROM;

constexpr std::chrono::milliseconds first_interval{1000};
constexpr std::chrono::milliseconds longest_interval{std::chrono::minutes(10)};
/// drain() looks again for what came while it listed new directories, so that a file is not named
/// in this result and again in the next; but not for ever.
constexpr int most_rounds = 4;
constexpr size_t buffer_bytes = 64 * limits::kib;

std::string join(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
}

/// A file that is being written and has not been closed.
struct OpenFile {
    bool written = false;  ///< since it was named last
    std::chrono::milliseconds interval = first_interval;
    SteadyTime due;
};

/// The subtree below `path`, in a map by path.
template <typename Map>
auto below(Map& map, const std::string& path) {
    return path.empty() ? std::pair(map.begin(), map.end())
                        : std::pair(map.lower_bound(path + '/'), map.lower_bound(path + '0'));
}

}  // namespace

struct InotifyWatch::State {
    State(const std::filesystem::path& root, const Clock& given) : clock(given), tree(root) {}

    /// What one drain() collects.
    struct Collected {
        Changes changes;
        std::unordered_set<std::string> named;
        void name(const std::string& file) {
            if (named.insert(file).second) {
                changes.files.push_back(file);
            }
        }
        void name_directory(const std::string& directory) {
            if (named.insert(directory + '/').second) {
                changes.directories.push_back(directory);
            }
        }
    };

    bool cover(const std::string& directory);
    void enter(const std::string& directory, Collected& collected);
    void leave(const std::string& directory);
    void forget_watch(int watch);
    bool read_round(Collected& collected);
    void handle(const inotify_event& event, Collected& collected);
    void handle_directory(const std::string& path, uint32_t mask, Collected& collected);
    void handle_file(const std::string& path, uint32_t mask, Collected& collected);
    void name_open_files(Collected& collected);

    const Clock& clock;
    PosixTree tree;
    Descriptor inotify;
    Descriptor epoll;
    Descriptor wakeup;
    mutable std::mutex mutex;  ///< of what follows
    std::function<bool(const std::string&)> excluded = [](const std::string&) { return false; };
    std::unordered_map<int, std::string> path_of_watch;
    std::map<std::string, int> watch_of_path;
    std::map<std::string, std::string> uncovered;  ///< why
    std::map<std::string, OpenFile> open_files;
};

/// False: it is not covered, and `uncovered` says why unless it is just not there.
bool InotifyWatch::State::cover(const std::string& directory) {
    uncovered.erase(directory);
    const Descriptor opened = open_beneath(tree.root(), directory, O_PATH | O_DIRECTORY);
    if (!opened) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
            uncovered[directory] =
                system_error("watching", tree.root(), directory, errno).describe();
        }
        return false;
    }
    // The kernel takes no descriptor; this name leads to exactly what was opened.
    const std::string name = "/proc/self/fd/" + std::to_string(opened.number());
    const int watch = inotify_add_watch(inotify.number(), name.c_str(), noticed_events);
    if (watch < 0) {
        Error error = system_error("watching", tree.root(), directory, errno);
        if (errno == ENOSPC) {
            error = Error(Reaction::Retry,
                          "watching " + printable(directory) + " in " +
                              printable(tree.root().native()) + ": no inotify watches are left",
                          "sysctl fs.inotify.max_user_watches=1048576");
        }
        uncovered[directory] = error.describe();
        return false;
    }
    // The same directory may have had another name, and the name another directory.
    if (const auto known = path_of_watch.find(watch);
        known != path_of_watch.end() && known->second != directory) {
        watch_of_path.erase(known->second);
    }
    if (const auto known = watch_of_path.find(directory);
        known != watch_of_path.end() && known->second != watch) {
        path_of_watch.erase(known->second);
    }
    path_of_watch[watch] = directory;
    watch_of_path[directory] = watch;
    return true;
}

/// A directory appeared: covers it and names what it holds.
void InotifyWatch::State::enter(const std::string& directory, Collected& collected) {
    std::vector<std::string> waiting = {directory};
    while (!waiting.empty()) {
        const std::string next = std::move(waiting.back());
        waiting.pop_back();
        collected.name_directory(next);
        const bool covered = cover(next);
        try {
            const auto entries = tree.list(next);
            collected.changes.complete = collected.changes.complete && (covered || !entries);
            for (const FileTree::Entry& entry : entries.value_or(std::vector<FileTree::Entry>())) {
                const std::string path = join(next, entry.name);
                if (excluded(path)) {
                    continue;
                }
                if (entry.stat.type == FileType::Directory) {
                    waiting.push_back(path);
                } else {
                    collected.name(path);
                }
            }
        } catch (const Error& error) {
            uncovered[next] = error.describe();
            collected.changes.complete = false;
        }
    }
}

/// A directory went away: its watches, which stick to it wherever it is, must not speak any more.
void InotifyWatch::State::leave(const std::string& directory) {
    const auto self = watch_of_path.find(directory);
    if (self != watch_of_path.end()) {
        inotify_rm_watch(inotify.number(), self->second);
        path_of_watch.erase(self->second);
        watch_of_path.erase(self);
    }
    const auto [first, last] = below(watch_of_path, directory);
    for (auto next = first; next != last; ++next) {
        inotify_rm_watch(inotify.number(), next->second);
        path_of_watch.erase(next->second);
    }
    watch_of_path.erase(first, last);
    uncovered.erase(directory);
    const auto [first_uncovered, last_uncovered] = below(uncovered, directory);
    uncovered.erase(first_uncovered, last_uncovered);
    const auto [first_open, last_open] = below(open_files, directory);
    open_files.erase(first_open, last_open);
}

void InotifyWatch::State::forget_watch(int watch) {
    const auto known = path_of_watch.find(watch);
    if (known != path_of_watch.end()) {
        watch_of_path.erase(known->second);
        path_of_watch.erase(known);
    }
}

/// Handles what is in the queue now. False: there was nothing.
bool InotifyWatch::State::read_round(Collected& collected) {
    int waiting = 0;
    if (ioctl(inotify.number(), FIONREAD, &waiting) != 0 || waiting <= 0) {
        return false;
    }
    alignas(inotify_event) std::array<char, buffer_bytes> buffer{};
    while (waiting > 0) {
        const ssize_t count = read(inotify.number(), buffer.data(), buffer.size());
        if (count <= 0) {
            if (count < 0 && errno == EINTR) {
                continue;
            }
            break;
        }
        waiting -= static_cast<int>(count);
        for (ssize_t offset = 0; offset < count;) {
            const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + offset);
            handle(*event, collected);
            offset += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        }
    }
    return true;
}

void InotifyWatch::State::handle(const inotify_event& event, Collected& collected) {
    if ((event.mask & (IN_Q_OVERFLOW | IN_UNMOUNT)) != 0) {
        collected.changes.complete = false;
        return;
    }
    if ((event.mask & IN_IGNORED) != 0) {
        forget_watch(event.wd);
        return;
    }
    const auto watched = path_of_watch.find(event.wd);
    if (watched == path_of_watch.end()) {
        return;
    }
    if (event.len == 0) {
        // The directory itself. Its parent's watch tells the same, but the root has none.
        if (watched->second.empty() && (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
            leave("");
            collected.changes.complete = false;
        }
        return;
    }
    const std::string path = join(watched->second, event.name);
    if (!excluded(path)) {
        (event.mask & IN_ISDIR) != 0 ? handle_directory(path, event.mask, collected)
                                     : handle_file(path, event.mask, collected);
    }
}

void InotifyWatch::State::handle_directory(const std::string& path, uint32_t mask,
                                           Collected& collected) {
    if ((mask & departures) != 0) {
        leave(path);
        collected.changes.gone_directories.push_back(path);
    } else if ((mask & arrivals) != 0 || uncovered.contains(path)) {
        enter(path, collected);
    } else if ((mask & IN_ATTRIB) != 0) {
        collected.name_directory(path);
    }
}

void InotifyWatch::State::handle_file(const std::string& path, uint32_t mask,
                                      Collected& collected) {
    if ((mask & IN_MODIFY) != 0) {
        const auto [open, is_new] = open_files.try_emplace(path);
        open->second.written = true;
        if (is_new) {
            open->second.due = clock.steady_now();
        }
        return;
    }
    if ((mask & (departures | IN_CLOSE_WRITE)) != 0) {
        open_files.erase(path);
    }
    collected.name(path);
}

void InotifyWatch::State::name_open_files(Collected& collected) {
    const SteadyTime now = clock.steady_now();
    for (auto& [path, open] : open_files) {
        if (open.written && open.due <= now) {
            collected.name(path);
            open.written = false;
            open.due = now + open.interval;
            open.interval = std::min(open.interval * 2, longest_interval);
        }
    }
}

InotifyWatch::InotifyWatch(const std::filesystem::path& root, const Clock& clock)
    : state_(std::make_unique<State>(root, clock)) {
    state_->inotify = Descriptor(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    state_->epoll = Descriptor(epoll_create1(EPOLL_CLOEXEC));
    state_->wakeup = Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    epoll_event news{};
    // Edge-triggered: a wait ends for what is new, not for what nobody has drained yet.
    news.events = EPOLLIN | EPOLLET;
    epoll_event stopped{};
    stopped.events = EPOLLIN;
    if (!state_->inotify || !state_->epoll || !state_->wakeup ||
        epoll_ctl(state_->epoll.number(), EPOLL_CTL_ADD, state_->inotify.number(), &news) != 0 ||
        epoll_ctl(state_->epoll.number(), EPOLL_CTL_ADD, state_->wakeup.number(), &stopped) != 0) {
        throw Error(
            Reaction::Retry,
            "watching " + printable(root.native()) + ": " + std::generic_category().message(errno),
            "sysctl fs.inotify.max_user_instances=1024, and raise LimitNOFILE");
    }
}
InotifyWatch::~InotifyWatch() = default;

void InotifyWatch::exclude(std::function<bool(const std::string& path)> excluded) {
    std::scoped_lock lock(state_->mutex);
    state_->excluded = std::move(excluded);
}

void InotifyWatch::cover(const std::string& directory) {
    std::scoped_lock lock(state_->mutex);
    state_->cover(directory);
}

FileWatch::Changes InotifyWatch::drain() {
    std::scoped_lock lock(state_->mutex);
    State::Collected collected;
    for (int round = 0; round < most_rounds && state_->read_round(collected); ++round) {
    }
    state_->name_open_files(collected);
    return std::move(collected.changes);
}

bool InotifyWatch::wait(std::chrono::milliseconds timeout, const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] { eventfd_write(state_->wakeup.number(), 1); });
    epoll_event happened{};
    const int count =
        epoll_wait(state_->epoll.number(), &happened, 1, static_cast<int>(timeout.count()));
    eventfd_t ignored = 0;
    eventfd_read(state_->wakeup.number(), &ignored);
    return count > 0 && !stop.stop_requested();
}

std::string InotifyWatch::problem() const {
    std::scoped_lock lock(state_->mutex);
    if (state_->uncovered.empty()) {
        return {};
    }
    const size_t others = state_->uncovered.size() - 1;
    return (others == 0 ? "" : std::to_string(others + 1) + " directories: ") +
           state_->uncovered.begin()->second;
}

}  // namespace antipode::files
