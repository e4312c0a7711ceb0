#include "adapters/nats/reason.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::nats {
namespace {

using testing::HasSubstr;

TEST(Reason, SaysEachThingOnceAndNoPlaceInTheLibrary) {
    EXPECT_EQ(reason_of("No server available for connection",
                        "(conn.c:2088): No server available for connection"),
              "No server available for connection");
    EXPECT_EQ(reason_of("Timeout", ""), "Timeout");
    EXPECT_EQ(reason_of("Error", "insufficient storage resources available"),
              "insufficient storage resources available");
    EXPECT_EQ(reason_of("Not Permitted", "(a.c:1): (b.c:2): credentials expired"),
              "Not Permitted (credentials expired)");
    EXPECT_EQ(reason_of("Timeout", "(no place) here"), "Timeout ((no place) here)");
}

TEST(Reason, HasItsRemedy) {
    EXPECT_THAT(remedy_for("insufficient storage resources available"),
                testing::AllOf(HasSubstr("max_file_store"), HasSubstr("nats.stream_max_bytes")));
    EXPECT_THAT(remedy_for("wrong last sequence: 1054"), HasSubstr("move the stream's directory"));
    EXPECT_THAT(remedy_for("Timeout"), HasSubstr("check that nats-server runs"));
}

}  // namespace
}  // namespace antipode::nats
