#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace antipode::postgres {

/// The messages of one large transaction that runs, in order, in a file that has no name and so
/// leaves nothing behind. They can be read while more is added. Memory: up to 512 KiB, or two of
/// its messages, and tens of bytes for each of its subtransactions. One thread. Errors: Retry when
/// the disk refuses or has little room left.
class TransactionSpool {
  public:
    TransactionSpool(const std::filesystem::path& directory, uint32_t xid)
        : file_(directory), top_(xid) {}

    /// A message of `xid`, which is the transaction or one of its subtransactions; `kind` and what
    /// follows its xid.
    void add(uint32_t xid, char kind, std::string_view rest);

    /// Takes back what came since the subtransaction's first message: that was its own, or of one
    /// inside it. The server describes tables again that it described since then. Throws
    /// Error{Retry} when it cannot be told what belongs to it.
    void cut(uint32_t xid);

    /// The next message of what no cut() can take back, as far as there is enough of it; valid
    /// until the next call of anything here. nullopt: there is none.
    std::optional<std::string_view> next_certain();
    bool has_certain() const { return certain_end() > read_; }
    /// next_certain() begins again.
    void rewind();
    /// The next message, whatever it is; nothing is added any more.
    std::optional<std::string_view> next();

  private:
    class File {
      public:
        explicit File(const std::filesystem::path& directory);
        ~File();
        File(const File&) = delete;
        File& operator=(const File&) = delete;
        void write(std::string_view bytes, uint64_t offset) const;
        /// Up to `size` bytes, at least one, are appended to `bytes`.
        void read(std::string& bytes, size_t size, uint64_t offset) const;

      private:
        void keep_room(size_t bytes) const;
        int fd_ = -1;
    };
    struct Part {
        uint32_t xid = 0;
        uint64_t offset = 0;  ///< of its first message
    };
    uint64_t end() const { return written_ + buffer_.size(); }
    uint64_t certain_end() const { return std::min(written_, certain_to_); }
    void append(char kind, std::string_view rest);
    std::optional<std::string_view> read(uint64_t to);
    /// Sees to it that so many bytes are there to be read; false: there are not, up to `to`.
    bool has(size_t size, uint64_t to);

    File file_;
    const uint32_t top_;
    uint64_t written_ = 0;
    std::string buffer_;       ///< what comes behind it
    std::vector<Part> parts_;  ///< the transaction and its subtransactions, as they began
    std::unordered_set<uint32_t> known_;
    uint32_t last_ = 0;
    /// A client's messages name the whole transaction, whichever subtransaction they are of.
    bool has_told_ = false;
    /// Where the first message stands that may be of a subtransaction.
    uint64_t certain_to_ = std::numeric_limits<uint64_t>::max();

    // Reading:
    uint64_t read_ = 0;
    std::string reading_;
    std::string_view buffered_;  ///< the rest of it
    size_t taken_ = 0;           ///< of that, by the last message
};

}  // namespace antipode::postgres
