#include "adapters/git/ref_reader.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "adapters/git/beside_refs.hpp"
#include "adapters/git/files.hpp"
#include "adapters/git/libgit2.hpp"
#include "adapters/git/packed_refs.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr int tries = 4;
constexpr size_t ref_file_bytes = 8192;
constexpr size_t config_bytes = 64 * 1024;
constexpr std::string_view symbolic_mark = "ref:";

[[noreturn]] void throw_unreadable(const std::filesystem::path& git_dir, const std::string& what) {
    throw Error(Reaction::Resync, "repository " + printable(git_dir.native()) + ": " + what,
                "git --git-dir=" + printable(git_dir.native()) + " fsck --full");
}

int64_t nanoseconds(const timespec& time) {
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

/// Folds what stat tells of the files into the fingerprint.
class Look {
  public:
    void add(const std::string& path, const struct stat& info) {
        const std::array<int64_t, 5> numbers{static_cast<int64_t>(info.st_mode & S_IFMT),
                                             static_cast<int64_t>(info.st_ino),
                                             static_cast<int64_t>(info.st_size),
                                             nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
        seen_.append(reinterpret_cast<const char*>(numbers.data()), sizeof(numbers));
        seen_.append(path);
        seen_ += '\0';
        files_.newest_ns =
            std::max({files_.newest_ns, nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)});
    }

    /// A directory below refs, and everything in it in byte order.
    void walk(int parent, const std::string& path, const std::filesystem::path& git_dir) {
        const auto slash = path.rfind('/');
        const std::string leaf = slash == std::string::npos ? path : path.substr(slash + 1);
        Fd fd(openat(parent, leaf.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        struct stat info {};
        if (!fd.valid() || fstat(fd.get(), &info) != 0) {
            const bool became_a_ref = path != "refs" && (errno == ENOTDIR || errno == ELOOP);
            if (errno == ENOENT || became_a_ref) {
                return;  // since it was listed; the next look tells
            }
            throw_errno("looking at", git_dir / path);
        }
        add(path, info);
        for (const Entry& entry : entries(fd, git_dir / path)) {
            visit(fd.get(), path + '/' + entry.name, entry, git_dir);
        }
    }

    RefFiles finish() {
        files_.fingerprint = std::string(view(sha256(seen_)));
        return std::move(files_);
    }

  private:
    struct Entry {
        std::string name;
        bool is_directory = false;  ///< certainly
    };

    void visit(int directory, const std::string& path, const Entry& entry,
               const std::filesystem::path& git_dir) {
        if (entry.is_directory) {
            walk(directory, path, git_dir);
            return;
        }
        struct stat info {};
        if (fstatat(directory, entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
            return;  // gone since it was listed
        }
        if (S_ISDIR(info.st_mode)) {
            walk(directory, path, git_dir);
        } else if (is_valid_ref_name(path)) {
            add(path, info);
            files_.loose.push_back(path);
        }
    }

    /// Each push looks at all directories several times: as few system calls as there can be.
    static std::vector<Entry> entries(const Fd& fd, const std::filesystem::path& path) {
        alignas(dirent64) std::array<char, 32 * 1024> buffer;
        std::vector<Entry> found;
        while (true) {
            const ssize_t size = getdents64(fd.get(), buffer.data(), buffer.size());
            if (size < 0) {
                throw_errno("reading directory", path);
            }
            if (size == 0) {
                break;
            }
            for (ssize_t at = 0; at < size;) {
                const auto* const entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
                const std::string_view name = entry->d_name;
                if (name != "." && name != "..") {
                    found.push_back({std::string(name), entry->d_type == DT_DIR});
                }
                at += entry->d_reclen;
            }
        }
        std::sort(found.begin(), found.end(),
                  [](const Entry& a, const Entry& b) { return a.name < b.name; });
        return found;
    }

    RefFiles files_;
    std::string seen_;
};

/// Most configurations need not be parsed to know that they do not.
bool may_name_format(const std::filesystem::path& config) {
    std::string text;
    try {
        text = read_small_file(config, config_bytes);
    } catch (const Error&) {
        return true;
    }
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text.find("objectformat") != std::string::npos ||
           text.find("include") != std::string::npos;
}

/// The content of HEAD or of a loose ref.
RefValue parse_ref_file(const std::filesystem::path& git_dir, const std::string& name,
                        size_t oid_size) {
    std::string text = read_small_file(git_dir / name, ref_file_bytes);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r')) {
        text.pop_back();
    }
    if (text.starts_with(symbolic_mark)) {
        const size_t start = text.find_first_not_of(" \t", symbolic_mark.size());
        if (start != std::string::npos) {
            return RefValue::symbolic(text.substr(start));
        }
    }
    const auto oid = from_hex(text);
    if (!oid || oid->size() != oid_size) {
        throw_unreadable(git_dir, "ref " + printable(name) + " is broken");
    }
    return RefValue::direct(*oid);
}

struct FilesRead {
    RefMap refs;
    std::string broken;  ///< one that could not be read, if the files held still
};

/// What a ref's own file says hides what is packed.
FilesRead read_files(const std::filesystem::path& git_dir, const std::vector<std::string>& loose,
                     size_t oid_size) {
    FilesRead read{read_packed_refs(git_dir), {}};
    for (const auto& [name, value] : read.refs) {
        if (value.oid.size() != oid_size) {
            read.broken = name;
        }
    }
    for (const std::string& name : loose) {
        try {
            read.refs[name] = parse_ref_file(git_dir, name, oid_size);
        } catch (const Error&) {
            read.broken = name;
        }
    }
    return read;
}

/// for-each-ref resolves symbolic refs and leaves out dangling ones: what they say is in their
/// files, since they are never packed.
RefMap read_through_git(const Program& program, const std::filesystem::path& git_dir,
                        const std::string& format) {
    const Outcome outcome = program.run(
        git_dir, {.arguments = {"for-each-ref", "--format=%(objectname) %(refname)"}}, {});
    if (!outcome.ok()) {
        if (is_system_trouble(outcome)) {
            throw_failure("reading the refs of " + printable(git_dir.native()), outcome);
        }
        throw_unreadable(git_dir, "git says: " + outcome.complaint());
    }
    const size_t hex_size = oid_bytes(format) * 2;
    RefMap refs;
    std::string_view rest = outcome.output;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const auto oid = from_hex(line.substr(0, hex_size));
        if (!oid || line.size() < hex_size + 2) {
            throw_unreadable(git_dir, "git listed a ref as " + printable(line));
        }
        refs[std::string(line.substr(hex_size + 1))] = RefValue::direct(*oid);
    }
    for (const std::string& name : look_at_refs(git_dir).loose) {
        const auto is_there = [&] { return std::filesystem::exists(git_dir / name); };
        try {
            RefValue value = parse_ref_file(git_dir, name, oid_bytes(format));
            if (value.is_symbolic()) {
                refs[name] = std::move(value);
            } else {
                refs.emplace(name, std::move(value));
            }
        } catch (const Error&) {
            if (is_there()) {
                throw;
            }
        }
    }
    return refs;
}

}  // namespace

RefFiles look_at_refs(const std::filesystem::path& git_dir) {
    const Fd directory = open_file(git_dir, O_RDONLY | O_DIRECTORY);
    Look look;
    std::vector<std::string> files{"HEAD", "packed-refs", "reftable/tables.list"};
    files.insert(files.end(), std::begin(files_beside_refs), std::end(files_beside_refs));
    for (const std::string& name : files) {
        struct stat info {};
        if (fstatat(directory.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
            look.add(name, info);
        } else if (errno != ENOENT && errno != ENOTDIR) {
            throw_errno("looking at", git_dir / name);
        }
    }
    look.walk(directory.get(), "refs", git_dir);
    return look.finish();
}

std::string object_format(const std::filesystem::path& git_dir) {
    std::string format;
    if (may_name_format(git_dir / "config")) {
        format = config_value(git_dir / "config", "extensions.objectformat");
    }
    if (format.empty()) {
        format = "sha1";
    }
    if (oid_bytes(format) == 0) {
        throw_unreadable(git_dir, "unknown object format " + printable(format));
    }
    return format;
}

RepositoryRefs read_all_refs(const Program& program, const std::filesystem::path& git_dir,
                             const std::filesystem::path& root) {
    RepositoryRefs result;
    result.object_format = object_format(git_dir);
    const size_t oid_size = oid_bytes(result.object_format);
    const auto read_beside = [&] {
        result.refs["HEAD"] = parse_ref_file(git_dir, "HEAD", oid_size);
        read_beside_refs(git_dir, oid_size, root, result.refs);
    };
    const bool has_files = !std::filesystem::exists(git_dir / "reftable");
    for (int i = 0; i < tries && has_files; ++i) {
        const RefFiles before = look_at_refs(git_dir);
        FilesRead read = read_files(git_dir, before.loose, oid_size);
        result.refs = std::move(read.refs);
        read_beside();
        if (look_at_refs(git_dir).fingerprint != before.fingerprint) {
            continue;
        }
        if (!read.broken.empty()) {
            throw_unreadable(git_dir, "ref " + printable(read.broken) + " is broken");
        }
        return result;
    }
    result.refs = read_through_git(program, git_dir, result.object_format);
    read_beside();
    return result;
}

}  // namespace antipode::git
