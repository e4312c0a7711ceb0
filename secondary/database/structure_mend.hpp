#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/structure_check.hpp"
#include "secondary/database/structure_edit.hpp"

namespace antipode::secondary {

struct StructureMended {
    EditedStructure edited;
    std::string problem;  ///< why nothing was done; empty: something was
};

/// Makes the structure that a check found different equal to the primary's: at a barrier, in the
/// apply thread and in one transaction, so that no change of rows or structure comes between what
/// the primary was and what is made here (docs/decisions/0007). Apply waits for it.
///
/// One thread. Errors: Retry (the primary or the server is away, apply is behind), Stop.
class StructureMend {
  public:
    struct Options {
        StoreId store;
        std::set<std::string> may_drop{};  ///< edit_structure()'s
        unsigned tries = 5;
        std::chrono::milliseconds wait{600'000};  ///< for apply to reach a barrier
    };
    /// `primary`: its bulk service. All outlive this object.
    StructureMend(Options options, BulkSource& primary, Barriers& barriers);

    /// `found`: what is to be made equal; where it is not the same any more nothing is done.
    StructureMended run(const std::vector<StructureDifference>& found, const std::stop_token& stop);

  private:
    bool mend(const std::vector<StructureDifference>& found, StructureMended& mended,
              const std::stop_token& stop);

    const Options options_;
    BulkSource& primary_;
    Barriers& barriers_;
};

}  // namespace antipode::secondary
