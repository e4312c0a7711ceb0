#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/blobs_tool.hpp"
#include "bench/repositories_load.hpp"
#include "bench/wire.hpp"

namespace antipode::bench {

/// Where a tool does its work.
struct Ground {
    std::filesystem::path directory;
    const Wire* wire = nullptr;  ///< between the sites; none: everything is on loopback

    std::string primary_host() const { return wire ? Wire::primary_address : "127.0.0.1"; }
    std::string mirror_host() const { return wire ? Wire::mirror_address : "127.0.0.1"; }
    /// As it is run on the mirror's side of the wire.
    std::vector<std::string> on_mirror(const std::vector<std::string>& command) const;
};

/// Something that keeps the repositories below one root equal to those below another, on this
/// machine.
class RepositoriesTool {
  public:
    explicit RepositoriesTool(Ground ground);
    virtual ~RepositoriesTool() = default;
    virtual std::string name() const = 0;
    std::filesystem::path source() const { return directory_ / "source"; }
    std::filesystem::path mirror() const { return directory_ / "mirror"; }

    /// Brings everything that is there to the mirror, from nothing, and follows from then on.
    virtual void copy(const RepositoriesLoad& load) = 0;
    /// Waits until all objects of what was copied were read on the mirror, where that comes later.
    virtual void prove(const RepositoriesLoad&) {}
    /// The mirror is away, and comes back: it catches up by itself, or is made to.
    virtual void pause() = 0;
    virtual void resume(const RepositoriesLoad& load) = 0;
    /// What runs all the time: its CPU counts; what a push starts counts with the push.
    virtual std::vector<BlobsTool::Running> processes() const = 0;

  protected:
    const Ground ground_;
    const std::filesystem::path& directory_ = ground_.directory;
};

/// Of: none, fetch, push, rsync, antipode.
std::unique_ptr<RepositoriesTool> make_repositories_tool(const std::string& name, Ground ground);

}  // namespace antipode::bench
