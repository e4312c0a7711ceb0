#include "chaos-tests/probe.hpp"

#include <cerrno>
#include <cstring>

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::chaos {
namespace {

constexpr const char* works = "works";

/// The first line of what a command said.
std::string outcome_of(const std::vector<std::string>& command) {
    const test::CommandResult done = test::run(command);
    if (done.status == 0) {
        return works;
    }
    const std::string said = done.error.substr(0, done.error.find('\n'));
    return said.empty() ? command.front() + " failed with " + std::to_string(done.status) : said;
}

}  // namespace

const char* name_of(Need need) {
    switch (need) {
        case Need::Nothing:
            return "own processes";
        case Need::Mounts:
            return "mounts of its own";
        case Need::Trace:
            return "strace";
    }
    return "";
}

Probe::Probe() {
    try_mounts();
    try_trace();
    try_others();
}

std::optional<std::string> Probe::missing(Need need) const {
    const auto why = missing_.find(need);
    return why == missing_.end() ? std::nullopt : std::optional(why->second);
}

void Probe::try_mounts() {
    const auto attempt = []() -> std::string {
        if (unshare(CLONE_NEWNS) != 0) {
            return std::string("unshare: ") + std::strerror(errno);
        }
        if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
            return std::string("mount: ") + std::strerror(errno);
        }
        const test::TemporaryDirectory directory;
        if (mount("tmpfs", directory.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
            return std::string("mounting a tmpfs: ") + std::strerror(errno);
        }
        umount2(directory.path().c_str(), MNT_DETACH);
        return works;
    };
    const std::string outcome = attempt();
    tried_[name_of(Need::Mounts)] = outcome;
    if (outcome != works) {
        missing_[Need::Mounts] = outcome;
    }
}

void Probe::try_trace() {
    const std::string outcome = outcome_of({"strace", "-qq", "-f", "-o", "/dev/null", "true"});
    tried_[name_of(Need::Trace)] = outcome;
    if (outcome != works) {
        missing_[Need::Trace] = outcome;
    }
}

/// Nothing here needs them yet: lines are cut by proxies, which every machine can do.
void Probe::try_others() {
    tried_["root"] = geteuid() == 0 ? works : "this is an ordinary user";
    tried_["network namespaces"] = outcome_of({"unshare", "-n", "true"});
    tried_["iptables, in a namespace"] = outcome_of({"unshare", "-n", "iptables", "-L", "-n"});
    tried_["netem, in a namespace"] = outcome_of(
        {"unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"});
    tried_["loop devices"] = outcome_of({"losetup", "-f"});
    tried_["device-mapper"] = outcome_of({"dmsetup", "version"});
}

}  // namespace antipode::chaos
