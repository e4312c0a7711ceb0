#include "adapters/http/same_origin.hpp"

#include <gtest/gtest.h>

namespace antipode::http {
namespace {

HttpRequest with(std::map<std::string, std::string> headers) {
    headers["host"] = "127.0.0.1:8840";
    return {.method = "POST", .path = "/", .query = {}, .headers = std::move(headers)};
}

TEST(SameOrigin, TakesProgramsAndThisServersOwnPage) {
    EXPECT_FALSE(is_from_another_origin(with({})));
    EXPECT_FALSE(is_from_another_origin(with({{"origin", "http://127.0.0.1:8840"}})));
    EXPECT_FALSE(is_from_another_origin(with({{"origin", "https://127.0.0.1:8840"}})));
    EXPECT_FALSE(is_from_another_origin(with({{"sec-fetch-site", "same-origin"}})));
    // A proxy may change the host; what the browser says of itself counts.
    EXPECT_FALSE(is_from_another_origin(
        with({{"sec-fetch-site", "same-origin"}, {"origin", "https://antipode.example"}})));
}

TEST(SameOrigin, KnowsPagesFromElsewhere) {
    for (const char* site : {"same-site", "cross-site", "something-new"}) {
        EXPECT_TRUE(is_from_another_origin(
            with({{"sec-fetch-site", site}, {"origin", "http://127.0.0.1:8840"}})))
            << site;
    }
    // Another port of this machine, another name for it, and a sandboxed frame.
    for (const char* origin : {"http://127.0.0.1:9000", "http://localhost:8840", "null"}) {
        EXPECT_TRUE(is_from_another_origin(with({{"origin", origin}}))) << origin;
    }
}

TEST(SameOrigin, KnowsJson) {
    EXPECT_TRUE(says_json(with({{"content-type", "application/json"}})));
    EXPECT_TRUE(says_json(with({{"content-type", "application/json; charset=utf-8"}})));
    for (const char* type :
         {"text/plain", "application/x-www-form-urlencoded", "text/plain; application/json", ""}) {
        EXPECT_FALSE(says_json(with({{"content-type", type}}))) << type;
    }
    EXPECT_FALSE(says_json(with({})));
}

}  // namespace
}  // namespace antipode::http
