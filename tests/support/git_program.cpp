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
    CommandResult fsck;
    for (int look = 0; look < looks; ++look) {
        fsck = run({"git", "-C", repository.string(), "fsck", "--full", "--no-dangling",
                    "--no-progress"},
                   {}, git_environment());
        if (fsck.status == 0) {
            return {};
        }
    }
    return fsck.error + fsck.output + "git fsck ended with " + std::to_string(fsck.status) + "\n";
}

}  // namespace antipode::test
