#include "protocol/event_log.hpp"

#include <gtest/gtest.h>

namespace antipode::protocol {
namespace {

const StoreId files{StoreKind::Blobs, "files"};

std::string text_of_unchanged(const std::string& digest_algorithm, bool removal_follows) {
    v1::Payload payload;
    payload.mutable_unchanged()->set_item("a");
    payload.mutable_unchanged()->set_digest_algorithm(digest_algorithm);
    payload.mutable_unchanged()->set_removal_follows(removal_follows);
    EventLog log;
    log.note({1, 1, 1}, files, TimePoint{}, payload);
    return log.behind(0, 1).at(0).text;
}

TEST(EventLogTest, SaysWhatWasRemovedBeforeItWasRead) {
    const std::string removed = "it was removed before the primary had read it";
    EXPECT_EQ(text_of_unchanged("", true), removed) << "it was published before";
    EXPECT_EQ(text_of_unchanged("", false), removed) << "it never was";
    EXPECT_EQ(text_of_unchanged("blob-1", false), "") << "it is as it was";
}

TEST(EventLogTest, KeepsTheNewestInTheirOrder) {
    EventLog log(2);
    for (const char* text : {"a", "b", "c"}) {
        log.tell(files, "check", text, TimePoint{});
    }
    const auto all = log.behind(0, 9);
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].text + all[1].text, "bc");
    EXPECT_EQ(log.behind(all[0].sequence, 9).size(), 1U);
    EXPECT_EQ(log.behind(0, 1).at(0).text, "c");
}

}  // namespace
}  // namespace antipode::protocol
