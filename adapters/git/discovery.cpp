#include "adapters/git/discovery.hpp"

#include <algorithm>
#include <cerrno>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "adapters/git/files.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode::git {
namespace {

using DirectoryHandle = Handle<DIR, closedir>;

bool has(int directory, const char* name, mode_t type) {
    struct stat info {};
    if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return false;
    }
    return (info.st_mode & S_IFMT) == type || S_ISLNK(info.st_mode);
}

bool is_directory(int parent, const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN) {
        return entry.d_type == DT_DIR;
    }
    struct stat info {};
    return fstatat(parent, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

class Walk {
  public:
    explicit Walk(const std::stop_token& stop) : stop_(stop) {}

    void enter(Fd directory, const std::string& path) {
        if (stop_.stop_requested()) {
            throw Stopped{};
        }
        const DirectoryHandle stream(fdopendir(dup(directory.get())));
        if (!stream) {
            discovery_.unreadable.push_back(path);
            return;
        }
        errno = 0;
        while (const dirent* entry = readdir(stream.get())) {
            const std::string_view name = entry->d_name;
            if (name != "." && name != ".." && !is_left_out(name) &&
                is_directory(directory.get(), *entry)) {
                look_at(directory.get(), entry->d_name, path + entry->d_name);
            }
            errno = 0;
        }
        if (errno != 0) {
            discovery_.unreadable.push_back(path);
        }
    }

    Discovery finish() {
        std::sort(discovery_.found.begin(), discovery_.found.end());
        return std::move(discovery_);
    }

  private:
    void look_at(int parent, const char* name, const std::string& path) {
        Fd directory(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!directory.valid()) {
            if (errno != ENOENT) {
                discovery_.unreadable.push_back(path + "/");
            }
            return;
        }
        const Presence presence = presence_of(directory.get());
        if (presence == Presence::Foreign) {
            enter(std::move(directory), path + "/");
        } else {
            discovery_.found.push_back(path);
        }
    }

    const std::stop_token& stop_;
    Discovery discovery_;
};

}  // namespace

bool is_left_out(std::string_view name) {
    const size_t slash = name.find('/');
    const std::string_view first = name.substr(0, slash);
    return first == own_directory || first == ".git" ||
           (slash != std::string_view::npos && is_left_out(name.substr(slash + 1)));
}

Presence presence_of(int directory) {
    const int parts = static_cast<int>(has(directory, "HEAD", S_IFREG)) +
                      static_cast<int>(has(directory, "objects", S_IFDIR)) +
                      static_cast<int>(has(directory, "refs", S_IFDIR));
    switch (parts) {
        case 3:
            return Presence::Repository;
        case 2:
            return Presence::Damaged;
        default:
            return Presence::Foreign;
    }
}

Discovery discover_repositories(const std::filesystem::path& root, const std::stop_token& stop) {
    Walk walk(stop);
    walk.enter(open_file(root, O_RDONLY | O_DIRECTORY), "");
    return walk.finish();
}

}  // namespace antipode::git
