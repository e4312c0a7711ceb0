// Holds this source tree against the rules of the house.
#include <gtest/gtest.h>

#include "tests/house/rules.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::house {
namespace {

TEST(House, KeepsItsRules) {
    const std::filesystem::path top = ANTIPODE_SOURCE_DIR;
    const auto files = checked_files(top);
    ASSERT_GT(files.size(), 50U) << "no source tree at " << top;
    for (const std::string& path : files) {
        for (const Violation& violation : check_file(path, test::read_file(top / path))) {
            ADD_FAILURE() << violation.to_string();
        }
    }
}

}  // namespace
}  // namespace antipode::house
