#pragma once

#include <string>

namespace antipode::failover {

/// Whether a promotion may go on: the old primary can have no writes open any more.
struct LeasePassage {
    bool open = true;
    std::string words;  ///< open: what proves it; empty: nothing need be. Else: what is waited for
    std::string next_step;
};

}  // namespace antipode::failover
