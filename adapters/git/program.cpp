#include "adapters/git/program.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <unistd.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr const char* fallback_path = "/usr/local/bin:/usr/bin:/bin";

const char* search_path() {
    const char* path = std::getenv("PATH");
    return path != nullptr ? path : fallback_path;
}

std::vector<std::string> clean_environment() {
    return {std::string("PATH=") + search_path(),
            "HOME=/nonexistent",
            "LC_ALL=C",
            "GIT_CONFIG_NOSYSTEM=1",
            "GIT_CONFIG_SYSTEM=/dev/null",
            "GIT_CONFIG_GLOBAL=/dev/null",
            "GIT_ATTR_NOSYSTEM=1",
            "GIT_TERMINAL_PROMPT=0",
            "GIT_NO_REPLACE_OBJECTS=1",
            "GIT_GRAFT_FILE=/dev/null",
            "GIT_ALLOW_PROTOCOL=none"};
}

const std::vector<std::string>& fixed_settings() {
    static const std::vector<std::string> settings{"core.hooksPath=/dev/null",
                                                   "protocol.allow=never",
                                                   "safe.directory=*",
                                                   "core.fsync=all",
                                                   "core.fsyncMethod=fsync",
                                                   "core.fsmonitor=false",
                                                   "gc.auto=0",
                                                   "core.logAllRefUpdates=false",
                                                   "pack.threads=1",
                                                   "pack.windowMemory=256m",
                                                   "maintenance.auto=false"};
    return settings;
}

}  // namespace

Program::Program() {
    std::istringstream directories{std::string(search_path())};
    for (std::string directory; std::getline(directories, directory, ':');) {
        const std::string candidate = directory + "/git";
        if (directory.starts_with('/') && access(candidate.c_str(), X_OK) == 0) {
            executable_ = candidate;
            return;
        }
    }
    throw Error(Reaction::Stop, "there is no git program on the PATH", "apt-get install git");
}

Outcome Program::run(const std::filesystem::path& git_dir, const Call& call,
                     const std::stop_token& stop) const {
    Command command;
    command.arguments.push_back(executable_);
    if (!git_dir.empty()) {
        command.arguments.push_back("--git-dir=" + git_dir.string());
    }
    for (const auto* settings : {&fixed_settings(), &call.settings}) {
        for (const std::string& setting : *settings) {
            command.arguments.insert(command.arguments.end(), {"-c", setting});
        }
    }
    command.arguments.insert(command.arguments.end(), call.arguments.begin(), call.arguments.end());
    command.environment = clean_environment();
    command.environment.insert(command.environment.end(), call.environment.begin(),
                               call.environment.end());
    command.input = call.input;
    command.input_file = call.input_file;
    command.output_file = call.output_file;
    command.error_limit = call.error_limit;
    command.on_error = call.on_error;
    return git::run(command, stop);
}

std::string hex_lines(const std::vector<std::string>& oids) {
    std::string lines;
    for (const std::string& oid : oids) {
        lines += to_hex(oid) + "\n";
    }
    return lines;
}

bool is_system_trouble(const Outcome& outcome) {
    if (outcome.status == -1 || outcome.status == 127) {
        return true;
    }
    for (const int error : {ENOSPC, EDQUOT, EIO, EACCES, EPERM, EROFS, EMFILE, ENFILE, ENOMEM}) {
        if (outcome.error.find(strerror(error)) != std::string::npos) {
            return true;
        }
    }
    return outcome.error.find("out of memory") != std::string::npos;
}

std::string held_lock(const Outcome& outcome) {
    // "Unable to create '/path/x.lock': File exists."
    constexpr std::string_view begin = "Unable to create '";
    const size_t start = outcome.error.find(begin);
    const size_t end = outcome.error.find("': File exists", start);
    if (start == std::string::npos || end == std::string::npos) {
        return {};
    }
    return outcome.error.substr(start + begin.size(), end - start - begin.size());
}

void throw_failure(const std::string& doing, const Outcome& outcome) {
    const std::string lock = held_lock(outcome);
    if (!lock.empty()) {
        throw Error(Reaction::Retry, doing + ": " + printable(lock) + " is held",
                    "if no git process works on that repository (ps -C git), remove the lock file");
    }
    throw Error(Reaction::Retry, doing + ": git says: " + outcome.complaint());
}

}  // namespace antipode::git
