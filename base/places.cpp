#include "base/places.hpp"

#include "base/error.hpp"

namespace antipode {

namespace fs = std::filesystem;

fs::path hook_program() {
    constexpr std::string_view name = "antipode-git-hook";
    const fs::path here = fs::read_symlink("/proc/self/exe").parent_path();
    for (const fs::path& candidate : {here / name, here.parent_path() / "git-hook" / name,
                                      here.parent_path() / "lib" / "antipode" / name}) {
        if (fs::is_regular_file(candidate)) {
            return candidate;
        }
    }
    throw Error(Reaction::Stop, std::string(name) + " is not installed beside " + here.string(),
                "build or install all of Antipode");
}

fs::path hook_spool(const Config& config, std::string_view store_name) {
    return config.state_dir / "hooks" / store_name;
}

fs::path hook_fence(const Config& config, std::string_view store_name) {
    return config.state_dir / "hooks" / (std::string(store_name) + ".fenced");
}

fs::path saved_status(const fs::path& state_dir) {
    return state_dir / "status.json";
}

}  // namespace antipode
