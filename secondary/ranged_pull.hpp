#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/files.hpp"

namespace antipode::secondary {

/// One content that is being pulled, in ranges, by one or more threads at once. Two files say what
/// is here, also after a crash:
///
///     <name>.part    the ranges, each in its place
///     <name>.ranges  text: "<bytes of a range>\n", then for each range that has come, or come in
///                    part, "<its number> <bytes of it that are here>\n"
///
/// A line is written after its bytes were synced; a content of one range that comes at once needs
/// none. The hash is made of what the file holds, from its
/// beginning on, as far as all has come. Thread-safe.
class RangedPull {
  public:
    struct Options {
        std::string name;  ///< of the two files, in `tree`
        Sha256 hash{};
        uint64_t size = 0;
        uint64_t range_bytes = 0;
        BulkRequest request;
    };
    /// Looks at what an earlier try left, or begins anew: `from_scratch`. Throws Error{Retry}.
    RangedPull(FileTree& tree, Options options, bool from_scratch);

    /// What an earlier try left is of use.
    bool was_resumed() const { return was_resumed_; }

    /// Takes over the ranges of `file`, which should have been this content and is not, that have
    /// these hashes: only the others are pulled. Before the first pull_next(). Returns "bytes 0 to
    /// 8388607, ...": what differs. Throws Error{Retry} when nothing can be written, Stopped.
    std::string adopt(FileReader& file, const std::vector<Sha256>& hashes,
                      const std::stop_token& stop);

    /// Pulls the next range that nobody pulls, and hashes. False: there is none. Throws what
    /// BulkSource::get throws, and Error{Retry} when nothing can be written; what came is kept.
    bool pull_next(BulkSource& primary, const std::stop_token& stop);

    /// What became of it.
    enum class End {
        Open,    ///< ranges are missing, or on their way
        Right,   ///< everything is here, synced, and has the right hash
        Wrong,   ///< the same with another hash
        Gone,    ///< the primary does not have it any more
        Closed,  ///< it was given up
    };
    /// Waits until there is a range for pull_next(), or the end, or the stop token fires.
    End wait(const std::stop_token& stop);
    /// Why it is Gone.
    std::string reason() const;

    /// No range is begun any more, and those on their way end; returns when they have.
    void close();

    uint64_t bytes() const;  ///< here so far
    static void remove_files(FileTree& tree, const std::string& name);

  private:
    struct Range {
        uint64_t bytes = 0;     ///< written
        uint64_t recorded = 0;  ///< synced, and said in the file of ranges
        bool running = false;
    };
    class Running;

    std::string part() const { return options_.name + ".part"; }
    std::string list() const { return options_.name + ".ranges"; }
    uint64_t size_of(size_t range) const;
    std::vector<Range> read_list() const;
    void begin_anew();
    void write_list();
    void write_line(size_t range);
    std::optional<size_t> take();
    void pull(size_t range, BulkSource& primary);
    void record(size_t range, FileWriter& writer);
    void add_bytes(size_t range, uint64_t count);
    void give_up(std::string reason);
    void close_soon();
    void hash_on(const std::stop_token& stop);
    bool all_here() const;
    bool has_range() const;
    std::optional<End> end() const;

    FileTree& tree_;
    const Options options_;
    bool was_resumed_ = false;
    std::stop_source stop_;

    mutable std::mutex mutex_;  ///< of what follows
    std::condition_variable_any changed_;
    std::vector<Range> ranges_;
    std::unique_ptr<FileWriter> list_;  ///< null: nothing needed to be said yet
    size_t running_ = 0;
    bool closed_ = false;
    std::string gone_;
    bool hashing_ = false;
    size_t hashed_ = 0;  ///< ranges
    Sha256Stream stream_;
    std::optional<Sha256> result_;
};

}  // namespace antipode::secondary
