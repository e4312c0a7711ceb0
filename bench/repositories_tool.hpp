#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/blobs_tool.hpp"
#include "bench/repositories_load.hpp"

namespace antipode::bench {

/// Something that keeps the repositories below one root equal to those below another, on this
/// machine.
class RepositoriesTool {
  public:
    explicit RepositoriesTool(std::filesystem::path directory);
    virtual ~RepositoriesTool() = default;
    virtual std::string name() const = 0;
    std::filesystem::path source() const { return directory_ / "source"; }
    std::filesystem::path mirror() const { return directory_ / "mirror"; }

    /// Brings everything that is there to the mirror, from nothing, and follows from then on.
    virtual void copy(const RepositoriesLoad& load) = 0;
    /// The mirror is away, and comes back: it catches up by itself, or is made to.
    virtual void pause() = 0;
    virtual void resume(const RepositoriesLoad& load) = 0;
    /// What runs all the time: its CPU counts; what a push starts counts with the push.
    virtual std::vector<BlobsTool::Running> processes() const = 0;
    /// Bytes that went from site to site so far, in both directions.
    virtual double wire_bytes() const;

  protected:
    const std::filesystem::path directory_;
};

/// Of: none, fetch, push, rsync, antipode; everything is below `directory`.
std::unique_ptr<RepositoriesTool> make_repositories_tool(const std::string& name,
                                                         const std::filesystem::path& directory);

/// From now on this process has a network of its own, so that nobody else's bytes are counted.
/// False: it may not.
bool enter_own_network();

}  // namespace antipode::bench
