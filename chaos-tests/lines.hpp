#pragma once

#include <string>
#include <utility>

#include "tests/end_to_end/site.hpp"

namespace antipode::chaos {

using test::Site;

/// An end of a line: a site, or the witness.
struct Place {
    Place(std::string its_name, test::Network its_network)
        : name(std::move(its_name)), network(std::move(its_network)) {}
    Place(const Site& site) : Place(site.name, site.network) {}  // each site is one

    std::string name;
    test::Network network;
};

/// What joins the places, two by two, and what may be done to it. One thread.
class Lines {
  public:
    Lines() = default;
    virtual ~Lines() = default;
    Lines(const Lines&) = delete;
    Lines& operator=(const Lines&) = delete;

    /// What `from` sends to `to` arrives, or not. What is held arrives later, as TCP sends it
    /// again.
    virtual void set_flow(const Place& from, const Place& to, bool passes) = 0;
    /// Every connection between the two is reset, new ones fail at once.
    virtual void reset(const Place& one, const Place& other) = 0;
    /// Everything is as it was.
    virtual void heal() = 0;
};

}  // namespace antipode::chaos
