#include "adapters/postgres/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ConnectionString, IsReadAsLibpqReadsIt) {
    for (const char* url : {"host=/run/postgresql dbname=app user=antipode",
                            "postgresql://antipode@db.example:5433/app?sslmode=require"}) {
        EXPECT_EQ(why_no_connection_string(url), std::nullopt) << url;
    }
    EXPECT_THAT(why_no_connection_string("nonsense url").value_or(""), HasSubstr("\"nonsense\""));
    EXPECT_THAT(why_no_connection_string("hots=a").value_or(""), HasSubstr("\"hots\""));
    EXPECT_THAT(why_no_connection_string("postgresql://[::1").value_or(""), Not(HasSubstr("\n")));
}

TEST(Message, StandsInOneLine) {
    EXPECT_EQ(one_line("refused\n\tIs the server running?\n"), "refused; Is the server running?");
    EXPECT_EQ(one_line("  a  b \n\n c \n"), "a  b; c");
    EXPECT_EQ(one_line("closed\n\tThis means that it ended\n\tbefore the request.\n"),
              "closed; This means that it ended before the request.");
    EXPECT_EQ(one_line("plain"), "plain");
    EXPECT_EQ(one_line("\n"), "");
    EXPECT_EQ(one_line(nullptr), "");
}

TEST(Message, OfAServerThatIsAwayStandsInOneLine) {
    try {
        const Connection connection("host=127.0.0.1 port=1 dbname=app", "test",
                                    Connection::Mode::Plain);
        FAIL() << "something listens on port 1";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("Connection refused; Is the server running"));
        EXPECT_THAT(error.next_step(), HasSubstr("psql"));
    }
}

}  // namespace
}  // namespace antipode::postgres
