#include "apps/antipoded/json_log.hpp"

#include <spdlog/details/log_msg.h>

#include "apps/antipoded/json.hpp"

namespace antipode {
namespace {

class JsonLog final : public spdlog::formatter {
  public:
    void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
        const auto level = spdlog::level::to_string_view(message.level);
        const auto at = std::chrono::floor<std::chrono::microseconds>(message.time);
        const std::string text =
            dump({{"at", to_iso8601(at)},
                  {"level", std::string(level.data(), level.size())},
                  {"text", std::string(message.payload.data(), message.payload.size())}}) +
            "\n";
        line.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<spdlog::formatter> clone() const override {
        return std::make_unique<JsonLog>();
    }
};

}  // namespace

std::unique_ptr<spdlog::formatter> json_log() {
    return std::make_unique<JsonLog>();
}

}  // namespace antipode
