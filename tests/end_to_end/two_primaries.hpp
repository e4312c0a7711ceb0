#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {

/// Two sites that can take each other's place, and maybe a third one: an application with a role of
/// its own, and a service that is stopped and started by the site's commands.
class Pair {
  public:
    /// What the daemons are for PostgreSQL. Unprivileged: as `antipode database setup` leaves them.
    enum class Daemons { Superusers, Unprivileged };
    /// Called with the directory of a site before anything is there. Says which network it is in.
    using Ground = std::function<Network(const std::filesystem::path& site)>;
    /// `more`: lines for the [failover] table of all. `third`: the name of one more site.
    explicit Pair(const std::string& more = {}, Daemons daemons = Daemons::Superusers,
                  const std::string& third = {}, const Ground& ground = {});

    std::vector<Site*> sites();
    Site& other(const Site& site) { return &site == &london ? sydney : london; }
    /// That is open for writes; nullptr: none is.
    Site* open_site();
    static std::filesystem::path gate(const Site& site) { return site.directory / "gate"; }
    static std::filesystem::path opened(const Site& site) { return site.directory / "open"; }

    /// False: no daemon says so in time.
    static bool awaits(const Site& site, const std::string& state,
                       std::chrono::milliseconds timeout = std::chrono::seconds(60));
    /// `site` has everything that was captured until now.
    bool caught_up(const Site& site, std::chrono::milliseconds timeout = std::chrono::seconds(60));
    /// Its daemon says that it could become primary, and the other one that it could hand over.
    bool ready(const Site& to);
    CommandResult switch_to(Site& to);
    bool has_roles(const Site& primary);
    void expect_equal() const;
    std::string describe() const;

  private:
    void set_up_databases(Daemons daemons);

  public:
    TemporaryDirectory temporary;
    Site london;
    Site sydney;
    std::unique_ptr<Site> third;
};

/// What jq makes of it.
std::string value_of(const std::string& json, const std::string& filter);

/// Where a site keeps its steps of changes of the primary.
std::filesystem::path journal_of(const Site& site);

/// SQL as the application's role.
std::string app(const Site& site, const std::string& sql);

/// Writes all the time, to whichever site is open: a file, a commit that names it, a row that names
/// both.
class Writer {
  public:
    explicit Writer(Pair& pair);
    ~Writer() { stop(); }
    void start();
    void stop();
    /// False: no site is open.
    bool write();
    /// Waits for `count` more acknowledged writes.
    bool go_on(int count);
    int acknowledged() const { return acknowledged_; }
    /// Every acknowledged write is on `site`: file, commit and row. The last of them that is not;
    /// -1: all are.
    int missing(Site& site) const;
    /// The longest time without an acknowledged write.
    std::chrono::milliseconds longest_pause() const { return longest_pause_; }
    const std::string& problem() const { return problem_; }

  private:
    void write_to(Site& site, int id);
    Pair& pair_;
    std::filesystem::path clone_;
    std::atomic<int> acknowledged_ = 0;
    std::chrono::milliseconds longest_pause_{0};
    std::string problem_;
    std::jthread thread_;
};

}  // namespace antipode::test
