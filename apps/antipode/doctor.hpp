#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/seams/database.hpp"
#include "base/seams/replica_facts.hpp"
#include "base/seams/write_fence.hpp"

/// `antipode doctor`: looks at everything that the daemon leans on, without the daemon, and names
/// each thing that is wrong together with its remedy. Changes nothing that stays.
namespace antipode::cli {

struct Finding {
    enum class Verdict { Good, Bad, Skipped };
    std::string check;    ///< "inotify", "nats", ...
    std::string subject;  ///< what was looked at: a path, an address, a store
    Verdict verdict = Verdict::Good;
    std::string text;
    std::string next_step;  ///< of a bad one
};
using Findings = std::vector<Finding>;

Finding good(std::string check, std::string subject, std::string text);
Finding bad(std::string check, std::string subject, std::string text, std::string next_step);
Finding skipped(std::string check, std::string subject, std::string text);

/// What a nats-server says of itself when one connects.
struct NatsGreeting {
    std::string version;
    bool jetstream = false;
};
/// Throws antipode::Error when nobody answers.
using Greet = std::function<NatsGreeting(const std::string& url)>;

/// One group of checks. What it throws becomes a finding.
struct Check {
    std::string name;
    std::function<Findings(const Config&)> look;
};

/// This machine: state directory, roots, disk space, watch limits, git, secrets' permissions.
std::vector<Check> local_checks();
/// Whether the file system at `path` has room.
Finding check_space_of(const std::string& subject, const std::filesystem::path& path);
/// The servers of all sites: nats-servers, daemons and what they may open, clocks, versions.
std::vector<Check> server_checks(const Fetch& fetch, const Greet& greet, const Clock& clock);

/// The buckets of stores of files: whether they can be listed with the configured key.
Check bucket_check(const Clock& clock);

/// Whether this site is a secondary, as far as its own epoch record can be read: where it cannot,
/// the check of nats-server tells why, and what a primary needs is the most.
bool is_secondary(const Config& config, const OpenBucket& open);

/// What a store's PostgreSQL is and has. Throws antipode::Error when it does not answer.
using LookAtDatabase = std::function<SourceFacts(const Config::Database&)>;
SourceFacts look_at_database(const Config::Database& store);
/// What a primary's databases lack to be captured; on a secondary only whether they can be written.
Check database_check(const LookAtDatabase& look, const OpenBucket& open);

/// What a secondary's PostgreSQL lets the daemon do. Throws antipode::Error when it does not
/// answer.
using LookAtReplica = std::function<ReplicaFacts(const Config::Database&)>;
ReplicaFacts look_at_replica(const Config::Database& store);
/// Who may write to it besides.
using LookAtFence = std::function<FenceState(const Config::Database&)>;
FenceState look_at_fence(const Config::Database& store);
/// What a secondary's databases lack to be written, and to be kept from others; nothing on a
/// primary.
Check replica_check(const LookAtReplica& look, const LookAtFence& fence, const OpenBucket& open);

/// Runs the checks and prints what they found: bad ones last, with their remedies. Findings when
/// anything is bad.
ExitCode run_doctor(const Config& config, const std::vector<Check>& checks, const Output& output);

}  // namespace antipode::cli
