#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "base/digest.hpp"
#include "verify/attributes.hpp"

namespace antipode::secondary {

/// Called with the bytes that were just read; may sleep, and throws Stopped.
using Pace = std::function<void(uint64_t bytes)>;

/// What an item is here now, read from its content.
struct Look {
    Digest digest;        ///< empty: it is not here, or nothing can be said
    std::string problem;  ///< not empty: it is broken here
    verify::Attributes attributes{};
};

/// A store of items, as a check of its content sees it. Implemented by secondary/repositories and
/// secondary/blobs. Several threads may look, also while changes are applied: what is seen then may
/// be half of a change. Throws Error{Retry} when nothing of the store can be read, Stopped.
class ItemLook {
  public:
    virtual ~ItemLook() = default;
    virtual Look look(const std::string& item, const Pace& pace, const std::stop_token& stop) = 0;
    /// Whatever is here that could be an item, by name, until `use` answers false.
    virtual void for_each(const std::function<bool(const std::string& name)>& use,
                          const std::stop_token& stop) = 0;
};

}  // namespace antipode::secondary
