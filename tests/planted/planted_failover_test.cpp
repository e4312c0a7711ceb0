// Mistakes in failover (failover_bugs.cmake) are found by its unit tests; without one they pass.
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.hpp"

namespace antipode::planted {
namespace {

using testing::HasSubstr;

/// The test that finds it.
const std::map<std::string, std::string> finders = {
    {"ChangesTheEpochWhateverItIs", "Epoch.ChangesAreChainedAndOnlyOneOfTwoWins"},
    {"CapturesBeforeTheFenceIsClosed", "Conductor.ServesOnWhenTheFenceDoesNotHold"},
    {"DoesNotLookBehindTheHandoff", "Conductor.CapturesAgainWhatWasWrittenThroughTheFence"},
    {"TakesOverWhatDiffers", "Conductor.ServesOnWhenTheTargetDiffersOrDoesNotArrive"},
    {"OpensBeforeTheCutIsMade", "Conductor.GivesUpAPromotionThatHasCutNothingYet"},
    {"PromotesBesideALease",
     "Conductor.WaitsForTheLeaseBeforeItCutsAndWritesDownWhatProvesThatItHasRunOut"},
    {"FollowsAnotherBeginning",
     "Conductor.DoesNotFollowAPrimaryThatBeganElsewhereThanThisSiteEnded"},
    {"RenewsWithoutAsking", "OfTwo.AnOutageOfOneOfBothEndsNothingOneOfBothDoes"},
    {"CountsBeforeTheAnswer", "OfTwo.WhatWasPromisedIsCountedFromBeforeItWasSent"},
    {"TakesALeaseThatIsHeld", "OfTwo.APrimaryThatRenewsIsWaitedForInVain"},
};

std::vector<std::string> all_bugs() {
    std::istringstream words(ANTIPODE_PLANTED_BUGS);
    return {std::istream_iterator<std::string>(words), {}};
}

/// `bug`: empty: none.
test::CommandResult run_finder(const std::string& name, const std::string& bug) {
    test::Process::Options options;
    options.environment = {{"ANTIPODE_PLANTED", bug}};
    // A test that waits for what the mistake prevents has found it, too.
    return test::run({"timeout", "20", ANTIPODE_PLANTED_FAILOVER, "--gtest_filter=" + name}, {},
                     options);
}

class PlantedBug : public testing::TestWithParam<std::string> {};

TEST_P(PlantedBug, IsFound) {
    ASSERT_TRUE(finders.contains(GetParam())) << "no test is named that finds it";
    const std::string& finder = finders.at(GetParam());
    const test::CommandResult without = run_finder(finder, "");
    EXPECT_EQ(without.status, 0) << without.output;
    EXPECT_THAT(without.output, HasSubstr("[  PASSED  ] 1 test.")) << "there is no such test";
    const test::CommandResult with = run_finder(finder, GetParam());
    EXPECT_NE(with.status, 0) << finder << " does not find it";
    EXPECT_THAT(with.output, HasSubstr("Failure")) << "it ended with " << with.status;
}

INSTANTIATE_TEST_SUITE_P(Failover, PlantedBug, testing::ValuesIn(all_bugs()),
                         [](const auto& test) { return test.param; });

TEST(PlantedBugs, AreThoseThatTestsAreNamedFor) {
    const auto bugs = all_bugs();
    const std::set<std::string> planted(bugs.begin(), bugs.end());
    std::set<std::string> named;
    for (const auto& [bug, finder] : finders) {
        named.insert(bug);
    }
    EXPECT_EQ(planted, named);
}

}  // namespace
}  // namespace antipode::planted
