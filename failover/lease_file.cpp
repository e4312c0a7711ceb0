#include "failover/lease_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/worker.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::chrono::milliseconds look_interval(20);

int64_t to_us(BootTime time) {
    return time.time_since_epoch().count();
}

BootTime from_us(int64_t microseconds) {
    return BootTime(std::chrono::microseconds(microseconds));
}

/// Whole or not at all for whoever reads it meanwhile.
void replace(const fs::path& file, const json& content) {
    const fs::path temporary = file.string() + ".new";
    {
        std::ofstream stream(temporary, std::ios::binary | std::ios::trunc);
        stream << content.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
        stream.flush();
        if (!stream) {
            throw Error(Reaction::Retry, "writing " + temporary.string() + " failed",
                        "check free space and permissions of the state directory");
        }
    }
    std::error_code failure;
    fs::rename(temporary, file, failure);
    if (failure) {
        throw Error(Reaction::Retry, "renaming " + temporary.string() + ": " + failure.message());
    }
}

/// nullopt: no such file, or no such object in it.
template <typename File, typename Read>
std::optional<File> read_file(const fs::path& path, Read read) {
    std::ifstream stream(path, std::ios::binary);
    const json content = json::parse(stream, nullptr, false);
    try {
        return content.is_object() ? std::optional<File>(read(content)) : std::nullopt;
    } catch (const json::exception&) {
        return std::nullopt;
    }
}

}  // namespace

std::string boot_id() {
    std::ifstream stream("/proc/sys/kernel/random/boot_id");
    std::string id;
    if (!(stream >> id)) {
        throw Error(Reaction::Retry, "the kernel does not name this boot (/proc is not there)");
    }
    return id;
}

/// One that is there and cannot be read is a lease that has run out.
std::optional<LeaseFile> read_lease_file(const fs::path& state_dir) {
    const fs::path path = state_dir / "lease";
    std::error_code failure;
    if (fs::status(path, failure).type() == fs::file_type::not_found) {
        return std::nullopt;
    }
    const auto file = read_file<LeaseFile>(path, [](const json& content) {
        return LeaseFile{content.at("boot_id"), from_us(content.at("until_boottime_us")),
                         content.at("meant_open"), content.at("epoch"), content.at("primary")};
    });
    return file ? file : LeaseFile{{}, BootTime{}, true, 0, {}};
}

void write_lease_file(const fs::path& state_dir, const LeaseFile& file, bool durably) {
    const json content = {{"boot_id", file.boot},
                          {"until_boottime_us", to_us(file.until)},
                          {"meant_open", file.meant_open},
                          {"epoch", file.epoch},
                          {"primary", file.primary}};
    if (durably) {
        replace_durably(state_dir / "lease", content.dump() + "\n");
    } else {
        replace(state_dir / "lease", content);
    }
}

std::optional<FencerFile> read_fencer_file(const fs::path& state_dir) {
    return read_file<FencerFile>(state_dir / "fencer", [](const json& content) {
        return FencerFile{content.at("boot_id"), from_us(content.at("at_boottime_us")),
                          content.at("state"), content.at("problem")};
    });
}

void write_fencer_file(const fs::path& state_dir, const FencerFile& file) {
    replace(state_dir / "fencer", {{"boot_id", file.boot},
                                   {"at_boottime_us", to_us(file.at)},
                                   {"state", file.state},
                                   {"problem", file.problem}});
}

std::optional<ClosedFile> read_closed_file(const fs::path& state_dir) {
    const auto text = read_whole(state_dir / "fencer.closed");
    if (!text) {
        return std::nullopt;
    }
    try {
        const json content = json::parse(*text);
        return ClosedFile{
            content.at("epoch"),
            {content.at("command"), content.at("databases"), content.at("repositories")}};
    } catch (const json::exception&) {
        throw Error(Reaction::Stop, "fencer.closed in " + state_dir.string() + " is damaged",
                    "what it names stays fenced; open it by hand, and remove the file");
    }
}

void write_closed_file(const fs::path& state_dir, const ClosedFile& file) {
    const json content = {{"epoch", file.epoch},
                          {"command", file.parts.command},
                          {"databases", file.parts.databases},
                          {"repositories", file.parts.repositories}};
    replace_durably(state_dir / "fencer.closed", content.dump() + "\n");
}

void remove_closed_file(const fs::path& state_dir) {
    remove_durably(state_dir / "fencer.closed");
}

bool has_closed_file(const fs::path& state_dir) noexcept {
    std::error_code failure;
    return fs::exists(state_dir / "fencer.closed", failure);
}

std::optional<PromisesFile> read_promises_file(const fs::path& state_dir) {
    const auto text = read_whole(state_dir / "lease.promises");
    if (!text) {
        return std::nullopt;
    }
    try {
        const json content = json::parse(*text);
        return PromisesFile{content.at("epoch"), content.at("sites")};
    } catch (const json::exception&) {
        throw Error(
            Reaction::Stop, "lease.promises in " + state_dir.string() + " is damaged",
            "write {\"epoch\":N,\"sites\":[...]} into it, with this epoch and all other sites");
    }
}

void write_promises_file(const fs::path& state_dir, const PromisesFile& file) {
    const json content = {{"epoch", file.epoch}, {"sites", file.sites}};
    replace_durably(state_dir / "lease.promises", content.dump() + "\n");
}

FenceLock::FenceLock(const fs::path& state_dir, std::chrono::milliseconds patience)
    : fd_(open((state_dir / "fences.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (fd_ < 0) {
        throw Error(Reaction::Retry,
                    "opening fences.lock in " + state_dir.string() + ": " + std::strerror(errno),
                    "antipoded and antipode-fencer run as the same user");
    }
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        if (std::chrono::steady_clock::now() >= deadline) {
            close(fd_);
            throw Error(Reaction::Retry, "this site's fences are being closed or opened already");
        }
        sleep_unless_stopped(look_interval, {});
    }
}

FenceLock::~FenceLock() {
    close(fd_);
}

FencerDuty duty_of(const std::optional<LeaseFile>& lease, bool has_closed, const std::string& boot,
                   BootTime now) {
    if (!lease) {
        return FencerDuty::Nothing;
    }
    if (!lease->meant_open) {
        return has_closed ? FencerDuty::Forget : FencerDuty::Nothing;
    }
    const bool holds = lease->boot == boot && now < lease->until - fence_before;
    if (!holds) {
        return FencerDuty::Close;
    }
    return has_closed ? FencerDuty::Lift : FencerDuty::Watch;
}

}  // namespace antipode::failover
