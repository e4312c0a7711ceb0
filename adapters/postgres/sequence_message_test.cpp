#include "adapters/postgres/sequence_message.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

TEST(SequenceMessage, IsReadAsItWasWritten) {
    const std::vector<SequenceState> states = {
        {{{"public", "s"}, 5, true}, false},
        {{{"Odd \"schema\"", "ünï\ncode"}, std::numeric_limits<int64_t>::min(), false}, true},
        {{{"", "x"}, std::numeric_limits<int64_t>::max(), true}, true}};
    const auto read = parse_sequence_message(write_sequence_message(states));
    ASSERT_TRUE(read);
    ASSERT_EQ(read->states.size(), states.size());
    for (size_t i = 0; i < states.size(); ++i) {
        EXPECT_EQ(read->states[i].at, states[i].at);
        EXPECT_EQ(read->states[i].exact, states[i].exact);
    }
}

TEST(SequenceMessage, OfSomebodyElseIsNothing) {
    for (const char* content : {"", "x", "5", "[[1,2,3,4,5]]", R"([["a"]])", R"({"a": 5})",
                                R"([["a","b","c",true,true]])", "[[\"\xff"}) {
        EXPECT_FALSE(parse_sequence_message(content)) << content;
    }
}

}  // namespace
}  // namespace antipode::postgres
