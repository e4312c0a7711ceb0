#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// The loss reports of promotions, in the state directory: preliminary as the promoted site wrote
/// them, final once the old primary has been looked at. One thread, but for the static functions.
class LossReports {
  public:
    explicit LossReports(const Config& config) : config_(config) {}

    /// Where the report of an operation stands. Throws Error{Stop} when that is no operation.
    static std::filesystem::path file_of(const Config& config, const std::string& operation);
    /// This site follows `record`'s primary. If that has taken its place in an epoch of which it
    /// had not heard before, nothing was lost: then it makes the loss report final. Throws Error:
    /// Retry.
    static void note_nothing_lost(const Config& config, const v1::EpochRecord& record,
                                  const Clock& clock);
    /// Durable when it returns.
    static void write(const Config& config, const std::string& operation,
                      const std::string& report);
    /// `operation` empty: the newest. nullopt: there is none.
    static std::optional<std::string> read(const Config& config, const std::string& operation);
    /// Of the promotion that has begun `epoch`; nullopt: there is none.
    static std::optional<std::string> of_epoch(const Config& config, uint64_t epoch);

    /// Asks the old primaries for what completes this site's preliminary reports. What they do not
    /// know yet is asked for the next time.
    void complete();

  private:
    void complete(const std::filesystem::path& file);

    const Config& config_;
    std::set<std::filesystem::path> completed_;
};

}  // namespace antipode
