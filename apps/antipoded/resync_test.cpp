#include "apps/antipoded/resync.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode {
namespace {

using testing::HasSubstr;

class ResyncTest : public testing::Test {
  protected:
    http::HttpResponse post(const std::string& body) {
        return answer_resync({.method = "POST",
                              .path = "/v1/resync",
                              .query = {},
                              .headers = headers_,
                              .body = body},
                             "sydney", guarded_, ask_);
    }

    std::map<std::string, std::string> headers_ = {{"host", "sydney:8840"},
                                                   {"content-type", "application/json"}};
    bool guarded_ = true;
    std::vector<v1::SiteRequest> asked_;
    v1::SiteAnswer answer_;
    AskResync ask_ = [this](const v1::SiteRequest& request) {
        asked_.push_back(request);
        return answer_;
    };
};

TEST_F(ResyncTest, AsksForItemsOfWhateverName) {
    answer_.set_items(2);
    const auto answer =
        post(R"({"store":"blobs/uploads","items":["a b.txt"],"items_hex":["ff0a"]})");
    EXPECT_EQ(answer.status, 200U) << answer.body;
    EXPECT_EQ(answer.body, R"({"schema":"antipode.resync/1","site":"sydney","stores":[)"
                           R"({"items":2,"store":"blobs/uploads"}]})"
                           "\n");
    ASSERT_EQ(asked_.size(), 1U);
    EXPECT_EQ(asked_[0].action(), "fetch");
    EXPECT_EQ(asked_[0].store(), "blobs/uploads");
    EXPECT_THAT(asked_[0].items(), testing::ElementsAre("a b.txt", "\xff\n"));
}

TEST_F(ResyncTest, AsksForWhatFailedOrForEverything) {
    EXPECT_EQ(post(R"({"store":"blobs/uploads","failed":true})").status, 200U);
    EXPECT_EQ(post(R"({"all":true,"store":"repositories/git"})").status, 200U);
    ASSERT_EQ(asked_.size(), 2U);
    EXPECT_EQ(asked_[0].action(), "fetch-failed");
    EXPECT_EQ(asked_[1].action(), "fetch-all");
}

TEST_F(ResyncTest, DoesNothingForPagesFromElsewhereNorWithoutAToken) {
    const std::string good = R"({"store":"blobs/uploads","failed":true})";
    guarded_ = false;
    EXPECT_EQ(post(good).status, 403U);
    guarded_ = true;
    headers_["origin"] = "http://elsewhere:8840";
    EXPECT_EQ(post(good).status, 403U);
    headers_["origin"] = "http://sydney:8840";
    headers_["content-type"] = "text/plain";
    EXPECT_EQ(post(good).status, 415U);
    EXPECT_TRUE(asked_.empty());
    headers_["content-type"] = "application/json";
    EXPECT_EQ(post(good).status, 200U);
}

TEST_F(ResyncTest, RefusesWhatIsNotUnderstood) {
    for (const char* body :
         {"", "[", "null", "7", "[]", "{}", R"({"store":"blobs/uploads"})", R"({"failed":true})",
          R"({"store":"blobs/uploads","failed":false})", R"({"store":7,"failed":true})",
          R"({"store":"blobs/uploads","failed":true,"all":true})",
          R"({"store":"blobs/uploads","items":["a"],"all":true})",
          R"({"store":"blobs/uploads","items":[""]})", R"({"store":"blobs/uploads","items":[7]})",
          R"({"store":"blobs/uploads","items":[]})",
          R"({"store":"blobs/uploads","items_hex":["zz"]})",
          R"({"store":"blobs/uploads","failed":true,"promote":true})"}) {
        EXPECT_EQ(post(body).status, 400U) << body;
    }
    std::string many = R"({"store":"blobs/uploads","items":["a")";
    for (int i = 0; i < 1000; ++i) {
        many += R"(,"a")";
    }
    EXPECT_EQ(post(many + "]}").status, 400U);
    EXPECT_TRUE(asked_.empty());
}

TEST_F(ResyncTest, SaysWhyTheSiteDoesNot) {
    answer_.set_problem("no such store");
    answer_.set_next_step("antipode status");
    const auto refused = post(R"({"store":"blobs/none","failed":true})");
    EXPECT_EQ(refused.status, 422U);
    EXPECT_THAT(refused.body, HasSubstr("no such store"));
    ask_ = nullptr;
    EXPECT_EQ(post(R"({"store":"blobs/none","failed":true})").status, 409U);
}

}  // namespace
}  // namespace antipode
