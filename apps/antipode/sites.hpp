#pragma once

#include <functional>
#include <optional>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"

/// `antipode sites`: the cluster's sites and their epoch record, which says who is primary. Without
/// a witness each site keeps the record on its own nats-server.
namespace antipode::cli {

/// What a site's server says of the cluster.
struct EpochRecordView {
    uint64_t epoch = 0;
    std::string primary;
    std::string state;
};

/// How the record is reached; failover/ implements it. Both throw antipode::Error when the site's
/// nats-server does not answer.
struct EpochRecords {
    std::function<std::optional<EpochRecordView>(const Config::Site&)> read;
    /// Writes the first record, unless there is one already. What is there afterwards.
    std::function<EpochRecordView(const Config::Site&, const std::string& primary)> create;
};

ExitCode list_sites(const Config& config, const EpochRecords& records, const Output& output);
ExitCode show_site(const Config& config, const EpochRecords& records, const Fetch& fetch,
                   const Output& output, const std::string& name);
/// Names the primary, once in a cluster's life. Can be repeated: it writes what is still missing.
ExitCode init_sites(const Config& config, const EpochRecords& records, const Output& output,
                    const std::string& primary);

}  // namespace antipode::cli
