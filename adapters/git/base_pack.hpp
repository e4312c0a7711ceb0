#pragma once

#include <filesystem>
#include <optional>

namespace antipode::git {

/// A pack of a repository that is worth sending as it is.
struct BasePack {
    std::filesystem::path file;
    bool is_all = false;  ///< the repository has no object that is not in it
};

/// The largest pack, when it has most of what is packed and is too large to travel in an event.
/// nullopt: there is none such, or objects are missing on purpose (gitrepository-layout(5),
/// .promisor), so that only git can tell what is needed. What is_all says is true of the objects
/// that were there before the call.
std::optional<BasePack> find_base(const std::filesystem::path& git_dir);

}  // namespace antipode::git
