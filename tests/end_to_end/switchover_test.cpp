// Another site becomes the primary, planned, and nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(Switchover, UnderLoadThereAndBackLosesNothingAndCopiesNothing) {
    Pair pair;
    Writer writer(pair);
    ASSERT_TRUE(writer.write());
    ASSERT_TRUE(pair.caught_up(pair.sydney)) << pair.describe();
    ASSERT_EQ(pair.sydney.antipode({"database", "setup"}).status, 0);
    writer.start();
    ASSERT_TRUE(writer.go_on(5)) << writer.problem();
    for (Site* to : {&pair.sydney, &pair.london, &pair.sydney}) {
        ASSERT_TRUE(pair.ready(*to)) << pair.describe();
        const CommandResult done = pair.switch_to(*to);
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair.describe();
        EXPECT_TRUE(pair.has_roles(*to)) << pair.describe();
        EXPECT_EQ(pair.open_site(), to);
        ASSERT_TRUE(writer.go_on(5)) << writer.problem() << pair.describe();
    }
    writer.stop();
    std::cout << "writes stopped for at most " << writer.longest_pause().count() << " ms, "
              << writer.acknowledged() << " writes\n";
    EXPECT_LT(writer.longest_pause(), 15s);
    EXPECT_EQ(writer.missing(pair.sydney), -1);
    ASSERT_TRUE(pair.caught_up(pair.london)) << pair.describe();
    EXPECT_EQ(writer.missing(pair.london), -1);
    pair.expect_equal();
    EXPECT_EQ(pair.london.status(".epoch"), "4");
}

}  // namespace
}  // namespace antipode::test
