#pragma once

#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::secondary {

/// What a lane does with changes of the structure.
enum class DdlPolicy { Apply, Halt };

/// Runs the statements that stand before an event's rows. Throws Error{Stop} that names statement,
/// place and next step when one of them cannot, or must not, be run here.
void run_statements(ReplicaSession& session, const v1::Transaction& transaction, DdlPolicy policy);

/// Where an event says that sequences stand. `exact`: those that went back may go back here, too.
std::vector<SequenceState> sequence_states(const v1::Transaction& transaction, bool exact);

}  // namespace antipode::secondary
