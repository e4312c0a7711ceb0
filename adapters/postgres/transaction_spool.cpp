#include "adapters/postgres/transaction_spool.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t buffer_bytes = 256 * limits::kib;
constexpr uint64_t most_kept_free = limits::gib;  ///< or a tenth of the disk, if that is less
constexpr const char* keeping = "keeping a large transaction until it commits";
constexpr size_t length_bytes = 4;

[[noreturn]] void fail(const std::string& doing) {
    throw Error(Reaction::Retry, doing + ": " + std::strerror(errno),
                "see to the disk that holds state_dir: it must have room for the largest "
                "transactions");
}

uint32_t length_of(std::string_view bytes) {
    uint32_t value = 0;
    for (const char c : bytes.substr(0, length_bytes)) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

}  // namespace

TransactionSpool::File::File(const std::filesystem::path& directory) {
    std::string name = directory / "transaction-XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) {
        fail("making a file for a large transaction in " + directory.string());
    }
    ::unlink(name.c_str());
}

TransactionSpool::File::~File() {
    ::close(fd_);
}

/// What else is on that disk has the rest of it.
void TransactionSpool::File::keep_room(size_t bytes) const {
    struct statvfs disk {};
    if (::fstatvfs(fd_, &disk) != 0) {
        fail(keeping);
    }
    const uint64_t free = disk.f_bavail * disk.f_frsize;
    const uint64_t kept = std::min(disk.f_blocks * disk.f_frsize / 10, most_kept_free);
    if (free < bytes + kept) {
        errno = ENOSPC;
        fail(keeping);
    }
}

void TransactionSpool::File::write(std::string_view bytes, uint64_t offset) const {
    keep_room(bytes.size());
    while (!bytes.empty()) {
        const ssize_t size = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (size < 0 && errno != EINTR) {
            fail(keeping);
        }
        const auto written = static_cast<size_t>(std::max<ssize_t>(size, 0));
        bytes.remove_prefix(written);
        offset += written;
    }
}

void TransactionSpool::File::read(std::string& bytes, size_t size, uint64_t offset) const {
    const size_t before = bytes.size();
    bytes.resize(before + size);
    ssize_t got = 0;
    do {
        got = ::pread(fd_, bytes.data() + before, size, static_cast<off_t>(offset));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        fail("reading a large transaction back");
    }
    bytes.resize(before + static_cast<size_t>(got));
}

void TransactionSpool::add(uint32_t xid, char kind, std::string_view rest) {
    if (parts_.empty() || (xid != last_ && known_.insert(xid).second)) {
        known_.insert(xid);
        parts_.push_back({xid, end()});
    }
    last_ = xid;
    if (xid != top_ || kind == 'M') {
        certain_to_ = std::min(certain_to_, end());
    }
    append(kind, rest);
}

void TransactionSpool::cut(uint32_t xid) {
    if (has_told_) {
        throw Error(Reaction::Retry,
                    "a savepoint was rolled back in a large transaction that changes structure "
                    "or sequences: the server does not say which of that goes with it while it "
                    "runs, and sends it again when it commits");
    }
    if (!known_.contains(xid)) {
        return;
    }
    const auto part = std::prev(std::find_if(parts_.rbegin(), parts_.rend(), [&](const Part& one) {
                                    return one.xid == xid;
                                }).base());
    const uint64_t offset = part->offset;
    if (offset >= written_) {
        buffer_.resize(offset - written_);
    } else {
        buffer_.clear();
        written_ = offset;
    }
    for (auto gone = part; gone != parts_.end(); ++gone) {
        known_.erase(gone->xid);
    }
    parts_.erase(part, parts_.end());
    last_ = 0;
}

void TransactionSpool::append(char kind, std::string_view rest) {
    has_told_ |= kind == 'M';
    const auto size = static_cast<uint32_t>(rest.size() + 1);
    for (int shift = 24; shift >= 0; shift -= 8) {
        buffer_ += static_cast<char>(size >> shift);
    }
    buffer_ += kind;
    buffer_ += rest;
    if (buffer_.size() >= buffer_bytes) {
        file_.write(buffer_, written_);
        written_ += buffer_.size();
        buffer_.clear();
    }
}

std::optional<std::string_view> TransactionSpool::next() {
    if (read_ == written_ && buffered_.size() == taken_ && !buffer_.empty()) {
        reading_ = std::exchange(buffer_, {});
        buffered_ = reading_;
        taken_ = 0;
    }
    return read(written_);
}

std::optional<std::string_view> TransactionSpool::next_certain() {
    return read(certain_end());
}

void TransactionSpool::rewind() {
    read_ = 0;
    buffered_ = {};
    taken_ = 0;
}

std::optional<std::string_view> TransactionSpool::read(uint64_t to) {
    buffered_.remove_prefix(std::exchange(taken_, 0));
    if (!has(length_bytes, to)) {
        return std::nullopt;
    }
    const size_t size = length_of(buffered_);
    if (!has(length_bytes + size, to)) {
        throw Error(Reaction::Retry, "what was kept of a large transaction is cut short");
    }
    taken_ = length_bytes + size;
    return buffered_.substr(length_bytes, size);
}

bool TransactionSpool::has(size_t size, uint64_t to) {
    while (buffered_.size() < size) {
        if (read_ >= to) {
            return false;
        }
        std::string more(buffered_);
        const auto left = static_cast<size_t>(to - read_);
        file_.read(more, std::min(left, std::max(buffer_bytes, size)), read_);
        read_ += more.size() - buffered_.size();
        reading_ = std::move(more);
        buffered_ = reading_;
    }
    return true;
}

}  // namespace antipode::postgres
