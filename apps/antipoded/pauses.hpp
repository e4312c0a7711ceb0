#pragma once

#include <map>
#include <set>
#include <string>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/synchronized.hpp"
#include "secondary/registry.hpp"

namespace antipode {

struct Pause {
    TimePoint since;
    TimePoint until;
    std::string operator_name;
    std::string reason;
};

/// Stores of a secondary of which operators want nothing applied for a while. They last over
/// restarts, in the registry, and end with this site's time as a secondary. Thread-safe.
class Pauses {
  public:
    Pauses(secondary::Registry& registry, const Clock& clock);

    void pause(const StoreId& store, const Pause& pause);
    void resume(const StoreId& store);
    void resume_all();
    /// Those whose time is not over.
    std::map<StoreId, Pause> current() const;
    std::set<StoreId> stores() const;

  private:
    void save(const std::map<StoreId, Pause>& pauses);

    secondary::Registry& registry_;
    const Clock& clock_;
    Synchronized<std::map<StoreId, Pause>> pauses_;
};

}  // namespace antipode
