#include "apps/antipoded/page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dashboard/assets.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Page, IsServedWithAllThatItLoads) {
    const http::HttpResponse index =
        page({.method = "GET", .path = "/", .query = {}, .headers = {}});
    EXPECT_EQ(index.status, 200u);
    EXPECT_EQ(index.content_type, "text/html; charset=utf-8");
    EXPECT_TRUE(index.body.starts_with("<!doctype html>"));
    EXPECT_TRUE(index.body.ends_with("</html>\n"));
    for (const auto& asset : dashboard::assets()) {
        const http::HttpResponse answer =
            page({.method = "GET", .path = std::string(asset.path), .query = {}, .headers = {}});
        EXPECT_EQ(answer.body, asset.bytes);
        EXPECT_THAT(answer.headers.at("Content-Security-Policy"), HasSubstr("default-src 'none'"));
        EXPECT_THAT(answer.headers.at("Content-Security-Policy"), Not(HasSubstr("unsafe")));
    }
}

TEST(Page, LoadsNothingFromElsewhere) {
    for (const auto& asset : dashboard::assets()) {
        const std::string text(asset.bytes);
        for (const char* address : {"https://", "src=\"//", "href=\"//", "url(", "@import"}) {
            EXPECT_THAT(text, Not(HasSubstr(address))) << asset.path;
        }
    }
}

TEST(Page, KnowsNoOtherPath) {
    EXPECT_EQ(page({.method = "GET", .path = "/index.html", .query = {}, .headers = {}}).status,
              404u);
    EXPECT_EQ(page({.method = "GET", .path = "/../etc", .query = {}, .headers = {}}).status, 404u);
}

}  // namespace
}  // namespace antipode
