#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/clock.hpp"

/// What antipoded and antipode-fencer tell each other, in files of state_dir. None is synced but
/// what the fencer must remember: CLOCK_BOOTTIME begins anew with each boot, and so does all that
/// is counted on it.
namespace antipode::failover {

/// The fencer closes the fences so long before a lease ends: the time that it has for that.
inline constexpr std::chrono::seconds fence_before(3);

/// The kernel's name for the time since the machine has started. Throws Error{Retry}.
std::string boot_id();

/// The daemon's word, "lease": until when this site may have writes open.
struct LeaseFile {
    std::string boot;         ///< boot_id() when it was written: `until` is of no other
    BootTime until{};         ///< the lease ends; the fencer acts fence_before
    bool meant_open = false;  ///< writes are to be let in for as long as the lease holds
    uint64_t epoch = 0;       ///< whose primary this site is
    std::string primary;
};
/// The fencer's, "fencer": that it runs, and what it does.
struct FencerFile {
    std::string boot;
    BootTime at{};
    std::string state;    ///< "idle", "watching", "closing", "closed", "lifting"
    std::string problem;  ///< why a fence does not close, or open
};
/// Parts of a site's fences, by the names of stores.
struct FenceParts {
    bool command = false;  ///< failover.fence_command
    std::set<std::string> databases;
    std::set<std::string> repositories;

    bool empty() const { return !command && databases.empty() && repositories.empty(); }
};
/// "fencer.closed", while there is any: what the fencer has closed, and nobody but it lifts.
struct ClosedFile {
    uint64_t epoch = 0;
    FenceParts parts;
};

/// The daemon's, "lease.promises": of the sites that were fenced when the epoch began, those that
/// have promised since.
struct PromisesFile {
    uint64_t epoch = 0;
    std::set<std::string> sites;
};

/// nullopt: there is none, or it cannot be understood (then it says nothing).
std::optional<LeaseFile> read_lease_file(const std::filesystem::path& state_dir);
/// `durably`: also across a power cut.
void write_lease_file(const std::filesystem::path& state_dir, const LeaseFile& file,
                      bool durably = true);
std::optional<FencerFile> read_fencer_file(const std::filesystem::path& state_dir);
void write_fencer_file(const std::filesystem::path& state_dir, const FencerFile& file);
/// Durable. Throws Error: Retry (the file cannot be read or written), Stop (it is damaged).
std::optional<ClosedFile> read_closed_file(const std::filesystem::path& state_dir);
void write_closed_file(const std::filesystem::path& state_dir, const ClosedFile& file);
void remove_closed_file(const std::filesystem::path& state_dir);
/// Throws nothing: whether there is one, understood or not.
bool has_closed_file(const std::filesystem::path& state_dir) noexcept;
/// Durable; errors as above.
std::optional<PromisesFile> read_promises_file(const std::filesystem::path& state_dir);
void write_promises_file(const std::filesystem::path& state_dir, const PromisesFile& file);

/// Held by whoever closes or opens this site's fences, the daemon or the fencer, and looks first
/// whether it still should. Waits for the other one up to `patience`; then it throws Error{Retry}.
class FenceLock {
  public:
    explicit FenceLock(const std::filesystem::path& state_dir,
                       std::chrono::milliseconds patience = std::chrono::seconds(60));
    ~FenceLock();
    FenceLock(const FenceLock&) = delete;
    FenceLock& operator=(const FenceLock&) = delete;

  private:
    int fd_;
};

/// What antipode-fencer has to do.
enum class FencerDuty {
    Nothing,  ///< writes are not to be open here, or never were under a lease
    Watch,    ///< the lease holds, and the fencer has closed nothing
    Close,    ///< it does not hold
    Lift,     ///< it holds again, and the fencer has closed something
    Forget,   ///< what it has closed is the daemon's business now
};
FencerDuty duty_of(const std::optional<LeaseFile>& lease, bool has_closed, const std::string& boot,
                   BootTime now);

}  // namespace antipode::failover
