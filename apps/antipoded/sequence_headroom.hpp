#pragma once

#include <string>

#include "base/config.hpp"

namespace antipode {

/// Of a promotion without the old primary, before writes open: each database's sequences pass over
/// `sequence_headroom` numbers, which that primary may have given out beyond what came here. Which
/// sequence goes where is written down before the first one moves, in the state directory, so that
/// a call that is repeated moves none once more; the operation's loss report says what was done,
/// and which ones were left. Conductor's thread. Throws Error: Retry, Stop.
void make_sequence_headroom(const Config& config, const std::string& operation);

}  // namespace antipode
