#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "apps/antipoded/secondary_stores.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "secondary/mirror_watch.hpp"

namespace antipode {

/// Watches one store of a secondary for changes by hand. Nothing depends on it, so what stands in
/// its way is shown, and makes no worker unhealthy. run(): one thread; problem(): any.
class MirrorWatching {
  public:
    /// All must outlive it.
    MirrorWatching(SecondaryItems& store, secondary::Registry& registry,
                   secondary::MirrorWatch::Unknown unknown,
                   secondary::MirrorWatch::Applying applying, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Why changes by hand are not noticed at once; empty: they are.
    std::string problem() const;

  private:
    void begin();

    SecondaryItems& store_;
    secondary::Registry& registry_;
    const secondary::MirrorWatch::Unknown unknown_;
    const secondary::MirrorWatch::Applying applying_;
    const Clock& clock_;
    files::PosixTree tree_;
    // Made by the first step that can.
    std::unique_ptr<files::InotifyWatch> inotify_;
    std::unique_ptr<secondary::MirrorPlaces> places_;
    std::unique_ptr<secondary::MirrorWatch> mirror_;
    Synchronized<std::string> problem_{"the mirror is not watched yet"};
};

}  // namespace antipode
