#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

#include "adapters/git/files.hpp"
#include "base/seams/repositories.hpp"

namespace antipode::git {

/// The file in which hooks report that a repository changed. A record is "\n<path>\n": the
/// repository's real path in one write(2), with every byte up to the space, the backslash and DEL
/// as \xNN; "\n*\n" stands for a path that is too long. The newline in front keeps a record that
/// was cut off (a full disk) apart from the next. Watch the file's directory with inotify
/// (IN_MODIFY) to learn of records at once.
///
/// Nothing is lost when the file is replaced by a new one: a hook holds a shared flock(2) on the
/// file while it appends, and starts again when the file it opened was unlinked before it got the
/// lock; the replaced file is unlinked under an exclusive lock after it was read to its end.
/// What a crash of the daemon leaves is read again by the next one.
///
/// Owner: whoever wires a repositories store. take() on one thread, the rest on any.
class ChangeSpool final : public RepositoryChanges {
  public:
    struct Options {
        std::filesystem::path file;
        std::filesystem::path root;     ///< of the store
        std::filesystem::path program;  ///< antipode-git-hook: what covered repositories have
        mode_t mode = 0622;             ///< pushes may run as other users than the daemon
        size_t replace_bytes = 1 << 20;
    };

    /// Makes the file and its directory when they are not there. Throws Error{Retry}.
    explicit ChangeSpool(Options options);

    Taken take() override;
    void cover(const std::stop_token&) override {}
    bool covers(const std::string& name) override;
    /// Never empty: git runs no hook for much that happens to repositories.
    std::string problem() const override;

    const std::filesystem::path& file() const { return options_.file; }

  private:
    struct Reading {
        Fd fd;
        off_t offset = 0;
    };

    void make_file(const std::filesystem::path& path) const;
    void read_new(Reading& reading, Taken& taken);
    void note(std::string_view record, Taken& taken) const;
    void replace();
    void finish_replaced(Taken& taken);

    Options options_;
    std::string real_root_;
    std::filesystem::path replaced_path_;
    Reading current_;
    Reading replaced_;
};

/// The bytes that a record stands for.
std::string unescape_record(std::string_view record);

}  // namespace antipode::git
