#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/chunks.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode::secondary {

/// An object whose definition differs; an empty one says that it is not there.
struct StructureDifference {
    enum class Kind { Missing, Extra, Changed };
    Kind kind = Kind::Changed;
    std::string object;  ///< "table public.items"
    std::string there;   ///< on the primary
    std::string here;
    bool operator==(const StructureDifference&) const = default;
};

struct StructureReport {
    uint64_t objects = 0;                          ///< of the primary
    std::vector<StructureDifference> differences;  ///< that were seen twice
    std::string undecided;  ///< why it is not known whether they are equal; empty: it is
};

/// Compares what tables, functions, rights ... there are on both sites. The primary reads its
/// structure between two barriers; when no change of the structure came between them it stands so
/// at the second one, where the secondary reads its own in the apply thread. What differs counts
/// when it differs alike twice.
///
/// One thread. Errors: Retry (the primary or the server is away, apply is behind), Stop.
class StructureCheck {
  public:
    struct Options {
        StoreId store;
        unsigned rounds = 8;
        std::chrono::milliseconds wait{600'000};  ///< for apply to reach a barrier
    };
    /// `primary`: its bulk service. All outlive this object.
    StructureCheck(Options options, BulkSource& primary, ReplicaReader& reader, Barriers& barriers);

    StructureReport run(const std::stop_token& stop);

  private:
    enum class Reading { Done, Failed, Impossible };
    /// Unless it is done, the reason is in `problem`.
    Reading read(Structure& there, Structure& here, std::string& problem,
                 const std::stop_token& stop);

    const Options options_;
    BulkSource& primary_;
    ReplicaReader& reader_;
    Barriers& barriers_;
};

/// Why they cannot be compared; empty: they can.
std::string why_incomparable(const Structure& there, const Structure& here);
std::vector<StructureDifference> compare_structures(const Structure& there, const Structure& here);

}  // namespace antipode::secondary
