#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/git/hook_trial.hpp"
#include "adapters/postgres/service_fence.hpp"
#include "base/config.hpp"
#include "base/error.hpp"
#include "failover/lease_file.hpp"
#include "failover/site_command.hpp"

namespace antipode::failover {

/// Of whoever closes because a lease ends: a database server that has not answered by then hangs.
/// It is a half of the time after which another site may be open.
inline constexpr std::chrono::seconds patience_without_lease(3);

/// Whether writes may still be let in. Asked before each part that is opened, and by another thread
/// while a command runs.
using MayOpen = std::function<bool()>;

/// The fences of one site's stores: the site's own command, hooks that refuse, roles that may not
/// connect. One thread. close() and open() may be called again and again. Where there is a witness,
/// antipode-fencer closes and opens them too: then whoever does holds the FenceLock.
class Fences {
  public:
    /// `patience`: with a database server; none: one that is busy is waited for.
    explicit Fences(const Config& config, std::optional<std::chrono::seconds> patience = {})
        : config_(config), patience_(patience) {}

    /// Nobody but the daemon can write when it returns. `new_primary`: told to who tries. Throws
    /// Error: Retry, Stop (a fence does not hold).
    void close(const std::string& new_primary);
    /// Makes the hooks of all repositories refuse.
    void close_hooks(const std::string& new_primary);
    /// Lets writes in again. `command`: runs failover.unfence_command, too. Throws Error{Retry}
    /// with some parts open when `may_open` says no, which ends that command, too.
    void open(bool command, const MayOpen& may_open);
    /// Throws Error{Stop} when one does not hold any more. It tries, as close() does.
    void check();
    /// Of one store: a repository whose hook does not refuse.
    struct Unhooked {
        Error why;
        bool is_needed = true;  ///< false: the site's own commands keep pushes out
    };
    /// What close() would find, while the hooks are open: looked at, not tried.
    std::vector<Unhooked> unhooked() const;
    /// Closes what can be closed, for a site that must not serve: what takes no time first, and
    /// then all at once. Nothing that fails or hangs keeps another open; throws the first of it.
    void shut(const std::string& new_primary);

    // For a site whose lease has run out: nobody knows who the primary is now.

    /// Throws Error{Stop} when no fence could ever be seen to hold. Asks nobody.
    void must_be_possible() const;
    /// What shut_without_lease() would close and is not closed yet. Takes no time.
    FenceParts open_parts() const;
    /// As shut(); hooks that refuse already stay as they are.
    void shut_without_lease();
    /// Opens these parts, and no others; as open().
    void lift(const FenceParts& parts, const MayOpen& may_open);

    /// Runs a command that lets writes in, and may take minutes: it ends with `may_open`, and then
    /// Error{Retry} is thrown, or when it fails.
    void let_in(const char* key, const std::vector<std::string>& arguments,
                const MayOpen& may_open) const;
    SiteCommand command(const char* key, const std::vector<std::string>& arguments) const;
    std::map<std::string, std::string> environment(const std::string& primary) const;

  private:
    void close_hooks(const Config::Repositories& store, const std::string& told);
    void open_database(const Config::Database& store);
    void open_hooks(const Config::Repositories& store);
    void close_database(const Config::Database& store);
    std::vector<std::future<void>> begin_closing_databases();
    void shut(const std::vector<std::function<void()>>& fast, const std::string& primary);
    void try_databases() const;
    void try_hooks() const;
    std::optional<Unhooked> unhooked(const Config::Repositories& store,
                                     const std::vector<git::HookTrial>& trials) const;
    void check_files();
    std::filesystem::path memory(const Config::Database& store) const;

    /// What takes longer than a lease that ends leaves is not tried then.
    void try_stores() const;

    const Config& config_;
    const std::optional<std::chrono::seconds> patience_;
};

/// The connection that fences a store's database.
postgres::ServiceFence fence_of(const Config& config, const Config::Database& store,
                                std::optional<std::chrono::seconds> patience = {});

}  // namespace antipode::failover
