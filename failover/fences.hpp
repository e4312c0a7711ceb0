#pragma once

#include <string>
#include <vector>

#include "adapters/postgres/service_fence.hpp"
#include "base/config.hpp"
#include "base/error.hpp"
#include "failover/lease_file.hpp"
#include "failover/site_command.hpp"

namespace antipode::failover {

/// The fences of one site's stores: the site's own command, hooks that refuse, roles that may not
/// connect. One thread. close() and open() may be called again and again. Where there is a witness,
/// antipode-fencer closes and opens them too: then whoever does holds the FenceLock.
class Fences {
  public:
    explicit Fences(const Config& config) : config_(config) {}

    /// Nobody but the daemon can write when it returns. `new_primary`: told to who tries. Throws
    /// Error: Retry, Stop (a fence does not hold).
    void close(const std::string& new_primary);
    /// Makes the hooks of all repositories refuse.
    void close_hooks(const std::string& new_primary);
    /// Lets writes in again. `command`: runs failover.unfence_command, too.
    void open(bool command);
    /// Throws Error{Stop} when one does not hold any more.
    void check();
    /// Closes what can be closed, for a site that must not serve; does not stop at what fails, and
    /// throws the first of it.
    void shut(const std::string& new_primary);

    // For a site whose lease has run out: nobody knows who the primary is now.

    /// Throws Error{Stop} when no fence could ever be seen to hold. Asks nobody.
    void must_be_possible() const;
    /// What shut_without_lease() would close and is not closed yet. Takes no time.
    FenceParts open_parts() const;
    /// As shut(), the fast ones first; fences that are there stay as they are.
    void shut_without_lease();
    /// Opens these parts, and no others.
    void lift(const FenceParts& parts);

    SiteCommand command(const char* key, const std::vector<std::string>& arguments) const;
    std::map<std::string, std::string> environment(const std::string& primary) const;

  private:
    void close_hooks(const Config::Repositories& store, const std::string& told);
    void open_database(const Config::Database& store);
    void open_hooks(const Config::Repositories& store);
    void close_databases();
    void check_files();
    std::filesystem::path memory(const Config::Database& store) const;

    const Config& config_;
};

/// The connection that fences a store's database.
postgres::ServiceFence fence_of(const Config& config, const Config::Database& store);

}  // namespace antipode::failover
