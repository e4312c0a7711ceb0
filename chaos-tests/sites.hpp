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
#include "chaos-tests/packet_lines.hpp"
#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::chaos {

/// What the sites stand on: as good as the machine and the faults that are to come allow.
struct Ground {
    /// Each of a site's parts (Sites::parts) is on a disk of its own; nullopt: none is.
    std::optional<Disk::Kind> disks;
    /// Daemon and PostgreSQL of each site have a clock that can be set. Empty: they have the
    /// machine's. Else the library that gives it to them.
    std::string clocks;
    /// Each site is in a network of its own; else all are on loopback, joined by proxies.
    bool networks = false;
    /// The name of one more site; empty: there are two.
    std::string third;
    /// A nats-server at one more place arbitrates, and each site runs antipode-fencer.
    bool witness = false;
};

/// Two sites, or three, that can take each other's place, with lines between them that can be cut,
/// and an application's schema. Every process is real. london begins as the primary.
class Sites {
  public:
    /// `writers`: how many of them get a repository.
    Sites(int writers, Ground ground);
    ~Sites();
    Sites(const Sites&) = delete;
    Sites& operator=(const Sites&) = delete;

    Site& london() { return pair.london; }
    Site& sydney() { return pair.sydney; }
    std::vector<Site*> all() { return pair.sites(); }
    std::vector<Site*> others(const Site& site);
    /// That is open for writes; nullptr: none is.
    Site* primary() { return pair.open_site(); }
    /// What is sent by `from` reaches the other sites, or not.
    void set_flow(const Site& from, bool passes);
    /// Nothing that any site sends reaches another one.
    void cut();
    /// The site's connections with others are reset, and new ones fail.
    void reset(const Site& site);
    void reset_all();
    /// It reaches nobody, neither another site nor the witness, and nobody reaches it, but for
    /// `seen`, if there is one. `silently`: what it sends vanishes; else it is refused at once.
    void isolate(const Site& site, bool silently, const Site* seen = nullptr);
    /// Nothing that the witness sends reaches any site, nor the other way round.
    void cut_witness();
    void heal() { lines_->heal(); }

    const Ground& ground() const { return ground_; }
    /// Directories of a site: what antipoded remembers, nats-server's store, PostgreSQL, the
    /// repositories, the files.
    static constexpr std::array parts = {"state", "nats", "pg", "git", "files"};
    Disk& disk(const Site& site, const std::string& part) { return *disks_.at({site.name, part}); }
    /// All that runs there dies.
    void kill(Site& site);
    /// The same, and what is not synced is lost. Its disks are Loops.
    void cut_power(Site& site);
    /// Servers and fencer: all but the daemon.
    void start_servers(Site& site);
    void boot(Site& site);

    /// Where there is one.
    test::NatsServer& witness() { return *witness_; }
    /// antipode-fencer of a site. Where there is a witness.
    test::Process& fencer(const Site& site) { return fencers_.at(site.name); }
    void start_fencer(const Site& site);

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
    /// What the application's pushes call in the place of git-receive-pack(1).
    std::filesystem::path receive_pack() const { return pair.temporary / "receive-pack"; }
    static constexpr const char* plain_receive_pack = "git receive-pack";
    /// Files and rows that no operation touches, for damage.
    static constexpr int ballast = 6;
    static std::string ballast_file(int number) { return "ballast/" + std::to_string(number); }

  private:
    test::Network prepare(const std::filesystem::path& site);
    void stand_on_ground();
    std::unique_ptr<Lines> make_lines();
    void make_disks(const std::filesystem::path& site);
    void make_witness();
    Place place_of_witness() const { return {"witness", witness_->network()}; }
    std::vector<Place> places_beside(const Site& site);
    void adapt_configuration(const Site& site);
    void name_witness(const Site& site, std::string& text);
    void join_by_proxies(const Site& site, std::string& text);
    void make_content(int writers);

    const Ground ground_;
    /// By the names of site and part; before what works in them.
    std::map<std::pair<std::string, std::string>, std::unique_ptr<Disk>> disks_;
    std::map<std::string, std::atomic<int64_t>> ahead_us_;  ///< by the site's name
    PacketLines* packets_ = nullptr;                        ///< the lines, if they are such
    ProxyLines* proxies_ = nullptr;
    std::unique_ptr<Lines> lines_;
    std::unique_ptr<test::NatsServer> witness_;
    std::map<std::string, test::Process> fencers_;  ///< by the site's name

  public:
    test::Pair pair;
};

/// A site's configuration is another while this lives: `by` stands in the place of `what`. Its
/// daemon reads it when it starts. Throws when `what` is not in it.
class OtherSettings {
  public:
    OtherSettings(const Site& site, const std::string& what, const std::string& by);
    ~OtherSettings();
    OtherSettings(const OtherSettings&) = delete;
    OtherSettings& operator=(const OtherSettings&) = delete;

  private:
    const std::filesystem::path file_;
    const std::string before_;
};

/// Rows alone; throws when the server does not answer.
View look_at_rows(const Site& site);
/// The files and branches that are written again and again.
void look_at_latest(const Site& site, View& view);
/// The files and commits that the view's rows name.
void look_at_references(const Site& site, View& view);
void look_at_large_objects(const Site& site, View& view);
/// Everything.
View look(const Site& site);

}  // namespace antipode::chaos
