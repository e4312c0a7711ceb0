#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "apps/antipode/output.hpp"

namespace antipode::cli {

/// How far something is that a command waits for, on Output::error: on a terminal one line that
/// changes, with a bar, the rate and how long it will take; elsewhere a line for each change; under
/// json nothing. One thread.
class Progress {
  public:
    using Now = std::function<std::chrono::steady_clock::time_point()>;
    explicit Progress(const Output& output, Now now = std::chrono::steady_clock::now);
    ~Progress() { end(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    struct Share {
        uint64_t done = 0;
        uint64_t total = 0;
    };
    /// `text` may hold anything. `share`: of what is counted; nullopt: nobody knows.
    void tell(const std::string& text, const std::optional<Share>& share = {});
    /// Leaves the line, so that what is printed next begins one of its own.
    void end();

  private:
    std::string with_bar(const std::string& text, const Share& share);

    const Output& output_;
    const Now now_;
    std::string told_;
    std::optional<uint64_t> first_done_;
    std::chrono::steady_clock::time_point began_{};
};

}  // namespace antipode::cli
