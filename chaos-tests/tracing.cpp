#include "chaos-tests/tracing.hpp"

#include <fstream>
#include <stdexcept>

#include "tests/support/temporary_directory.hpp"

namespace antipode::chaos {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// strace's own words for a call that it has done this to.
std::string mark_of(const Injection& injection) {
    if (injection.what.starts_with("error=")) {
        return "(INJECTED)";
    }
    return injection.what.starts_with("signal=") ? "+++ killed by SIGKILL" : "(DELAYED)";
}

std::vector<std::string> command_of(const Injection& injection) {
    return {"strace", "-f",
            "-qq",    "-s",
            "0",      "-A",
            "-o",     injection.record.string(),
            "-e",     "trace=" + injection.calls,
            "-e",     "inject=" + injection.calls + ":" + injection.what};
}

}  // namespace

void begin_record(const Injection& injection) {
    test::write_file(injection.record, "");
}

bool has_hit(const Injection& injection) {
    const std::string mark = mark_of(injection);
    std::ifstream record(injection.record);
    for (std::string line; std::getline(record, line);) {
        if (line.find(mark) != std::string::npos) {
            return true;
        }
    }
    return false;
}

bool hits(const Injection& injection, std::chrono::milliseconds timeout) {
    return test::eventually([&] { return has_hit(injection); }, timeout);
}

pid_t tracer_of(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    pid_t tracer = 0;
    for (std::string word; status >> word;) {
        if (word == "TracerPid:") {
            status >> tracer;
        }
    }
    return tracer;
}

std::vector<std::string> under_strace(const Injection& injection) {
    std::vector<std::string> words = command_of(injection);
    words.insert(words.begin() + 1, "-D");
    return words;
}

void put_program(const fs::path& path, const std::string& command,
                 const std::vector<std::string>& before) {
    std::string script = "#!/bin/sh\nexec ";
    for (const std::string& word : before) {
        script += "'" + word + "' ";
    }
    const fs::path whole = path.string() + ".new";
    test::write_file(whole, script + command + " \"$@\"\n");
    fs::permissions(whole, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                               fs::perms::others_read | fs::perms::others_exec);
    fs::rename(whole, path);
}

Tracer::Tracer(const Injection& injection, const std::vector<pid_t>& processes) {
    begin_record(injection);
    std::vector<std::string> command = command_of(injection);
    for (const pid_t process : processes) {
        command.insert(command.end(), {"-p", std::to_string(process)});
    }
    strace_ = test::Process(command, {});
    const auto attached = [&] { return tracer_of(processes.front()) == strace_.pid(); };
    if (!test::eventually([&] { return attached() || !strace_.running(); }, 20s) || !attached()) {
        throw std::runtime_error("strace does not run beside " + std::to_string(processes.front()));
    }
}

}  // namespace antipode::chaos
