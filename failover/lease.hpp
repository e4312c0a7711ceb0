#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "failover/lease_file.hpp"
#include "failover/lease_passage.hpp"
#include "failover/lease_place.hpp"
#include "failover/machine.hpp"

namespace antipode::failover {

/// What a site wants of the lease, as it stands in the change of the primary.
struct LeaseWish {
    enum class Kind {
        Nothing,  ///< it neither has writes open nor is about to: gives back what it has claimed
        Follow,   ///< a secondary: watches, gives back what it has claimed, and sees with whom it
                  ///< could hold it
        Hold,     ///< the primary of `epoch`: renews
        Claim,    ///< wants `epoch` once the lease has run out
        Seize,    ///< wants it at once: an operator says that the primary is off
    };
    Kind kind = Kind::Nothing;
    uint64_t epoch = 0;
    std::string primary;     ///< of the newest record
    uint64_t of_record = 0;  ///< its epoch
    bool serves = false;     ///< writes are let in already
    /// Hold: the site that was fenced when the epoch began, and has not handed over. Empty: none.
    std::string fenced;
    bool operator==(const LeaseWish&) const = default;
};
/// `epoch`: that `site` is in. `record`: its newest.
LeaseWish wish_of(const std::string& site, State state, uint64_t epoch,
                  const v1::EpochRecord& record);

/// What is seen of the lease from outside.
struct LeaseStatus {
    struct Place {
        std::string name;
        std::string site;                                      ///< empty: the witness
        std::optional<v1::Lease> record;                       ///< as last seen
        std::optional<std::chrono::milliseconds> remaining{};  ///< that this site holds it there
        std::string problem;                                   ///< at the last look
        std::string next_step;
    };
    LeaseWish wish;
    bool meant_open = false;  ///< writes are let in, but for the fencer
    bool holds = false;       ///< this site may have writes open now
    std::optional<std::chrono::milliseconds> remaining{};  ///< until the fencer would close them
    bool at_witness = false;  ///< holds, even if no other site had promised
    bool at_sites = false;    ///< holds, even if there were no witness
    std::string problem;      ///< of a primary: why it does not hold, or by one way only
    std::string next_step;
    bool enforced = false;  ///< antipode-fencer runs here, and could close the fences
    FencerFile fencer;      ///< its words; without a state: it does not run
    /// Of a secondary: how long a promotion would wait; nullopt: that is not known.
    std::optional<std::chrono::milliseconds> wait{};
    std::string obstacle;  ///< of a secondary: why a promotion could not wait for it
    std::string obstacle_step;
    std::vector<Place> places;
};

/// The lease as one site sees it: at the witness, and in the sites' own buckets. The primary may
/// have writes open as long as it holds it at the witness, or at all other sites: each of these has
/// promised with it not to become primary by itself. Another site takes it at the witness and in
/// its own bucket, so that the primary has neither.
///
/// A site that was fenced when this epoch began needs not promise before it has done so once; it
/// cannot take the lease before that either.
///
/// Each place belongs to the thread that calls step() for it; what they find is put together here.
/// want(), must_hold(), let_in(), shut_out(), passage() are the conductor's; everything else is any
/// thread's. Errors: as LeasePlace's, and Retry when a file of state_dir cannot be written.
class Lease {
  public:
    struct Options {
        std::string cluster;
        std::string site;
        std::vector<std::string> others;
        std::string witness;  ///< its address, for messages
        std::filesystem::path state_dir;
        LeaseTimes times{};
    };
    /// `site`: empty for the witness.
    using OpenBucket = std::function<std::unique_ptr<KeyValue>(const std::string& site)>;
    Lease(Options options, const OpenBucket& open, const Clock& clock);

    size_t places() const { return places_.size(); }
    /// For the names of threads: "lease at the witness", "lease at sydney".
    std::string name_of_step(size_t place) const;
    /// One place's turn; returns at once when there is nothing to do yet.
    void step(size_t place);
    /// Keeps the file up to date, and looks whether the fencer runs: twice a second.
    void tick();

    void want(const LeaseWish& wish);
    /// Throws Error{Retry} with what it waits for, unless this site may have writes open.
    void must_hold() const;
    /// The same, as an answer.
    bool is_held() const;
    /// Writes are about to be let in. To be called under the fences' lock, as the next one.
    void let_in();
    /// The fences hold.
    void shut_out();
    /// Whether the primary of `record`, which names this site its target, cannot have writes open
    /// any more: it says so with fenced_by, or the lease does.
    LeasePassage passage(const v1::EpochRecord& record) const;
    LeaseStatus status() const;

  private:
    enum class Kind { Witness, Own, Other };
    /// What the others may know of a place.
    struct Seen {
        LeaseWish wish;           ///< under which it was seen
        bool has_looked = false;  ///< ever
        std::optional<v1::Lease> record;
        std::optional<BootTime> until;
        std::optional<BootTime> runs_out;
        bool taken = false;
        std::string problem;
        std::string next_step;
    };
    struct Place {
        Kind kind;
        std::string site;  ///< empty: the witness
        std::string name;
        // Its own thread's:
        LeasePlace at;
        LeaseWish wish{};
        bool has_acted = false;
        BootTime due{};
        // Under mutex_:
        Seen seen{};
    };
    static bool concerns(const Place& place, const LeaseWish& wish);
    static bool only_looks(const Place& place, const LeaseWish& wish);
    void add(Kind kind, const std::string& site, const std::string& name, const OpenBucket& open);
    void act(Place& place, const LeaseWish& wish);
    void publish(Place& place, const LeaseWish& wish, const Error* problem);
    void count_in(const std::string& site);
    bool all_run_out() const;
    bool nothing_is_in_the_way() const;
    bool is_enforced() const;

    // With mutex_ held:
    bool needs(const std::string& site) const;
    std::optional<BootTime> until_at_witness() const;
    std::optional<BootTime> until_at_sites() const;
    std::optional<BootTime> until() const;
    bool is_held(const std::optional<BootTime>& until) const;
    const Seen& seen_at(Kind kind) const;
    std::string problem_at(Kind kind) const;
    /// `is_closed`: the fences, by a fencer or in its place.
    void show_primary(LeaseStatus& status, bool is_closed) const;
    void show_secondary(LeaseStatus& status) const;
    std::string obstacle() const;
    void write_file();

    const Options options_;
    const Clock& clock_;
    const std::string boot_;
    std::vector<std::unique_ptr<Place>> places_;

    mutable std::mutex mutex_;
    // Under mutex_:
    LeaseWish wish_;
    bool has_wish_ = false;
    BootTime claimed_at_{};  ///< when wish_ became to claim
    bool meant_open_ = false;
    std::optional<LeaseFile> file_;  ///< as last read or written
    std::optional<LeaseFile> inherited_;
    std::set<std::string> promised_;  ///< of the sites that were fenced, in this epoch:
    uint64_t promised_epoch_ = 0;
    bool enforced_ = false;
    FencerFile fencer_;
};

}  // namespace antipode::failover
