// Holds this source tree against the rules of the house.
#include <gtest/gtest.h>

#include "tests/house/rules.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::house {
namespace {

TEST(House, KeepsItsRules) {
    const std::filesystem::path top = ANTIPODE_SOURCE_DIR;
    const Tree tree = read_tree(top);
    ASSERT_GT(tree.size(), 50U) << "no source tree at " << top;
    for (const Violation& violation : check(tree)) {
        ADD_FAILURE() << violation.to_string();
    }
}

}  // namespace
}  // namespace antipode::house
