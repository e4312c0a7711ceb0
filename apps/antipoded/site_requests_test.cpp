#include "apps/antipoded/site_requests.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipoded/secondary_requests.hpp"
#include "protocol/message.hpp"
#include "tests/support/memory_bucket.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;

const StoreId blobs{StoreKind::Blobs, "uploads"};
const StoreId rows{StoreKind::Database, "app"};

class SiteRequestsTest : public testing::Test {
  protected:
    SiteRequestsTest() {
        for (const char* item : {"a", "b"}) {
            const Position at{1, 1, ++number_};
            const secondary::Registry::Outcome outcome{item, at, at, Digest{"blob-1", "x"}, {}};
            registry_.record(blobs, {&outcome, 1}, at);
        }
    }
    v1::SiteAnswer ask(const std::string& action, const std::string& store = "blobs/uploads",
                       const std::vector<std::string>& items = {},
                       std::chrono::minutes age = std::chrono::minutes(0)) {
        v1::SiteRequest request;
        request.set_id(std::to_string(++id_));
        request.set_at_us(to_microseconds(clock_.now() - age));
        request.set_action(action);
        request.set_store(store);
        for (const std::string& item : items) {
            request.add_items(item);
        }
        test::MemoryBucket bucket(server_);
        bucket.put("request.sydney", request.SerializeAsString());
        requests_.step();
        EXPECT_FALSE(bucket.get("request.sydney"));
        v1::SiteAnswer answer;
        EXPECT_TRUE(answer.ParseFromString(bucket.get("answer.sydney")->value));
        EXPECT_EQ(answer.id(), request.id());
        return answer;
    }
    std::vector<std::string> due() const {
        std::vector<std::string> items;
        for (const auto& exception : registry_.due(clock_.now(), 10)) {
            items.push_back(exception.item);
        }
        return items;
    }

    ManualClock clock_;
    secondary::Registry registry_{"", clock_};
    test::MemoryBucket::Server server_;
    Pauses pauses_{registry_, clock_};
    SecondaryRequests asked_{{rows, blobs},
                             registry_,
                             pauses_,
                             [](const StoreId&, const std::string& item) {
                                 return std::string(item.starts_with("/") ? "it is absolute" : "");
                             },
                             clock_};
    SiteRequests requests_{"sydney", std::make_unique<test::MemoryBucket>(server_),
                           [this](const auto& request) { return asked_.fulfil(request); }, clock_};
    uint64_t number_ = 0;
    int id_ = 0;
};

TEST_F(SiteRequestsTest, LooksAtItemsAgain) {
    EXPECT_EQ(ask("look").items(), 2U);
    EXPECT_EQ(registry_.looks(blobs).asked, 2U);
    EXPECT_EQ(ask("look", "blobs/uploads", {"a", "nobody"}).items(), 1U);
}

TEST_F(SiteRequestsTest, HasItemsSentAgain) {
    EXPECT_EQ(ask("fetch", "blobs/uploads", {"b", "new"}).items(), 2U);
    EXPECT_THAT(due(), testing::UnorderedElementsAre("b", "new"));
    EXPECT_EQ(registry_.looks(blobs).asked, 0U) << "while it is on its way";
    EXPECT_EQ(registry_.looks(blobs).failing, 1U);
    EXPECT_EQ(registry_.oldest_exception(), (Position{1, 1, 2}));

    registry_.tried(blobs, "b", clock_.now() + std::chrono::hours(1));
    EXPECT_THAT(due(), testing::ElementsAre("new"));
    EXPECT_EQ(ask("fetch", "blobs/uploads", {"b"}).items(), 1U);
    EXPECT_THAT(due(), testing::UnorderedElementsAre("b", "new"));

    registry_.tried(blobs, "b", clock_.now() + std::chrono::hours(1));
    EXPECT_EQ(ask("fetch-failed").items(), 2U);
    EXPECT_THAT(due(), testing::UnorderedElementsAre("b", "new"));
}

TEST_F(SiteRequestsTest, AsksForNoneWhenOneIsNone) {
    const v1::SiteAnswer answer = ask("fetch", "blobs/uploads", {"a", "/srv/b"});
    EXPECT_EQ(answer.problem(), "/srv/b is no item of blobs/uploads: it is absolute");
    EXPECT_TRUE(due().empty());
}

TEST_F(SiteRequestsTest, HasAllSentAgainByComparingWithThePrimarysInventory) {
    EXPECT_EQ(ask("fetch-all").items(), 2U);
    EXPECT_EQ(registry_.count(blobs), 0U);
    ASSERT_TRUE(registry_.gap(blobs));
    EXPECT_EQ(registry_.gap(blobs)->at, (Position{1, 1, 3}));
}

TEST_F(SiteRequestsTest, PausesLastOverRestartsAndEndWithTheirTime) {
    v1::SiteRequest request;
    request.set_id("1");
    request.set_at_us(to_microseconds(clock_.now()));
    request.set_action("pause");
    request.set_store("database/app");
    request.set_reason("a reindex");
    request.set_operator_name("jo");
    request.set_until_us(to_microseconds(clock_.now() + std::chrono::hours(2)));
    test::MemoryBucket(server_).put("request.sydney", request.SerializeAsString());
    requests_.step();
    const auto later = Pauses(registry_, clock_).current();
    ASSERT_EQ(later.size(), 1U);
    EXPECT_EQ(later.at(rows).reason, "a reindex");
    EXPECT_EQ(later.at(rows).operator_name, "jo");
    EXPECT_EQ(later.at(rows).since, clock_.now());
    clock_.advance(std::chrono::hours(2));
    EXPECT_TRUE(pauses_.current().empty());

    request.set_id("2");
    request.set_until_us(to_microseconds(clock_.now() + std::chrono::hours(2)));
    request.set_at_us(to_microseconds(clock_.now()));
    test::MemoryBucket(server_).put("request.sydney", request.SerializeAsString());
    requests_.step();
    EXPECT_EQ(pauses_.stores(), std::set<StoreId>{rows});
    EXPECT_EQ(ask("resume", "database/app").problem(), "");
    EXPECT_TRUE(pauses_.stores().empty());
    EXPECT_TRUE(Pauses(registry_, clock_).stores().empty());
}

TEST_F(SiteRequestsTest, WhatWasAnsweredIsNotDoneAgain) {
    v1::SiteRequest request;
    request.set_id("1");
    request.set_at_us(to_microseconds(clock_.now()));
    request.set_action("fetch-all");
    request.set_store("blobs/uploads");
    test::MemoryBucket bucket(server_);
    for (int i = 0; i < 2; ++i) {
        bucket.put("request.sydney", request.SerializeAsString());
        requests_.step();
        v1::SiteAnswer answer;
        EXPECT_TRUE(answer.ParseFromString(bucket.get("answer.sydney")->value));
        EXPECT_EQ(answer.items(), 2U) << "there is nothing any more";
    }
}

TEST_F(SiteRequestsTest, RefusesWhatItDoesNotKnow) {
    EXPECT_THAT(ask("look", "blobs/other").problem(), HasSubstr("no store of items blobs/other"));
    EXPECT_THAT(ask("look", "database/app").problem(), HasSubstr("no store of items"));
    EXPECT_THAT(ask("dance").problem(), HasSubstr("does not know what \"dance\" means"));
    EXPECT_THAT(ask("look", "blobs/uploads", {}, std::chrono::minutes(6)).problem(),
                HasSubstr("too old"));
    EXPECT_EQ(registry_.looks(blobs).asked, 0U);
    test::MemoryBucket(server_).put("request.sydney", "\xff\xff");
    requests_.step();
    v1::SiteAnswer answer;
    ASSERT_TRUE(answer.ParseFromString(server_.entries["answer.sydney"].value));
    EXPECT_THAT(answer.problem(), HasSubstr("cannot be decoded"));
}

}  // namespace
}  // namespace antipode
