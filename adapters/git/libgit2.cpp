#include "adapters/git/libgit2.hpp"

#include <git2.h>

#include "base/handle.hpp"

namespace antipode::git {

void initialize_libgit2() {
    static const bool done = [] {
        git_libgit2_init();
        for (const int level : {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_GLOBAL,
                                GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_PROGRAMDATA}) {
            git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
        }
        // Packs and refs are synced before they get their names.
        git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
        git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
        return true;
    }();
    static_cast<void>(done);
}

std::string config_value(const std::filesystem::path& file, const char* key) {
    initialize_libgit2();
    Handle<git_config, git_config_free> config;
    git_buf buffer{};
    std::string value;
    // Two statements: the handle is filled at the end of the first.
    const int opened = git_config_open_ondisk(OutParam(config), file.c_str());
    if (opened == 0 && git_config_get_string_buf(&buffer, config.get(), key) == 0) {
        value = buffer.ptr;
    }
    git_buf_dispose(&buffer);
    return value;
}

}  // namespace antipode::git
