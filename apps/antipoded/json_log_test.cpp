#include "apps/antipoded/json_log.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/details/log_msg.h>

namespace antipode {
namespace {

TEST(JsonLog, IsOneObjectALineWhateverTheTextIs) {
    const std::string text = "blobs/uploads: \"a\"\n\x1b[31m\\ \xff";
    const spdlog::details::log_msg message(
        spdlog::log_clock::time_point(std::chrono::milliseconds(1'795'358'405'123)), {},
        "antipoded", spdlog::level::warn, text);
    spdlog::memory_buf_t buffer;
    json_log()->clone()->format(message, buffer);
    const std::string line(buffer.data(), buffer.size());
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    const auto object = nlohmann::json::parse(line);
    EXPECT_EQ(object["at"], "2026-11-22T14:40:05.123Z");
    EXPECT_EQ(object["level"], "warning");
    EXPECT_EQ(object["text"], "blobs/uploads: \"a\"\n\x1b[31m\\ \xef\xbf\xbd");
}

}  // namespace
}  // namespace antipode
