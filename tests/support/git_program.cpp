#include "tests/support/git_program.hpp"

namespace antipode::test {

Process::Options git_environment() {
    Process::Options options;
    options.environment = {{"GIT_CONFIG_GLOBAL", "/dev/null"},
                           {"GIT_CONFIG_SYSTEM", "/dev/null"},
                           {"GIT_CONFIG_COUNT", "2"},
                           {"GIT_CONFIG_KEY_0", "safe.directory"},
                           {"GIT_CONFIG_VALUE_0", "*"},
                           {"GIT_CONFIG_KEY_1", "init.defaultBranch"},
                           {"GIT_CONFIG_VALUE_1", "main"},
                           {"GIT_AUTHOR_NAME", "Ada"},
                           {"GIT_AUTHOR_EMAIL", "ada@example.org"},
                           {"GIT_COMMITTER_NAME", "Ada"},
                           {"GIT_COMMITTER_EMAIL", "ada@example.org"}};
    return options;
}

std::string git(const std::vector<std::string>& arguments, const std::string& input) {
    std::vector<std::string> command{"git"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return must_run(command, input, git_environment());
}

std::string damage_of(const std::filesystem::path& repository) {
    constexpr int looks = 3;
    const auto look = [&](const std::string& what, std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"git", "-C", repository.string()});
        const CommandResult found = run(arguments, {}, git_environment());
        return found.status == 0 ? std::string()
                                 : found.error + found.output + "git " + what + " ended with " +
                                       std::to_string(found.status) + "\n";
    };
    std::string damage;
    for (int i = 0; i < looks; ++i) {
        damage = look("fsck", {"fsck", "--full", "--no-dangling", "--no-progress"});
        if (damage.empty()) {
            break;
        }
    }
    // A commit-graph knows commits that are lost.
    return damage + look("rev-list", {"-c", "core.commitGraph=false", "rev-list", "--objects",
                                      "--all", "--quiet"});
}

}  // namespace antipode::test
