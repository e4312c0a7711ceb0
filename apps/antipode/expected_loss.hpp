#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "apps/antipode/daemon.hpp"
#include "base/config.hpp"

/// What a promotion would lose if it were run now, as the site's daemon counts it.
namespace antipode::cli {

struct ExpectedLoss {
    nlohmann::ordered_json found;  ///< "antipode.expected-loss/1"; null: see `problem`
    std::string problem;           ///< why the site cannot say
};

/// Asks the daemon of `site`, which may take some seconds. Never throws: that nothing is known is
/// said.
ExpectedLoss ask_expected_loss(const Config& config, const Fetch& fetch, const Config::Site& site);

/// "LOST IF RUN NOW", with what is known, what is not, and what is here and still to be applied.
/// `from`: the primary.
std::string render(const ExpectedLoss& loss, const std::string& from);

}  // namespace antipode::cli
