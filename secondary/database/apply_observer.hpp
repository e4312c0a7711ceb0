#pragma once

#include <cstdint>
#include <string_view>

#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::secondary {

/// What stands beside the apply of a database and sees what it does. Called by the apply thread;
/// what it throws fails the apply, which begins again at its position.
class ApplyObserver {
  public:
    virtual ~ApplyObserver() = default;

    /// A transaction, or a part of one, is applied, though perhaps not committed yet; after an
    /// error it may come again. `message` may hold others beside it.
    virtual void applied(const v1::Transaction& message, uint32_t xid,
                         std::string_view changes) = 0;

    /// What was applied of this transaction last is rolled back: it comes again, behind others.
    virtual void broken_off(uint32_t xid) = 0;

    /// Everything before the barrier is committed, nothing behind it has begun. `session` has no
    /// open transaction. `whole`: the tables stand at this one place (false: they are still where
    /// their copies were made). True: the structure was changed in `session`; what is known of the
    /// database is to be read again.
    virtual bool reached(const v1::Barrier& barrier, ReplicaSession& session, bool whole) = 0;
};

}  // namespace antipode::secondary
