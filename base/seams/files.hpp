#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"

/// A tree of files below a root, as primary/blobs, secondary/blobs and the content store see it.
/// Implemented by adapters/files (POSIX, inotify) and in memory by simulations.
///
/// A path is raw bytes, relative to the root, its components separated by '/'; "" is the root
/// itself. Nothing ever follows a symbolic link below the root or leaves it: behind a link there is
/// nothing. "Not there" is an answer; everything else that goes wrong is Error{Retry} that names
/// the path and the operator's remedy.
namespace antipode {

enum class FileType { Regular, Directory, SymbolicLink, Other };

struct FileStat {
    FileType type = FileType::Regular;
    uint64_t size = 0;
    int64_t mtime_ns = 0;
    int64_t ctime_ns = 0;
    uint64_t inode = 0;
    uint64_t device = 0;
    uint64_t links = 1;  ///< names that this file has
    uint32_t mode = 0;   ///< the lower twelve bits
    bool operator==(const FileStat&) const = default;
};

/// What is mirrored of a file besides its content.
struct FileMetadata {
    uint32_t mode = 0;
    int64_t mtime_ns = 0;
    bool operator==(const FileMetadata&) const = default;
};

/// An open regular file. One thread.
class FileReader {
  public:
    virtual ~FileReader() = default;
    virtual FileStat stat() = 0;
    /// Mode and time, as they are to be mirrored, of the version that `stat` is of: the stat's own,
    /// unless the tree keeps them beside it.
    virtual FileMetadata metadata(const FileStat& stat) const { return {stat.mode, stat.mtime_ns}; }
    /// Fills `buffer` from the front; less only at the end of the file.
    virtual size_t read_at(uint64_t offset, std::span<char> buffer) = 0;
};

/// A regular file that is being written. One thread. What is written is durable only after sync()
/// or a barrier's.
class FileWriter {
  public:
    virtual ~FileWriter() = default;
    /// Behind what it wrote before; of append(), at the end of the file.
    virtual void write(std::string_view bytes) = 0;
    /// Anywhere, also behind the end; not of append().
    virtual void write_at(uint64_t offset, std::string_view bytes) = 0;
    /// The same with zeros, which take no room where the file system can do that.
    virtual void write_zeros_at(uint64_t offset, uint64_t size) = 0;
    virtual void set_metadata(uint32_t mode, int64_t mtime_ns) = 0;
    virtual void sync() = 0;
};

/// Makes durable, at once and cheaper than one by one, everything that was done to the tree since
/// the barrier was made.
class FileBarrier {
  public:
    virtual ~FileBarrier() = default;
    virtual void sync() = 0;
};

/// Regular files of a whole tree, in the order of their paths' bytes. One thread.
class FileListing {
  public:
    struct Entry {
        std::string path;
        FileStat stat;
    };
    virtual ~FileListing() = default;
    /// nullopt at the end.
    virtual std::optional<Entry> next() = 0;
};

/// Thread-safe. Owner: the program.
class FileTree {
  public:
    struct Entry {
        std::string name;
        FileStat stat;
    };
    /// What became of moving a file onto a name.
    enum class Placed {
        Yes,
        SourceMissing,
        DirectoryMissing,  ///< of the target; or a component of it is no directory
        DirectoryThere,    ///< the target is a directory
    };

    virtual ~FileTree() = default;
    /// Where the tree stands in the file system; for messages, and for handing files over by path.
    virtual const std::filesystem::path& root() const = 0;
    /// "the root /srv/files", "the bucket lfs at ...": where its files are, for people.
    virtual std::string name() const { return "the root " + printable(root().native()); }
    /// Each look is a request over the network: whoever must not wait does not look.
    virtual bool is_remote() const { return false; }

    /// nullopt: there is nothing (a component that is no directory included).
    virtual std::optional<FileStat> stat(const std::string& path) = 0;
    /// What a directory holds, in no order; entries that vanish meanwhile are left out. nullopt:
    /// there is no such directory.
    virtual std::optional<std::vector<Entry>> list(const std::string& directory) = 0;
    /// All files at once. nullptr: the tree is to be gone through directory by directory.
    virtual std::unique_ptr<FileListing> list_all() { return nullptr; }
    /// nullptr: there is no such regular file.
    virtual std::unique_ptr<FileReader> open(const std::string& path) = 0;

    /// Makes a file or empties it; mode 0600 when new. Its directory must be there.
    virtual std::unique_ptr<FileWriter> create(const std::string& path) = 0;
    /// Opens a file, or makes it, to write at its end.
    virtual std::unique_ptr<FileWriter> append(const std::string& path) = 0;
    /// Opens a file, or makes it, to write anywhere in it.
    virtual std::unique_ptr<FileWriter> update(const std::string& path) = 0;
    /// Opens a file that is there for its metadata, whatever its mode; nullptr: it is not.
    virtual std::unique_ptr<FileWriter> open_for_metadata(const std::string& path) = 0;
    /// False: something with that name, or no parent directory, is there.
    virtual bool make_directory(const std::string& path) = 0;

    /// Atomically, over a file that may be there.
    virtual Placed rename(const std::string& from, const std::string& to) = 0;
    /// A second name for one file. False: the file system cannot, or `to` is there already.
    virtual bool link(const std::string& from, const std::string& to) = 0;
    /// Makes a file with the content of another that takes no room of its own. False: the file
    /// system cannot, or `to` is there already.
    virtual bool clone(const std::string& from, const std::string& to) = 0;
    /// False: there is nothing, or a directory.
    virtual bool remove(const std::string& path) = 0;
    /// False: it is not there, not empty, or no directory.
    virtual bool remove_directory(const std::string& path) = 0;

    /// Makes the names in a directory durable. Nothing happens when it is not there any more.
    virtual void sync_directory(const std::string& path) = 0;
    virtual std::unique_ptr<FileBarrier> barrier() = 0;
};

/// Notices changes below the root of a tree. Directories are covered one by one: by cover(), and
/// those that appear in a covered directory by drain() itself, together with what they hold.
class FileWatch {
  public:
    struct Changes {
        /// Files that were written, closed after writing, created, linked, moved here or away,
        /// deleted, or whose mode or times were set. Each at most once. What they are now is to be
        /// looked up. A file that stays open for writing is named at once and then in growing
        /// intervals until it is closed.
        std::vector<std::string> files;
        /// Directories that appeared, or whose mode was set. Each at most once.
        std::vector<std::string> directories;
        /// Directories that went away with everything in them.
        std::vector<std::string> gone_directories;
        bool complete = true;  ///< false: events were lost since the last call
    };

    virtual ~FileWatch() = default;
    /// What is not to be looked at, nor into; set once, before anything else.
    virtual void exclude(std::function<bool(const std::string& path)> excluded) = 0;

    /// From its return on, changes directly in this directory are noticed. Nothing happens when it
    /// is not there. Any thread.
    virtual void cover(const std::string& directory) = 0;
    /// Every change that had happened when it is called is in this or an earlier result. Does not
    /// wait. One thread.
    virtual Changes drain() = 0;
    /// Waits for something to drain that came after the last wait. False after `timeout` or on the
    /// token. One thread, another than drain()'s.
    virtual bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop) = 0;
    /// Why some directory cannot be covered, with the remedy; empty while all can. Any thread.
    virtual std::string problem() const = 0;
};

}  // namespace antipode
