#pragma once

#include <memory>
#include <vector>

#include "chaos-tests/checker.hpp"
#include "chaos-tests/network.hpp"
#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::chaos {

using test::Site;

/// Two sites that can take each other's place, with a line between them that can be cut, and an
/// application's schema. Every process is real. london begins as the primary.
class Sites {
  public:
    /// `writers`: how many of them get a repository. `mounts`: the files of each site are on a file
    /// system of their own, which set_free() can fill.
    Sites(int writers, bool mounts);
    ~Sites();
    Sites(const Sites&) = delete;
    Sites& operator=(const Sites&) = delete;

    Site& london() { return pair.london; }
    Site& sydney() { return pair.sydney; }
    std::vector<Site*> all() { return {&pair.london, &pair.sydney}; }
    /// That is open for writes; nullptr: none is.
    Site* primary() { return pair.open_site(); }
    /// What is written by `from` reaches the other site, or not.
    void set_flow(const Site& from, bool passes);
    void heal();
    /// As many bytes may still be written to the site's files.
    static void set_free(const Site& site, uint64_t bytes);
    static constexpr uint64_t enough_bytes = 200'000'000;

    /// Everything that was captured until now is on `site` within `timeout`.
    bool caught_up(const Site& site, std::chrono::milliseconds timeout) {
        return pair.caught_up(site, timeout);
    }

    static std::string repository(int writer) { return "w" + std::to_string(writer) + ".git"; }
    static constexpr int accounts = 8;
    static constexpr int64_t total = 1000 * accounts;
    /// Files and rows that no operation touches, for damage.
    static constexpr int ballast = 6;
    static std::string ballast_file(int number) { return "ballast/" + std::to_string(number); }

    test::Pair pair;
    Line line;

  private:
    void join_by_proxies();
    void mount_files();
    void make_content(int writers);
    bool mounted_ = false;
    std::vector<std::unique_ptr<Proxy>> proxies_;
};

/// Rows alone; throws when the server does not answer.
View look_at_rows(const Site& site);
/// The files and commits that the view's rows name.
void look_at_references(const Site& site, View& view);
/// Everything.
View look(const Site& site);

}  // namespace antipode::chaos
