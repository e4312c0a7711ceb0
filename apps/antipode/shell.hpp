#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "base/config.hpp"

/// What the program takes from where it runs: its environment, its terminal, HTTP.
namespace antipode::cli {

std::string default_config();
bool wants_colour();
/// Under json even a mistake in the arguments is told in JSON.
bool asks_for_json(int count, const char* const* arguments);

/// A Fetch.
Answer fetch_over_http(const std::string& url, std::chrono::milliseconds timeout);
/// For what is not told to everybody.
Fetch fetch_with_token(const Config& config);
/// One POST. Throws antipode::Error when there is no answer in time.
Answer post_to_socket(const std::filesystem::path& socket, const std::string& target,
                      const std::string& body, std::chrono::milliseconds timeout);

}  // namespace antipode::cli
