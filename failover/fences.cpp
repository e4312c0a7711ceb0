#include "failover/fences.hpp"

#include <algorithm>
#include <stop_token>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "adapters/postgres/write_fence.hpp"
#include "adapters/postgres/write_trial.hpp"
#include "base/digest.hpp"
#include "base/places.hpp"
#include "base/worker.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

constexpr std::chrono::milliseconds look_interval(100);
/// For a command that lets writes in where none may be let in any more.
constexpr std::chrono::milliseconds short_grace(500);
constexpr const char* no_command =
    "set failover.fence_command: what stops the service, or makes its files read-only";

/// A file's creation in a root, as the daemon. False: it was refused.
bool can_write(const std::filesystem::path& root) {
    const std::filesystem::path file = root / ".antipode-fence-check";
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return false;
    }
    close(fd);
    unlink(file.c_str());
    return true;
}

std::string fence_name(const Config& config, const Config::Database& store) {
    return "antipode " + config.cluster + " " + config.site + " " + store.name + " fence";
}

/// Does one thing after the other, whatever fails; then throws the first of it.
class Attempts {
  public:
    void make(const std::function<void()>& what) {
        try {
            what();
        } catch (const Error& error) {
            first_ = first_ ? first_ : error;
        } catch (const std::exception& error) {  // of a file system
            first_ = first_ ? first_ : Error(Reaction::Retry, error.what());
        }
    }
    void finish() const {
        if (first_) {
            throw Error(*first_);
        }
    }

  private:
    std::optional<Error> first_;
};

void require(const MayOpen& may_open) {
    if (!may_open()) {
        throw Error(Reaction::Retry,
                    "the lease ended while the fences were being opened: they are closed again",
                    "antipode status");
    }
}

}  // namespace

postgres::ServiceFence fence_of(const Config& config, const Config::Database& store,
                                std::optional<std::chrono::seconds> patience) {
    return {store.url, fence_name(config, store), patience};
}

SiteCommand Fences::command(const char* key, const std::vector<std::string>& arguments) const {
    return {std::string("failover.") + key, arguments, config_.failover.command_timeout};
}

std::map<std::string, std::string> Fences::environment(const std::string& primary) const {
    return {{"ANTIPODE_CLUSTER", config_.cluster},
            {"ANTIPODE_SITE", config_.site},
            {"ANTIPODE_PRIMARY", primary}};
}

/// The service first: it ends what it is doing, instead of running into the other fences.
void Fences::close(const std::string& new_primary) {
    must_run(command("fence_command", config_.failover.fence_command), environment(new_primary));
    close_hooks(new_primary);
    Attempts all;
    for (std::future<void>& database : begin_closing_databases()) {
        all.make([&] { database.get(); });
    }
    all.finish();
    try_stores();
    check_files();
}

void Fences::close_hooks(const std::string& new_primary) {
    for (const Config::Repositories& store : config_.repositories) {
        close_hooks(store, "this is the secondary site " + config_.site + " of " + config_.cluster +
                               "; the primary is " + new_primary + ": push there\n");
    }
}

void Fences::close_hooks(const Config::Repositories& store, const std::string& told) {
    const auto file = hook_fence(config_, store.name);
    std::filesystem::create_directories(file.parent_path());
    std::filesystem::permissions(file.parent_path(), std::filesystem::perms(0711));
    // Whoever pushes reads it; to whom it cannot be opened, there is no fence.
    replace_durably(file, told, std::filesystem::perms(0644));
}

std::filesystem::path Fences::memory(const Config::Database& store) const {
    return config_.state_dir / "fences" / store.name;
}

void Fences::close_database(const Config::Database& store) {
    try {
        auto fence = fence_of(config_, store, patience_);
        const auto file = memory(store);
        if (!std::filesystem::exists(file)) {
            // Before anything is taken away; a second call must not remember what the first left.
            std::filesystem::create_directories(file.parent_path());
            replace_durably(file, fence.grants());
        }
        fence.close();
    } catch (const Error& error) {
        throw Error(error.reaction(), "database/" + store.name + ": " + error.what(),
                    error.next_step());
    }
}

/// Each in a thread of its own, or, where none can be made, when it is waited for.
std::vector<std::future<void>> Fences::begin_closing_databases() {
    std::vector<std::future<void>> closing;
    for (const Config::Database& store : config_.databases) {
        closing.push_back(std::async(std::launch::async | std::launch::deferred,
                                     [this, &store] { close_database(store); }));
    }
    return closing;
}

void Fences::must_be_possible() const {
    if (config_.blobs.empty() || !config_.failover.write_check_command.empty()) {
        return;
    }
    if (config_.failover.fence_command.empty()) {
        throw Error(Reaction::Stop, "nothing stops writes to blobs/" + config_.blobs.front().name,
                    no_command);
    }
    for (const Config::Blobs& store : config_.blobs) {
        if (store.bucket) {
            throw Error(Reaction::Stop,
                        "nobody can tell whether the bucket of blobs/" + store.name +
                            " is still written: the service has a key of its own",
                        "set failover.write_check_command, which writes as the service would");
        }
    }
}

/// A store without any of our hooks is one of a site that relies on its command. What the site's
/// own check could not write, the service cannot.
std::optional<Fences::Unhooked> Fences::unhooked(const Config::Repositories& store,
                                                 const std::vector<git::HookTrial>& trials) const {
    const auto open = std::find_if(trials.begin(), trials.end(),
                                   [](const git::HookTrial& trial) { return !trial.refused; });
    if (open == trials.end()) {
        return std::nullopt;
    }
    const bool has_any = std::any_of(trials.begin(), trials.end(),
                                     [](const git::HookTrial& trial) { return trial.has_hook; });
    return Unhooked{
        Error(Reaction::Stop,
              "hooks do not fence repositories/" + store.name + ": refs of " +
                  printable((store.root / open->repository).native()) + " can be changed, " +
                  open->why_not,
              "antipode hooks install; antipode hooks status names those without (where "
              "core.hooksPath is set, unset it)"),
        config_.failover.write_check_command.empty() &&
            (has_any || config_.failover.fence_command.empty())};
}

std::vector<Fences::Unhooked> Fences::unhooked() const {
    std::vector<Unhooked> found;
    for (const Config::Repositories& store : config_.repositories) {
        if (const auto problem = unhooked(store, git::look_at_hooks(store.root))) {
            found.push_back(*problem);
        }
    }
    return found;
}

void Fences::try_stores() const {
    if (!patience_) {
        try_databases();
        try_hooks();
    }
}

void Fences::try_databases() const {
    for (const Config::Database& store : config_.databases) {
        if (!store.write_check_url.empty() &&
            postgres::try_to_write(store.write_check_url, fence_name(config_, store)).could_write) {
            throw Error(Reaction::Stop,
                        "the fence of database/" + store.name +
                            " does not hold: write_check_url could begin to write",
                        "antipode preflight; write_check_url must not name the daemon's own role "
                        "or a superuser");
        }
    }
}

void Fences::try_hooks() const {
    for (const Config::Repositories& store : config_.repositories) {
        const auto problem = unhooked(store, git::try_hooks(store.root));
        if (problem && problem->is_needed) {
            throw Error(problem->why);
        }
    }
}

void Fences::check_files() {
    const auto& write_check = config_.failover.write_check_command;
    if (!write_check.empty()) {
        if (run(command("write_check_command", write_check), environment("")).status == 0) {
            throw Error(Reaction::Stop,
                        "the fence does not hold: failover.write_check_command could write",
                        "mend failover.fence_command");
        }
        return;
    }
    must_be_possible();
    for (const Config::Blobs& store : config_.blobs) {
        if (can_write(store.root)) {
            throw Error(
                Reaction::Stop,
                "the fence does not hold: " + printable(store.root.native()) + " can be written",
                "if failover.fence_command stops the service instead of locking files, set "
                "failover.write_check_command, which writes as the service would");
        }
    }
}

void Fences::open(bool with_command, const MayOpen& may_open) {
    for (const Config::Database& store : config_.databases) {
        require(may_open);
        // What kept others from writing to a mirror, before what kept them out of a primary.
        postgres::DatabaseFence mirror({store.url, fence_name(config_, store), store.readers});
        if (mirror.look().set_up) {
            mirror.open_for_writes();
        }
        open_database(store);
    }
    for (const Config::Repositories& store : config_.repositories) {
        require(may_open);
        open_hooks(store);
    }
    if (with_command) {
        let_in("unfence_command", config_.failover.unfence_command, may_open);
    }
    require(may_open);
}

void Fences::let_in(const char* key, const std::vector<std::string>& arguments,
                    const MayOpen& may_open) const {
    require(may_open);
    SiteCommand opening = command(key, arguments);
    opening.grace = short_grace;
    std::stop_source ended;
    const std::jthread watch([&](const std::stop_token& over) {
        while (may_open()) {
            if (sleep_unless_stopped(look_interval, over)) {
                return;
            }
        }
        ended.request_stop();
    });
    try {
        must_run(opening, environment(config_.site), ended.get_token());
    } catch (const Stopped&) {
        require([] { return false; });
    }
}

void Fences::open_database(const Config::Database& store) {
    const auto file = memory(store);
    if (const auto grants = read_whole(file)) {
        fence_of(config_, store, patience_).open(*grants);
        remove_durably(file);
    }
}

void Fences::open_hooks(const Config::Repositories& store) {
    const auto file = hook_fence(config_, store.name);
    if (std::filesystem::exists(file)) {
        remove_durably(file);
    }
}

FenceParts Fences::open_parts() const {
    FenceParts parts;
    parts.command = !config_.failover.fence_command.empty();
    for (const Config::Database& store : config_.databases) {
        if (!std::filesystem::exists(memory(store))) {
            parts.databases.insert(store.name);
        }
    }
    for (const Config::Repositories& store : config_.repositories) {
        if (!std::filesystem::exists(hook_fence(config_, store.name))) {
            parts.repositories.insert(store.name);
        }
    }
    return parts;
}

/// The service last: it finds everything open.
void Fences::lift(const FenceParts& parts, const MayOpen& may_open) {
    for (const Config::Database& store : config_.databases) {
        if (parts.databases.contains(store.name)) {
            require(may_open);
            open_database(store);
        }
    }
    for (const Config::Repositories& store : config_.repositories) {
        if (parts.repositories.contains(store.name)) {
            require(may_open);
            open_hooks(store);
        }
    }
    if (parts.command) {
        let_in("unfence_command", config_.failover.unfence_command, may_open);
    }
    require(may_open);
}

void Fences::check() {
    for (const Config::Database& store : config_.databases) {
        if (const auto why = fence_of(config_, store, patience_).leak()) {
            throw Error(Reaction::Stop,
                        "the fence of database/" + store.name + " does not hold: " + *why,
                        "antipode preflight");
        }
    }
    for (const Config::Repositories& store : config_.repositories) {
        if (!std::filesystem::exists(hook_fence(config_, store.name))) {
            throw Error(Reaction::Stop,
                        "the fence of repositories/" + store.name + " was taken away",
                        "antipode preflight");
        }
    }
    try_stores();
    check_files();
}

void Fences::shut(const std::string& new_primary) {
    shut({[&] { close_hooks(new_primary); }}, new_primary);
}

void Fences::shut_without_lease() {
    std::vector<std::function<void()>> fast;
    for (const Config::Repositories& store : config_.repositories) {
        if (!std::filesystem::exists(hook_fence(config_, store.name))) {
            fast.emplace_back([&] {
                close_hooks(store, "the site " + config_.site + " of " + config_.cluster +
                                       " is cut off from the others and takes no writes; try "
                                       "again later\n");
            });
        }
    }
    shut(fast, "");
}

/// Another site waits for no longer than LeaseTimes says: neither a command nor a server that hangs
/// may hold up anything.
void Fences::shut(const std::vector<std::function<void()>>& fast, const std::string& primary) {
    Attempts all;
    for (const auto& close : fast) {
        all.make(close);
    }
    auto databases = begin_closing_databases();
    all.make([&] {
        must_run(command("fence_command", config_.failover.fence_command), environment(primary));
    });
    for (std::future<void>& database : databases) {
        all.make([&] { database.get(); });
    }
    all.make([&] { try_stores(); });
    all.make([&] { check_files(); });
    all.finish();
}

}  // namespace antipode::failover
