#include "chaos-tests/probe.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos-tests/disk.hpp"
#include "chaos-tests/packet_lines.hpp"
#include "chaos-tests/packet_queue.hpp"
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

/// Whether the other one answers that nobody listens there.
bool is_refused(const test::Network& from, const test::Network& to) {
    const test::InNetwork inside(from);
    const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(9);  // "discard"
    inet_pton(AF_INET, to.address.c_str(), &address.sin_addr);
    const int connected =
        connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    const int problem = errno;
    close(connection);
    return connected != 0 && problem == ECONNREFUSED;
}

}  // namespace

void enter_own_network() {
    if (unshare(CLONE_NEWNET) != 0) {
        throw std::system_error(errno, std::generic_category(), "unshare");
    }
    test::must_run({"ip", "link", "set", "lo", "up"});
}

const char* name_of(Need need) {
    switch (need) {
        case Need::Nothing:
            return "own processes";
        case Need::Mounts:
            return "mounts of its own";
        case Need::Trace:
            return "strace";
        case Need::Power:
            return "disks that lose power";
        case Need::FailingSync:
            return "such disks, and strace";
        case Need::Clock:
            return "libfaketime";
        case Need::PacketQueues:
            return "packet queues";
        case Need::Networks:
            return "networks of its own";
    }
    return "";
}

Probe::Probe(bool networks) {
    if (networks) {
        try_networks();
    } else {
        note(Need::Networks, "all sites are on loopback, as was asked for");
    }
    try_packet_queues();
    try_mounts();
    try_trace();
    try_power();
    try_clock();
    try_others();
}

void Probe::note(Need need, const std::string& outcome) {
    tried_[name_of(need)] = outcome;
    if (outcome != works) {
        missing_[need] = outcome;
    }
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
    note(Need::Mounts, attempt());
}

void Probe::try_trace() {
    note(Need::Trace, outcome_of({"strace", "-qq", "-f", "-o", "/dev/null", "true"}));
}

/// What is synced must be there afterwards, and what is not must be gone.
void Probe::try_power() {
    const auto attempt = [&]() -> std::string {
        if (const auto why = missing(Need::Mounts)) {
            return *why;
        }
        const test::TemporaryDirectory directory;
        Disk disk(Disk::Kind::Loop, directory / "disk", directory / "image");
        test::write_file(disk.directory() / "synced", "synced");
        disk.sync();
        test::write_file(disk.directory() / "lost", "lost");
        disk.cut_power();
        disk.mount_again();
        const bool kept = test::read_file(disk.directory() / "synced") == "synced";
        const bool lost = !std::filesystem::exists(disk.directory() / "lost");
        return kept && lost ? works : "a power cut does not lose what is not synced";
    };
    std::string outcome;
    try {
        outcome = attempt();
    } catch (const std::exception& error) {
        outcome = error.what();
        outcome = outcome.substr(0, outcome.find('\n'));
    }
    note(Need::Power, outcome);
    note(Need::FailingSync, missing(Need::Trace).value_or(outcome));
}

std::string Probe::clock_library() {
    std::error_code none;
    for (const auto& folder : std::filesystem::directory_iterator("/usr/lib", none)) {
        // Debian's place, for programs with threads.
        const auto library = folder.path() / "faketime/libfaketimeMT.so.1";
        if (std::filesystem::exists(library, none)) {
            return library.string();
        }
    }
    return {};
}

void Probe::try_clock() {
    if (clock_library().empty()) {
        note(Need::Clock, "libfaketime is not installed");
        return;
    }
    test::Process::Options options;
    options.environment = {{"LD_PRELOAD", clock_library()}, {"FAKETIME", "-30y"}};
    const test::CommandResult year = test::run({"date", "+%Y"}, {}, options);
    const bool older = year.status == 0 && std::atoi(year.output.c_str()) > 1980 &&
                       std::atoi(year.output.c_str()) < 2020;
    note(Need::Clock, older ? works : "it does not change the time: " + year.output + year.error);
}

void Probe::try_networks() {
    const auto attempt = []() -> std::string {
        for (const std::vector<std::string>& program :
             {std::vector<std::string>{"ip", "-V"}, {"ss", "-V"}}) {
            if (const std::string outcome = outcome_of(program); outcome != works) {
                return outcome;
            }
        }
        enter_own_network();
        PacketLines lines;
        lines.add("one");
        lines.add("other");
        return works;
    };
    try {
        note(Need::Networks, attempt());
    } catch (const std::exception& error) {
        const std::string said = error.what();
        note(Need::Networks, said.substr(0, said.find('\n')));
    }
}

/// A connection that nobody takes is refused later than without it.
void Probe::try_packet_queues() {
    if (const auto why = missing(Need::Networks)) {
        note(Need::PacketQueues, *why);
        return;
    }
    const auto attempt = []() -> std::string {
        PacketLines lines;
        const test::Network here = lines.add("one");
        const test::Network there = lines.add("other");
        constexpr std::chrono::milliseconds delay{50};
        PacketQueue::Line line;
        line.delay = delay;
        const PacketQueue queue(there, line, 1);
        const auto begun = std::chrono::steady_clock::now();
        const bool refused = is_refused(here, there);
        const bool late = std::chrono::steady_clock::now() - begun >= delay;
        return refused && late && queue.counts().delayed > 0 ? works : "it delays nothing";
    };
    try {
        note(Need::PacketQueues, attempt());
    } catch (const std::exception& error) {
        const std::string said = error.what();
        note(Need::PacketQueues, said.substr(0, said.find('\n')));
    }
}

/// Nothing here needs them yet.
void Probe::try_others() {
    tried_["root"] = geteuid() == 0 ? works : "this is an ordinary user";
    tried_["netem, in a namespace"] = outcome_of(
        {"unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"});
    tried_["device-mapper"] = outcome_of({"dmsetup", "version"});
}

}  // namespace antipode::chaos
