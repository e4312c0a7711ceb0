#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "failover/loss.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::failover {

/// The directory in which a former primary keeps what the new one never got:
///
///     losses.jsonl               each of them, a line of JSON, as in a loss report's "losses"
///     database/app.jsonl         changes of rows and structure, in commit order, a line each
///     blobs/uploads/<path>       files as they were
///     repositories/git/<name>.bundle   what the lost refs lead to (git bundle)
///     manifest.json              the final loss report; last: without it the rest is half made
///
/// Made from nothing each time; durable when finish() returns. A whole one that is made anew is put
/// aside (<directory>.before-1, ...) until one holds everything that it holds. One thread. Throws
/// Error{Retry} when the disk refuses.
class Quarantine {
  public:
    explicit Quarantine(std::filesystem::path directory);

    /// A new file below the directory, with the directories that lead to it. `path` is raw bytes
    /// without "..". Throws Error{Retry} unless there is room for `bytes` and something more.
    std::ofstream create(const std::string& path, uint64_t bytes = 0) const;
    /// The same, filled by `write` and closed; what that throws leaves no file.
    void keep(const std::string& path, uint64_t bytes,
              const std::function<void(std::ostream& file)>& write) const;
    /// An item's file is a directory: it is kept as one.
    void create_directory(const std::string& path) const;
    void add(const Loss& loss);
    const FinalLoss& loss() const { return loss_; }
    /// Writes the manifest. Returns it.
    std::string finish(const std::string& preliminary, const std::string& site, TimePoint now);

    /// Deletes one. What a crash leaves of it is half made.
    static void drop(const std::filesystem::path& directory);

    static std::filesystem::path manifest_of(const std::filesystem::path& directory) {
        return directory / "manifest.json";
    }

  private:
    const std::filesystem::path directory_;
    std::ofstream losses_;
    FinalLoss loss_;
};

/// Where an item of a store is kept, below the quarantine. A database's transactions share a file.
std::string kept_path(const StoreId& store, const std::string& item);

/// Throws Error{Retry} unless all that was written has arrived, as far as the kernel says.
void close(std::ofstream& file, const std::string& name);

/// A bundle (gitformat-bundle(5)) of the refs that `update` sets, with `pack`, which `read` hands
/// over in pieces: it needs the objects that those refs named before.
void write_bundle(std::ostream& out, const v1::RefUpdate& update,
                  const std::vector<std::string>& needed,
                  const std::function<void(const std::function<void(std::string_view)>&)>& read);

}  // namespace antipode::failover
