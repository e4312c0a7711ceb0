#include "apps/antipoded/fences.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "adapters/postgres/write_fence.hpp"
#include "base/digest.hpp"
#include "base/places.hpp"
#include "failover/durable.hpp"

namespace antipode {
namespace {

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

}  // namespace

postgres::ServiceFence fence_of(const Config& config, const Config::Database& store) {
    return {store.url, fence_name(config, store)};
}

failover::SiteCommand Fences::command(const char* key,
                                      const std::vector<std::string>& arguments) const {
    return {std::string("failover.") + key, arguments, config_.failover.command_timeout};
}

std::map<std::string, std::string> Fences::environment(const std::string& primary) const {
    return {{"ANTIPODE_CLUSTER", config_.cluster},
            {"ANTIPODE_SITE", config_.site},
            {"ANTIPODE_PRIMARY", primary}};
}

/// The service first: it ends what it is doing, instead of running into the other fences.
void Fences::close(const std::string& new_primary) {
    failover::must_run(command("fence_command", config_.failover.fence_command),
                       environment(new_primary));
    close_hooks(new_primary);
    close_databases();
    check_files();
}

void Fences::close_hooks(const std::string& new_primary) {
    for (const Config::Repositories& store : config_.repositories) {
        const auto file = hook_fence(config_, store.name);
        std::filesystem::create_directories(file.parent_path());
        std::filesystem::permissions(file.parent_path(), std::filesystem::perms(0711));
        // Whoever pushes reads it; to whom it cannot be opened, there is no fence.
        failover::replace_durably(file,
                                  "this is the secondary site " + config_.site + " of " +
                                      config_.cluster + "; the primary is " + new_primary +
                                      ": push there\n",
                                  std::filesystem::perms(0644));
    }
}

std::filesystem::path Fences::memory(const Config::Database& store) const {
    return config_.state_dir / "fences" / store.name;
}

void Fences::close_databases() {
    for (const Config::Database& store : config_.databases) {
        auto fence = fence_of(config_, store);
        const auto file = memory(store);
        if (!std::filesystem::exists(file)) {
            // Before anything is taken away; a second call must not remember what the first left.
            std::filesystem::create_directories(file.parent_path());
            failover::replace_durably(file, fence.grants());
        }
        fence.close();
    }
}

void Fences::check_files() {
    const auto& write_check = config_.failover.write_check_command;
    if (!write_check.empty()) {
        if (failover::run(command("write_check_command", write_check), environment("")).status ==
            0) {
            throw Error(Reaction::Stop,
                        "the fence does not hold: failover.write_check_command could write",
                        "mend failover.fence_command");
        }
        return;
    }
    for (const Config::Blobs& store : config_.blobs) {
        if (config_.failover.fence_command.empty()) {
            throw Error(Reaction::Stop, "nothing stops writes to blobs/" + store.name, no_command);
        }
        if (store.bucket) {
            throw Error(Reaction::Stop,
                        "nobody can tell whether the bucket of blobs/" + store.name +
                            " is still written: the service has a key of its own",
                        "set failover.write_check_command, which writes as the service would");
        }
        if (can_write(store.root)) {
            throw Error(
                Reaction::Stop,
                "the fence does not hold: " + printable(store.root.native()) + " can be written",
                "if failover.fence_command stops the service instead of locking files, set "
                "failover.write_check_command, which writes as the service would");
        }
    }
}

void Fences::open(bool with_command) {
    for (const Config::Database& store : config_.databases) {
        // What kept others from writing to a mirror, before what kept them out of a primary.
        postgres::DatabaseFence mirror({store.url, fence_name(config_, store), store.readers});
        if (mirror.look().set_up) {
            mirror.open_for_writes();
        }
        const auto file = memory(store);
        if (const auto grants = failover::read_whole(file)) {
            fence_of(config_, store).open(*grants);
            failover::remove_durably(file);
        }
    }
    for (const Config::Repositories& store : config_.repositories) {
        const auto file = hook_fence(config_, store.name);
        if (std::filesystem::exists(file)) {
            failover::remove_durably(file);
        }
    }
    if (with_command) {
        failover::must_run(command("unfence_command", config_.failover.unfence_command),
                           environment(config_.site));
    }
}

void Fences::check() {
    for (const Config::Database& store : config_.databases) {
        if (const auto why = fence_of(config_, store).leak()) {
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
    check_files();
}

void Fences::shut(const std::string& new_primary) {
    std::optional<Error> first;
    const auto attempt = [&](const std::function<void()>& what) {
        try {
            what();
        } catch (const Error& error) {
            first = first ? first : error;
        }
    };
    attempt([&] {
        failover::must_run(command("fence_command", config_.failover.fence_command),
                           environment(new_primary));
    });
    attempt([&] { close_hooks(new_primary); });
    attempt([&] { close_databases(); });
    attempt([&] { check_files(); });
    if (first) {
        throw Error(*first);
    }
}

}  // namespace antipode
