#include "adapters/git/empty_repository.hpp"

#include <cerrno>

#include <fcntl.h>

#include "adapters/git/files.hpp"

namespace antipode::git {
namespace {

constexpr const char* directories[] = {"",     "objects",    "objects/info", "objects/pack",
                                       "refs", "refs/heads", "refs/tags"};

void write_new_file(const std::filesystem::path& path, std::string_view bytes) {
    write_and_sync(open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0666), bytes, path);
}

std::string config_for(const std::string& object_format) {
    const bool sha1 = object_format == "sha1";
    std::string config = "[core]\n\trepositoryformatversion = ";
    config += sha1 ? "0" : "1";
    config += "\n\tfilemode = true\n\tbare = true\n";
    return sha1 ? config : config + "[extensions]\n\tobjectformat = " + object_format + "\n";
}

}  // namespace

void make_empty_repository(const std::filesystem::path& place, const std::string& object_format) {
    try {
        for (const char* directory : directories) {
            std::filesystem::create_directory(place / directory);
        }
    } catch (const std::filesystem::filesystem_error& error) {
        errno = error.code().value();
        throw_errno("making directory", error.path1());
    }
    write_new_file(place / "HEAD", "ref: refs/heads/main\n");
    write_new_file(place / "config", config_for(object_format));
    for (const char* directory : directories) {
        sync_path(place / directory);
    }
}

}  // namespace antipode::git
