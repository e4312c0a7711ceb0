#pragma once

#include <string>
#include <vector>

namespace antipode::secondary {

/// A condition on the table "item": a file whose content does not travel in its event. Its size
/// stands behind the hash.
const std::string& is_large_file();

/// The registry's tables: what makes each version of them from the one before. A released one never
/// changes.
const std::vector<std::string>& registry_migrations();

}  // namespace antipode::secondary
