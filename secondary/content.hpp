#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "base/digest.hpp"
#include "base/ids.hpp"
#include "base/limits.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/files.hpp"
#include "protocol/message.hpp"
#include "secondary/ranged_pull.hpp"

namespace antipode::secondary {

/// The large contents of one store that were pulled and wait to be applied, in one directory:
///
///     <sha256 in hex>        whole, checked, durable
///     <sha256 in hex>.part, .ranges   what is here of one that is being pulled (RangedPull)
///     <sha256 in hex>.same   a second name of an item that should have this content already; when
///                            it has not, its ranges that are right need not be pulled
///
/// The files are the only state, so it is resumed after any crash. Contents stay until their owner
/// discards them: two events may want the same one. Thread-safe; owner: the store's relay.
class ContentStore {
  public:
    /// Items of `tree` that were applied with this content.
    using SameContent = std::function<std::vector<std::string>(const Sha256& hash, uint64_t size)>;
    /// `directory` is below the root of `tree` and is made when needed; the root is not.
    /// `same_content` may be empty.
    ContentStore(StoreId store, FileTree& tree, std::string directory,
                 SameContent same_content = {}, uint64_t range_bytes = limits::pull_range_bytes);
    ~ContentStore();

    struct Here {
        std::filesystem::path path;
        /// The file when it had been pulled and checked by this process: while it looks like this
        /// it need not be read again. nullopt: an earlier one did.
        std::optional<FileStat> checked{};
        /// Small content that is in memory alone, not durable; then there is no file.
        std::shared_ptr<const std::string> bytes{};
    };
    /// The primary does not have this content any more; a later event brings what came after it.
    struct Gone {
        std::string reason;
    };
    using Outcome = std::variant<Here, Gone>;

    /// It is on the disk already, whole: fetch() asks nobody for it.
    bool has(const v1::Content& content);
    /// It will be fetched. When an item has it already, it gets a second name now, because the item
    /// may be removed or replaced before.
    void expect(const v1::Content& content);
    /// `item`, which has this content, goes, and the content may be expected next: it gets a second
    /// name. False: it is not there, or the file system cannot.
    bool keep(const std::string& item, const Sha256& hash, uint64_t size);

    /// Pulls what `content.pull` refers to, but for the ranges that are here; answers at
    /// once when it is here, and does not pull what an item has. Several threads may fetch: the
    /// same content is pulled once, and the others wait for it. Throws Error{Retry} when `primary`
    /// cannot be reached or nothing can be written (what came so far is kept), Stopped on the
    /// token.
    Outcome fetch(const v1::Content& content, BulkSource& primary, const std::stop_token& stop);

    /// Pulls one range of a content that another thread fetches. False: there is none to be had.
    /// Throws as fetch() does; then the other thread pulls that range.
    bool help(BulkSource& primary, const std::stop_token& stop);

    /// Writes a content that was pulled into memory, and makes it durable. Throws Error{Retry} when
    /// that fails, Stopped on the token.
    Here save(const v1::Content& content, const std::string& bytes, const std::stop_token& stop);

    /// Where a content is (to be) found.
    std::filesystem::path path_of(const Sha256& hash) const;

    /// No event wants it any more, if `unwanted` says so while nobody else can take it. Nothing
    /// happens while it is being pulled.
    void discard(const Sha256& hash, const std::function<bool()>& unwanted);
    /// After a start: deletes what no event wants. Returns how many files went.
    size_t keep_only(std::span<const Sha256> wanted);

    struct Progress {
        Sha256 hash{};
        uint64_t bytes = 0;  ///< here so far
        uint64_t total = 0;
    };
    /// What is being pulled now.
    std::vector<Progress> progress() const;

  private:
    /// Holds the right to pull one content.
    class Turn;

    std::string whole_name(const Sha256& hash) const;
    std::string same_name(const Sha256& hash) const;
    void require_directory();
    bool name_same(const Sha256& hash, uint64_t size);
    bool link_same(const std::string& item, const Sha256& hash, uint64_t size);
    bool take_same(Turn& turn, const std::stop_token& stop);
    void adopt_damaged(const v1::Content& content, Turn& turn, RangedPull& pull,
                       BulkSource& primary, const std::stop_token& stop);
    void place(const Sha256& hash, const std::string& file);
    bool is_here(const Sha256& hash, uint64_t size);
    std::optional<Outcome> pull(const v1::Content& content, Turn& turn, bool from_scratch,
                                BulkSource& primary, const std::stop_token& stop);
    bool is_active(const Sha256& hash) const;

    const StoreId store_;
    FileTree& tree_;
    const std::string directory_;
    const SameContent same_content_;
    const uint64_t range_bytes_;
    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable_any turn_ended_;
    struct Active {
        Progress progress;
        std::shared_ptr<RangedPull> pull;  ///< null: not yet
    };
    std::vector<Active> active_;
};

}  // namespace antipode::secondary
