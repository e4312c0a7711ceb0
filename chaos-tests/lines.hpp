#pragma once

#include <string>

#include "tests/end_to_end/site.hpp"

namespace antipode::chaos {

using test::Site;

/// What joins the sites, two by two, and what may be done to it. One thread.
class Lines {
  public:
    Lines() = default;
    virtual ~Lines() = default;
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;

    /// What `from` sends to `to` arrives, or not. What is held arrives later, as TCP sends it
    /// again.
    virtual void set_flow(const Site& from, const Site& to, bool passes) = 0;
    /// Every connection between the two is reset, new ones fail at once.
    virtual void reset(const Site& one, const Site& other) = 0;
    /// Everything is as it was.
    virtual void heal() = 0;
};

}  // namespace antipode::chaos
