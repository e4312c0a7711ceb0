#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/synchronized.hpp"

namespace antipode::git {

/// What git says of the packs that it makes, while it makes them. Thread-safe.
class PackProgress {
  public:
    explicit PackProgress(const Clock& clock) : clock_(clock) {}

    /// One pack; ends with the object. One thread.
    class Running {
      public:
        Running(PackProgress& progress, std::string repository);
        ~Running();
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        /// The next piece of what git-pack-objects(1) says under --all-progress.
        void hear(std::string_view piece);

      private:
        PackProgress& progress_;
        const std::string repository_;
        std::string line_;  ///< that has not ended
    };

    /// One line for people of what takes long enough to be noticed; empty: nothing does.
    std::string describe() const;

  private:
    struct State {
        SteadyTime began;
        std::string said;  ///< "Writing objects:  23% (283/1234), 12.50 MiB | 3.10 MiB/s"
        std::string phase;
        SteadyTime phase_began;
        double part = 0;  ///< of the phase that is done
    };

    const Clock& clock_;
    Synchronized<std::map<std::string, State>> running_;
};

/// What git says was wrong, without the progress before it.
std::string without_progress(const std::string& error);

}  // namespace antipode::git
