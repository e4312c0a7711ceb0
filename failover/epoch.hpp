#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/seams/key_value.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::failover {

/// The epoch record says which site is the primary, and since which number of primaryship. It is
/// one key of a bucket and is changed by compare-and-set only.
struct Epoch {
    v1::EpochRecord record;
    uint64_t revision = 0;
};

/// nullopt: the cluster has no record there yet. Throws Error: Retry (bucket unreachable), Stop
/// (the record cannot be decoded or is another cluster's).
std::optional<Epoch> read_epoch(KeyValue& bucket, const std::string& cluster);

/// Creates the record of epoch 1 with `primary`. nullopt when there is one already.
std::optional<Epoch> create_epoch(KeyValue& bucket, const std::string& cluster,
                                  const std::string& primary, const std::string& written_by,
                                  TimePoint now);

/// Copies `seen` into this site's bucket unless that holds the same or a later epoch. True: copied.
bool adopt_epoch(KeyValue& own, const std::string& cluster, const v1::EpochRecord& seen);

/// The highest epoch that this site ever saw, on its own disk: a bucket that lost its tail must not
/// take a site back in time. One thread.
class EpochJournal {
  public:
    explicit EpochJournal(std::filesystem::path file) : file_(std::move(file)) {}
    /// nullopt: nothing was seen yet. Throws Error{Stop} when the file is damaged.
    std::optional<v1::EpochRecord> last() const;
    /// Durable when it returns; a record with a lower epoch is ignored.
    void note(const v1::EpochRecord& record);

  private:
    std::filesystem::path file_;
};

}  // namespace antipode::failover
