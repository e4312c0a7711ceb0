#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/seams/large_objects.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode::secondary {

struct LargeObjectReport {
    bool known = true;  ///< false: the primary does not tell, or one site cannot read them
    uint64_t objects = 0;
    uint64_t copied = 0;
    uint64_t removed = 0;
    uint64_t failed = 0;  ///< that could not be made equal
    std::string problem;  ///< of the first one, or why they cannot be listed
};

/// Makes this site's large objects those that a snapshot of the primary sees: each that differs is
/// copied as a whole, in a transaction of its own, piece by piece; those that are not there any
/// more are removed, and owners follow where the role is here. No stream tells of them: between two
/// runs they are as of the last one.
///
/// One thread. Errors: Retry (the primary or the server is away), Stop.
class LargeObjectCopy {
  public:
    /// `primary`: its bulk service. All outlive this object.
    LargeObjectCopy(StoreId store, BulkSource& primary, LargeObjectStore& here);

    LargeObjectReport run(const std::stop_token& stop);

  private:
    /// False: the database refuses it, as the report says.
    bool attempt(const LargeObject& object, LargeObjectReport& report,
                 const std::function<void()>& change);
    bool make_equal(const PrimaryCheck& check, const LargeObject& object, const LargeObject* own,
                    LargeObjectReport& report);
    void copy(const PrimaryCheck& check, const LargeObject& object);

    const StoreId store_;
    BulkSource& primary_;
    LargeObjectStore& here_;
};

}  // namespace antipode::secondary
