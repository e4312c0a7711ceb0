#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/database_lane.hpp"

namespace antipode::test {
namespace {

}  // namespace
}  // namespace antipode::test
