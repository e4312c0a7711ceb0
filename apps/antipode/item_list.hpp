#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/output.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode::cli {

struct ItemListOptions {
    std::optional<std::string> site;     ///< default: this one
    std::optional<std::string> store;    ///< "blobs/uploads"; default: all, unless `subject` is one
    std::optional<std::string> subject;  ///< a store, or an item of any of them
    std::string prefix;                  ///< of the items' names
    bool failed = false;
    bool differing = false;
    std::optional<std::string> after;  ///< the token of an earlier answer
    uint64_t most = 100;               ///< of each store
};

/// `antipode items`: what a site knows of each item. `fetch` shows the daemon its token. Findings:
/// there are some that failed, or differ, where only those were asked for; Unknown: the site knows
/// nothing of the item that was named.
ExitCode list_items(const Config& config, const Fetch& fetch, const Clock& clock,
                    const Output& output, const ItemListOptions& options);

}  // namespace antipode::cli
