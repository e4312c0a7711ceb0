#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/config.hpp"

namespace antipode::cli {

/// One POST to the socket of this machine's daemon. Throws antipode::Error when there is no answer
/// in time.
using Post = std::function<Answer(const std::filesystem::path& socket, const std::string& target,
                                  const std::string& body, std::chrono::milliseconds timeout)>;

struct NotifyOptions {
    std::string store;
    std::vector<std::string> items;  ///< below the store's root, or absolute paths in it
    double timeout_seconds = 30;
};

/// `antipode notify`, on the primary: returns when the items, as they are now, are durable in its
/// stream. TimedOut: not yet. Unreachable: the daemon does not answer, or cannot read an item.
/// Blocked: this site is not the primary.
ExitCode notify(const Config& config, const Post& post, const Output& output,
                const NotifyOptions& options);

}  // namespace antipode::cli
