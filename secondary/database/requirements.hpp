#pragma once

#include <string>
#include <vector>

#include "base/seams/replica_facts.hpp"

/// What copying and applying need of a secondary's PostgreSQL: decisions on facts, without I/O.
namespace antipode::secondary {

/// A need that is not met, and what the operator does about it.
struct UnmetNeed {
    std::string what;
    std::string remedy;
};

std::vector<UnmetNeed> unmet_needs(const ReplicaFacts& facts);

}  // namespace antipode::secondary
