#include "apps/antipoded/canary.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "adapters/postgres/canary.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "failover/durable.hpp"

namespace antipode {
namespace {

constexpr const char* no_writes =
    "see what the server says, and the room on its disk: antipode "
    "doctor. It is tried again by itself; at once by antipode op "
    "resume";

[[noreturn]] void refuse(const std::string& store, const std::string& why) {
    throw Error(Reaction::Retry, store + " takes no writes: " + why, no_writes);
}

/// But for what a file system, and this daemon, put there.
bool has_nothing(const std::filesystem::path& root) {
    return std::all_of(begin(std::filesystem::directory_iterator(root)),
                       std::filesystem::directory_iterator(), [](const auto& entry) {
                           const auto name = entry.path().filename();
                           return name == private_directory || name == "lost+found";
                       });
}

void write_to_root(const std::string& store, const std::filesystem::path& root, bool has_items,
                   const std::string& word) {
    const auto file = root / private_directory / "canary";
    try {
        if (!std::filesystem::is_directory(root)) {
            refuse(store, printable(root.native()) + " is missing");
        }
        if (has_items && has_nothing(root)) {
            refuse(store, printable(root.native()) + " is empty; is its file system mounted?");
        }
        std::filesystem::create_directory(file.parent_path());
        if (std::filesystem::is_symlink(file.parent_path())) {
            refuse(store, printable(file.parent_path().native()) + " leads elsewhere");
        }
        failover::replace_durably(file, word);
        if (failover::read_whole(file) != word) {
            refuse(store, "what was written to " + printable(file.native()) + " is not read again");
        }
        failover::remove_durably(file);
    } catch (const std::filesystem::filesystem_error& error) {
        refuse(store, error.what());
    } catch (const Error& error) {
        refuse(store, error.what());
    }
}

}  // namespace

std::string write_canaries(const Config& config, const std::string& operation,
                           const std::function<bool(const StoreId& store)>& has_items) {
    const auto begun = std::chrono::steady_clock::now();
    std::string written;
    const auto note = [&](const std::string& store) {
        written += (written.empty() ? "" : ", ") + store;
    };
    for (const Config::Database& store : config.databases) {
        const std::string id = "database/" + store.name;
        try {
            postgres::write_canary(
                store.url,
                "antipode " + config.cluster + " " + config.site + " " + store.name + " canary",
                operation);
        } catch (const Error& error) {
            refuse(id, error.what());
        }
        note(id);
    }
    for (const Config::Repositories& store : config.repositories) {
        const StoreId id{StoreKind::Repositories, store.name};
        write_to_root(id.to_string(), store.root, has_items(id), operation);
        note(id.to_string());
    }
    for (const Config::Blobs& store : config.blobs) {
        if (!store.bucket) {
            const StoreId id{StoreKind::Blobs, store.name};
            write_to_root(id.to_string(), store.root, has_items(id), operation);
            note(id.to_string());
        }
    }
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - begun);
    return written.empty() ? std::string()
                           : written + " took a write and gave it back, " +
                                 std::to_string(took.count()) + " ms";
}

}  // namespace antipode
