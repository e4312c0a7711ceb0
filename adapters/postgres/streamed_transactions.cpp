#include "adapters/postgres/streamed_transactions.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <unordered_set>
#include <utility>
#include <vector>

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
constexpr size_t xid_bytes = 4;

[[noreturn]] void malformed() {
    throw Error(Reaction::Stop,
                "decoding: PostgreSQL sent a message of a running transaction that breaks its "
                "format",
                "check the server's version; 14 to 17 are supported");
}

std::string_view take(std::string_view& bytes, size_t size) {
    if (bytes.size() < size) {
        malformed();
    }
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
}

uint32_t number(std::string_view bytes) {
    uint32_t value = 0;
    for (const char c : bytes) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

/// Of this process alone: it has no name, and so leaves nothing behind.
class UnlinkedFile {
  public:
    explicit UnlinkedFile(const std::filesystem::path& directory) {
        std::string name = directory / "transaction-XXXXXX";
        fd_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (fd_ < 0) {
            fail("making a file for a large transaction in " + directory.string());
        }
        ::unlink(name.c_str());
    }
    ~UnlinkedFile() { ::close(fd_); }
    UnlinkedFile(const UnlinkedFile&) = delete;
    UnlinkedFile& operator=(const UnlinkedFile&) = delete;

    void write(std::string_view bytes, uint64_t offset) const {
        keep_room(bytes.size());
        while (!bytes.empty()) {
            const ssize_t size =
                ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (size < 0 && errno != EINTR) {
                fail(keeping);
            }
            const auto written = static_cast<size_t>(std::max<ssize_t>(size, 0));
            bytes.remove_prefix(written);
            offset += written;
        }
    }
    /// Up to `size` bytes are appended to `bytes`.
    void read(std::string& bytes, size_t size, uint64_t offset) const {
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

  private:
    /// What else is on that disk has the rest of it.
    void keep_room(size_t bytes) const {
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
    [[noreturn]] static void fail(const std::string& doing) {
        throw Error(Reaction::Retry, doing + ": " + std::strerror(errno),
                    "see to the disk that holds state_dir: it must have room for the largest "
                    "transactions");
    }
    int fd_ = -1;
};

}  // namespace

/// One transaction: messages with their lengths, in order.
class StreamedTransactions::Spool {
  public:
    explicit Spool(const std::filesystem::path& directory) : file_(directory) {}

    /// Of `xid`, which is the transaction or one of its subtransactions.
    void add(uint32_t xid, char kind, std::string_view rest) {
        if (parts_.empty() || (xid != last_ && known_.insert(xid).second)) {
            known_.insert(xid);
            parts_.push_back({xid, end()});
        }
        last_ = xid;
        append(kind, rest);
    }

    /// What came since the subtransaction's first message was its own, or of one inside it. The
    /// server describes tables again that it described since then.
    void cut(uint32_t xid) {
        if (has_told_) {
            throw Error(Reaction::Retry,
                        "a savepoint was rolled back in a large transaction that changes structure "
                        "or sequences: the server does not say which of that goes with it while it "
                        "runs, and sends it again when it commits");
        }
        if (!known_.contains(xid)) {
            return;
        }
        const auto part =
            std::prev(std::find_if(parts_.rbegin(), parts_.rend(), [&](const Part& one) {
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

    std::optional<std::string_view> next() {
        buffered_.remove_prefix(taken_);
        taken_ = 0;
        if (!has(length_bytes)) {
            return std::nullopt;
        }
        const size_t size = number(buffered_.substr(0, length_bytes));
        if (!has(length_bytes + size)) {
            malformed();
        }
        taken_ = length_bytes + size;
        return buffered_.substr(length_bytes, size);
    }

  private:
    struct Part {
        uint32_t xid = 0;
        uint64_t offset = 0;  ///< of its first message
    };
    uint64_t end() const { return written_ + buffer_.size(); }

    void append(char kind, std::string_view rest) {
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

    /// Sees to it that so many bytes are there to be read; false: there are none any more.
    bool has(size_t size) {
        while (buffered_.size() < size) {
            std::string more(buffered_);
            if (read_ < written_) {
                const auto left = static_cast<size_t>(written_ - read_);
                file_.read(more, std::min(left, std::max(buffer_bytes, size)), read_);
                read_ += more.size() - buffered_.size();
            } else if (!buffer_.empty()) {
                more += buffer_;
                buffer_.clear();
            } else {
                return false;
            }
            reading_ = std::move(more);
            buffered_ = reading_;
        }
        return true;
    }

    UnlinkedFile file_;
    uint64_t written_ = 0;
    std::string buffer_;       ///< what comes behind it
    std::vector<Part> parts_;  ///< the transaction and its subtransactions, as they began
    std::unordered_set<uint32_t> known_;
    uint32_t last_ = 0;
    /// A client's messages name the whole transaction, whichever subtransaction they are of.
    bool has_told_ = false;

    // Reading back:
    uint64_t read_ = 0;
    std::string reading_;
    std::string_view buffered_;  ///< the rest of it
    size_t taken_ = 0;           ///< of that, by the last message
};

StreamedTransactions::StreamedTransactions(std::filesystem::path directory)
    : directory_(std::move(directory)) {}
StreamedTransactions::~StreamedTransactions() = default;

bool StreamedTransactions::take(std::string_view message) {
    std::string_view fields = message;
    const char kind = postgres::take(fields, 1)[0];
    if (segment_ != nullptr) {
        if (kind == 'E') {
            segment_ = nullptr;
        } else if (kind != 'O') {  // an origin, which names no transaction
            const uint32_t xid = number(postgres::take(fields, xid_bytes));
            segment_->add(xid, kind, fields);
        }
        return true;
    }
    switch (kind) {
        case 'S':
            begin_segment(fields);
            return true;
        case 'c':
            commit(fields);
            return true;
        case 'A':
            abort(fields);
            return true;
        default:
            return false;
    }
}

void StreamedTransactions::begin_segment(std::string_view fields) {
    const uint32_t xid = number(postgres::take(fields, xid_bytes));
    auto& spool = open_[xid];
    if (!spool) {
        spool = std::make_unique<Spool>(directory_);
    }
    segment_ = spool.get();
}

/// Its Commit is the same but for the transaction in front; what Begin says is among it.
void StreamedTransactions::commit(std::string_view fields) {
    const std::string_view xid = postgres::take(fields, xid_bytes);
    end_ = "C" + std::string(fields);
    postgres::take(fields, 1);  // flags
    const std::string_view commit_lsn = postgres::take(fields, 8);
    postgres::take(fields, 8);  // end
    const std::string_view time = postgres::take(fields, 8);
    begin_ = "B" + std::string(commit_lsn) + std::string(time) + std::string(xid);
    const auto found = open_.find(number(xid));
    if (found == open_.end()) {
        malformed();
    }
    committed_ = std::move(found->second);
    open_.erase(found);
}

void StreamedTransactions::abort(std::string_view fields) {
    const uint32_t xid = number(postgres::take(fields, xid_bytes));
    const uint32_t part = number(postgres::take(fields, xid_bytes));
    const auto found = open_.find(xid);
    if (found == open_.end()) {
        return;  // before anything of it was sent
    }
    if (part == xid) {
        open_.erase(found);
    } else {
        found->second->cut(part);
    }
}

std::optional<std::string_view> StreamedTransactions::next() {
    if (!committed_) {
        return std::nullopt;
    }
    if (!begin_.empty()) {
        handed_ = std::exchange(begin_, {});
        return handed_;
    }
    if (const auto message = committed_->next()) {
        return message;
    }
    committed_.reset();
    handed_ = std::exchange(end_, {});
    return handed_;
}

void StreamedTransactions::forget() {
    open_.clear();
    segment_ = nullptr;
    committed_.reset();
}

}  // namespace antipode::postgres
