#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"
#include "base/error.hpp"

/// What the program takes from where it runs: its environment, its terminal, HTTP.
namespace antipode::cli {

std::string default_config();
bool wants_colour();
/// A line on standard error may be written again.
bool is_live();
/// "json" and others; a table when it is none of them.
Format format_of(std::string_view name);
/// Under json even a mistake in the arguments is told in JSON, so that this is known before them.
Format format_asked_for(int count, const char* const* arguments);

/// Denied for what PostgreSQL does not let this role do; else Failed.
ExitCode code_of(const Error& error);

/// A Fetch.
Answer fetch_over_http(const std::string& url, std::chrono::milliseconds timeout);
/// For what is not told to everybody.
Fetch fetch_with_token(const Config& config);
/// One POST. Throws antipode::Error when there is no answer in time.
Answer post_to_socket(const std::filesystem::path& socket, const std::string& target,
                      const std::string& body, std::chrono::milliseconds timeout);

}  // namespace antipode::cli
