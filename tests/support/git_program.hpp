#pragma once

#include <string>
#include <vector>

#include "tests/support/process.hpp"

namespace antipode::test {

/// How a user's git runs: with everybody's own configuration left out, and as Ada.
Process::Options git_environment();

/// git, as a user runs it. Throws when it fails; returns stdout without the last newline.
std::string git(const std::vector<std::string>& arguments, const std::string& input = {});

}  // namespace antipode::test
