#include "adapters/s3/notifications.hpp"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::s3 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string event(const std::string& bucket, const std::string& key) {
    return R"({"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":")" + bucket +
           R"("},"object":{"key":")" + key + R"(","size":1}}})";
}

TEST(S3Notifications, NameWhatChanged) {
    const std::string json = R"({"EventName":"s3:ObjectCreated:Put","Key":"lfs/p/a","Records":[)" +
                             event("lfs", "p%2Fa+b%2B%C3%A9") + "," + event("other", "p/x") + "," +
                             event("lfs", "q/x") + "," + event("lfs", "p/") + "," +
                             event("lfs", "p/../../etc/passwd") + "]}";
    EXPECT_THAT(changed_paths(json, "lfs", "p/"), ElementsAre("a b+\xc3\xa9", "../../etc/passwd"));
    EXPECT_THAT(changed_paths(R"({"Records":[]})", "lfs", ""), IsEmpty());
}

TEST(S3Notifications, WhatIsNoneIsRefused) {
    for (const std::string& json :
         {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"Records":1})"),
          std::string(R"({"Records":[1]})"), std::string(R"({"Records":[{"s3":{}}]})"),
          R"({"Records":[)" + event("lfs", "%zz") + "]}", std::string("{\"Records\":["),
          std::string(R"({"Records":[{"s3":{"bucket":{"name":1},"object":{"key":"a"}}}]})")}) {
        EXPECT_THROW(changed_paths(json, "lfs", ""), Error) << json;
    }
}

TEST(S3Notifications, AreHandedOnOnceAndWakeWhoWaits) {
    Notifications watch;
    watch.exclude([](const std::string& path) { return path == "excluded"; });
    EXPECT_FALSE(watch.wait(std::chrono::milliseconds(1), {}));
    std::jthread teller([&] { watch.add({"a", "b", "excluded", "a"}); });
    EXPECT_TRUE(watch.wait(std::chrono::seconds(30), {}));
    EXPECT_FALSE(watch.wait(std::chrono::milliseconds(1), {}));
    const auto changes = watch.drain();
    EXPECT_THAT(changes.files, ElementsAre("a", "b"));
    EXPECT_TRUE(changes.complete);
    EXPECT_THAT(watch.drain().files, IsEmpty());
    EXPECT_NE(watch.problem(), "");
}

TEST(S3Notifications, TooManyAreALoss) {
    Notifications watch;
    std::vector<std::string> paths;
    for (int i = 0; i <= 100'000; ++i) {
        paths.push_back(std::to_string(i));
    }
    watch.add(paths);
    EXPECT_FALSE(watch.drain().complete);
    EXPECT_TRUE(watch.drain().complete);
}

}  // namespace
}  // namespace antipode::s3
