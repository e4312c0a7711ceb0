// Unit tests of failover with the mistake that the environment names, if it names one.
#include <cstdlib>

#include "tests/planted/planted.hpp"

namespace antipode::planted {
namespace {

[[maybe_unused]] const bool is_set = [] {
    const char* const bug = std::getenv("ANTIPODE_PLANTED");
    current = bug == nullptr ? "" : bug;
    return bug != nullptr;
}();

}  // namespace
}  // namespace antipode::planted
