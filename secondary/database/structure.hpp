#pragma once

#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::secondary {

/// What a lane does with changes of the structure.
enum class DdlPolicy { Apply, Halt };

/// Runs the statements that stand before an event's rows. Throws Error{Stop} that names statement,
/// place and next step when one of them cannot, or must not, be run here.
void run_statements(ReplicaSession& session, const v1::Transaction& transaction, DdlPolicy policy);

}  // namespace antipode::secondary
