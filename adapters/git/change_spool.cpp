#include "adapters/git/change_spool.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/git/discovery.hpp"
#include "adapters/git/hooks.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr size_t chunk_bytes = 64 * 1024;

off_t size_of(const Fd& fd, const std::filesystem::path& path) {
    struct stat info {};
    if (fstat(fd.get(), &info) != 0) {
        throw_errno("looking at", path);
    }
    return info.st_size;
}

bool same_file(const Fd& fd, const std::filesystem::path& path) {
    struct stat opened {};
    struct stat named {};
    return fstat(fd.get(), &opened) == 0 && stat(path.c_str(), &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

std::string unescape_record(std::string_view record) {
    std::string bytes;
    for (size_t i = 0; i < record.size(); ++i) {
        const bool escaped = record[i] == '\\' && record.substr(i).starts_with("\\x");
        const auto byte = escaped ? from_hex(record.substr(i + 2, 2)) : std::nullopt;
        if (byte && byte->size() == 1) {
            bytes += *byte;
            i += 3;
        } else {
            bytes += record[i];
        }
    }
    return bytes;
}

ChangeSpool::ChangeSpool(Options options)
    : options_(std::move(options)), replaced_path_(options_.file.string() + ".replaced") {
    std::error_code error;
    real_root_ = std::filesystem::weakly_canonical(options_.root, error).string();
    std::filesystem::create_directories(options_.file.parent_path(), error);
    // Hooks of other users open the file by its name; they need not list the directory.
    chmod(options_.file.parent_path().c_str(), 0711);
    make_file(options_.file);
    current_.fd = open_file(options_.file, O_RDONLY);
    if (access(replaced_path_.c_str(), F_OK) == 0) {
        replaced_.fd = open_file(replaced_path_, O_RDONLY);
    }
}

void ChangeSpool::make_file(const std::filesystem::path& path) const {
    const Fd fd = open_file(path, O_WRONLY | O_CREAT, 0600);
    if (fchmod(fd.get(), options_.mode) != 0) {
        throw_errno("setting the mode of", path);
    }
}

ChangeSpool::Taken ChangeSpool::take() {
    Taken taken;
    if (!same_file(current_.fd, options_.file)) {
        // Somebody took the file away; what its hooks said is in doubt.
        taken.complete = false;
        read_new(current_, taken);
        make_file(options_.file);
        current_ = {open_file(options_.file, O_RDONLY), 0};
    }
    finish_replaced(taken);
    read_new(current_, taken);
    if (!replaced_.fd.valid() && current_.offset >= static_cast<off_t>(options_.replace_bytes)) {
        replace();
    }
    std::sort(taken.names.begin(), taken.names.end());
    taken.names.erase(std::unique(taken.names.begin(), taken.names.end()), taken.names.end());
    return taken;
}

void ChangeSpool::read_new(Reading& reading, Taken& taken) {
    const off_t end = size_of(reading.fd, options_.file);
    if (end < reading.offset) {  // truncated by somebody
        taken.complete = false;
        reading.offset = 0;
    }
    std::string pending;
    std::array<char, chunk_bytes> buffer{};
    off_t at = reading.offset;
    while (at < end) {
        const auto want = std::min<off_t>(end - at, chunk_bytes);
        const ssize_t count = pread(reading.fd.get(), buffer.data(), static_cast<size_t>(want), at);
        if (count < 0 && errno != EINTR) {
            throw_errno("reading", options_.file);
        }
        if (count == 0) {
            break;
        }
        at += std::max<ssize_t>(count, 0);
        pending.append(buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0)));
        size_t start = 0;
        for (size_t newline = pending.find('\n'); newline != std::string::npos;
             newline = pending.find('\n', start)) {
            note(std::string_view(pending).substr(start, newline - start), taken);
            start = newline + 1;
        }
        pending.erase(0, start);
        reading.offset += static_cast<off_t>(start);
    }
}

void ChangeSpool::note(std::string_view record, Taken& taken) const {
    if (record.empty()) {
        return;
    }
    const std::string path = unescape_record(record);
    const bool below = path.starts_with(real_root_) && path.size() > real_root_.size() + 1 &&
                       path[real_root_.size()] == '/';
    if (!below) {
        // A bind mount, a repository moved elsewhere, a path too long: it may be one of ours.
        taken.complete = false;
        return;
    }
    std::string name = path.substr(real_root_.size() + 1);
    if (!is_safe_relative(name)) {
        taken.complete = false;  // no hook of ours wrote that
    } else if (!is_left_out(name)) {
        taken.names.push_back(std::move(name));
    }
}

void ChangeSpool::replace() {
    make_file(replaced_path_);
    // There is no moment without a file of this name.
    if (renameat2(AT_FDCWD, replaced_path_.c_str(), AT_FDCWD, options_.file.c_str(),
                  RENAME_EXCHANGE) != 0) {
        throw_errno("replacing", options_.file);
    }
    replaced_ = std::move(current_);
    current_ = {open_file(options_.file, O_RDONLY), 0};
}

void ChangeSpool::finish_replaced(Taken& taken) {
    if (!replaced_.fd.valid()) {
        return;
    }
    const bool alone = flock(replaced_.fd.get(), LOCK_EX | LOCK_NB) == 0;
    read_new(replaced_, taken);
    if (alone) {
        unlink(replaced_path_.c_str());
        replaced_ = {};
    }
}

bool ChangeSpool::covers(const std::string& name) {
    if (!is_safe_relative(name)) {
        return false;
    }
    return hook_status(options_.root / name, {options_.program, options_.file}) ==
           HookStatus::Installed;
}

std::string ChangeSpool::problem() const {
    return "no hook tells of repositories that are made, deleted or renamed, nor of programs that "
           "run none";
}

}  // namespace antipode::git
