#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/seams/key_value.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::failover {

struct LeaseTimes {
    std::chrono::milliseconds lifetime{15'000};  ///< from before a renewal is sent
    std::chrono::milliseconds renewal{5'000};    ///< from one to the next
    /// Another site waits for so much longer than the lifetime: fences take a moment to close, and
    /// clocks do not run equally fast.
    std::chrono::milliseconds margin{3'000};
};

/// One bucket that carries the cluster's lease, under the key "lease". A read proves nothing: what
/// was written is believed for as long as a lifetime from before it was sent, and that nobody has
/// renewed it is proven by a compare-and-set that is not refused. One thread. All functions throw
/// Error: Retry (the server does not answer, or somebody else holds it), Stop (it is another
/// cluster's).
class LeasePlace {
  public:
    /// `name`: of the place, for people: "the witness nats://...".
    LeasePlace(std::unique_ptr<KeyValue> bucket, std::string name, std::string cluster,
               std::string site, const Clock& clock, LeaseTimes times = {});

    void look();
    /// Renews the lease of `epoch`, whose primary this site is; takes it over at once from an
    /// epoch before: its primary has handed over, or its lease was waited for, or an operator says
    /// that it is off. `enforced`: see the record.
    void renew(uint64_t epoch, bool enforced);
    /// Looks, and takes the lease for `epoch`, which this site wants to begin, once it has stood
    /// still for long enough, or `at_once`: an operator says that the holder is off.
    void take(uint64_t epoch, bool at_once);
    /// take() has worked, for that epoch, in this process, and nobody has taken it since.
    bool has_taken(uint64_t epoch) const { return taken_ == epoch && epoch != 0; }
    /// What this site has taken goes back to `primary` of `epoch`; no effect when it has not.
    void give_back(const std::string& primary, uint64_t epoch);

    /// As last seen or written; nullopt: there is none, or nothing was seen yet.
    const std::optional<v1::Lease>& record() const { return seen_.record; }
    bool has_looked() const { return unchanged_since_.has_value(); }
    /// Until when this site holds it here for `epoch`, by what it has written itself.
    std::optional<BootTime> until(uint64_t epoch) const;
    /// When it will have stood still for so long that its holder cannot hold it any more; nullopt:
    /// nothing was seen yet.
    std::optional<BootTime> runs_out() const;

  private:
    struct Seen {
        std::optional<v1::Lease> record;
        std::string bytes;
        uint64_t revision = 0;
    };
    v1::Lease successor(uint64_t epoch, const std::string& holder, bool enforced) const;
    bool may_renew(uint64_t epoch) const;
    bool write(const v1::Lease& record);
    [[noreturn]] void refuse(uint64_t epoch) const;

    std::unique_ptr<KeyValue> bucket_;
    const std::string name_;
    const std::string cluster_;
    const std::string site_;
    const Clock& clock_;
    const LeaseTimes times_;

    Seen seen_;
    bool is_certain_ = false;  ///< nobody else has written since, as far as is known
    std::optional<BootTime> unchanged_since_;
    std::optional<BootTime> until_;
    uint64_t held_ = 0;   ///< the epoch of which until_ speaks
    uint64_t taken_ = 0;  ///< epoch
};

}  // namespace antipode::failover
