#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "chaos-tests/checker.hpp"
#include "chaos-tests/disk.hpp"
#include "chaos-tests/network.hpp"
#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::chaos {

using test::Site;

/// What the sites stand on: as good as the machine and the faults that are to come allow.
struct Ground {
    /// Each of a site's parts (Sites::parts) is on a disk of its own; nullopt: none is.
    std::optional<Disk::Kind> disks;
    /// Daemon and PostgreSQL of each site have a clock that can be set. Empty: they have the
    /// machine's. Else the library that gives it to them.
    std::string clocks;
};

/// Two sites that can take each other's place, with a line between them that can be cut, and an
/// application's schema. Every process is real. london begins as the primary.
class Sites {
  public:
    /// `writers`: how many of them get a repository.
    Sites(int writers, Ground ground);
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

    const Ground& ground() const { return ground_; }
    /// Directories of a site: what antipoded remembers, nats-server's store, PostgreSQL, the
    /// repositories, the files.
    static constexpr std::array parts = {"state", "nats", "pg", "git", "files"};
    Disk& disk(const Site& site, const std::string& part) { return *disks_.at({site.name, part}); }
    /// All that runs there dies, and what is not synced is lost. Its disks are Loops.
    void cut_power(Site& site);
    void boot(Site& site);

    /// Sets the clock of a site this far from the machine's.
    void set_clock(const Site& site, std::chrono::seconds ahead);
    int64_t clock_us(const std::string& site) const;
    /// Somebody sets clocks back: until the sites know, nothing is held against recovery points.
    std::atomic<bool> clocks_change = false;

    /// Everything that was captured until now is on `site` within `timeout`.
    bool caught_up(const Site& site, std::chrono::milliseconds timeout);

    static std::string repository(int writer) { return "w" + std::to_string(writer) + ".git"; }
    static constexpr int accounts = 8;
    static constexpr int64_t total = 1000 * accounts;
    /// Files and rows that no operation touches, for damage.
    static constexpr int ballast = 6;
    static std::string ballast_file(int number) { return "ballast/" + std::to_string(number); }

  private:
    void prepare(const std::filesystem::path& site);
    void stand_on_ground();
    void join_by_proxies();
    void make_content(int writers);

    const Ground ground_;
    /// By the names of site and part; before what works in them.
    std::map<std::pair<std::string, std::string>, std::unique_ptr<Disk>> disks_;
    std::map<std::string, std::atomic<int64_t>> ahead_us_;  ///< by the site's name

  public:
    test::Pair pair;
    Line line;

  private:
    std::vector<std::unique_ptr<Proxy>> proxies_;
};

/// Rows alone; throws when the server does not answer.
View look_at_rows(const Site& site);
/// The files and commits that the view's rows name.
void look_at_references(const Site& site, View& view);
/// Everything.
View look(const Site& site);

}  // namespace antipode::chaos
