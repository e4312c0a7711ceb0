#include "failover/lease_place.hpp"

#include "base/error.hpp"

namespace antipode::failover {
namespace {

const std::string key = "lease";

}  // namespace

LeasePlace::LeasePlace(std::unique_ptr<KeyValue> bucket, std::string name, std::string cluster,
                       std::string site, const Clock& clock, LeaseTimes times)
    : bucket_(std::move(bucket)),
      name_(std::move(name)),
      cluster_(std::move(cluster)),
      site_(std::move(site)),
      clock_(clock),
      times_(times) {}

void LeasePlace::look() {
    is_certain_ = false;
    const auto entry = bucket_->get(key);
    Seen now;
    if (entry) {
        now = {v1::Lease(), entry->value, entry->revision};
        if (!now.record->ParseFromString(entry->value) || now.record->cluster() != cluster_) {
            throw Error(Reaction::Stop,
                        "what is under \"lease\" at " + name_ + " is no lease of this cluster",
                        "give each cluster a name of its own");
        }
    }
    // Whoever wrote it last had sent it before.
    if (!unchanged_since_ || now.revision != seen_.revision || now.bytes != seen_.bytes) {
        unchanged_since_ = clock_.boot_now();
    }
    seen_ = std::move(now);
    is_certain_ = true;
}

v1::Lease LeasePlace::successor(uint64_t epoch, const std::string& holder, bool enforced) const {
    v1::Lease next;
    next.set_cluster(cluster_);
    next.set_epoch(epoch);
    next.set_holder(holder);
    next.set_renewal(seen_.record ? seen_.record->renewal() + 1 : 1);
    next.set_lifetime_ms(static_cast<uint32_t>(times_.lifetime.count()));
    next.set_enforced(enforced);
    return next;
}

/// False: somebody else was faster.
bool LeasePlace::write(const v1::Lease& record) {
    const std::string bytes = record.SerializeAsString();
    is_certain_ = false;
    const auto revision = bucket_->update(key, bytes, seen_.revision);
    if (!revision) {
        return false;
    }
    seen_ = {record, bytes, *revision};
    unchanged_since_ = clock_.boot_now();
    is_certain_ = true;
    return true;
}

/// One of the same epoch that is another site's was claimed, and is given up when nobody renews it:
/// two sites that want one epoch do not both get the lease.
bool LeasePlace::may_renew(uint64_t epoch) const {
    const auto& record = seen_.record;
    if (!record || record->epoch() < epoch) {
        return true;
    }
    return record->epoch() == epoch &&
           (record->holder() == site_ || clock_.boot_now() >= *runs_out());
}

void LeasePlace::refuse(uint64_t epoch) const {
    const v1::Lease& other = *seen_.record;
    throw Error(Reaction::Retry,
                other.holder() + " holds the lease of epoch " + std::to_string(other.epoch()) +
                    " at " + name_ + ", and this site wants that of epoch " + std::to_string(epoch),
                "antipode status " + other.holder());
}

void LeasePlace::renew(uint64_t epoch, bool enforced) {
    if (held_ != epoch) {
        held_ = epoch;
        until_.reset();
    }
    constexpr int tries = 2;  // one more when what was known is old
    for (int i = 0; i < tries; ++i) {
        if (!is_certain_) {
            look();
        }
        if (!may_renew(epoch)) {
            until_.reset();
            is_certain_ = false;
            refuse(epoch);
        }
        const BootTime before = clock_.boot_now();
        if (write(successor(epoch, site_, enforced))) {
            until_ = before + times_.lifetime;
            return;
        }
    }
}

void LeasePlace::take(uint64_t epoch, bool at_once) {
    look();
    const auto& record = seen_.record;
    const bool own = record && record->holder() == site_ && record->epoch() == epoch;
    if (has_taken(epoch) && own) {
        // Whoever wants it too must see that somebody is at work.
        write(successor(epoch, site_, record->enforced()));
        return;
    }
    taken_ = 0;
    const bool stands_still = clock_.boot_now() >= *runs_out();
    const bool is_claimed = record && record->epoch() == epoch && !own;
    if ((record && record->epoch() > epoch) || (is_claimed && !stands_still)) {
        refuse(epoch);
    }
    // One that this site has taken in an earlier process too: that may have been at once.
    if ((at_once || stands_still) && write(successor(epoch, site_, record && record->enforced()))) {
        taken_ = epoch;
    }
}

void LeasePlace::give_back(const std::string& primary, uint64_t epoch) {
    taken_ = 0;
    look();
    const auto& record = seen_.record;
    if (record && record->holder() == site_ && primary != site_) {
        // That primary may never have asked for it: only its own renewal says what stops it.
        write(successor(epoch, primary, false));
    }
}

std::optional<BootTime> LeasePlace::until(uint64_t epoch) const {
    return held_ == epoch ? until_ : std::nullopt;
}

std::optional<BootTime> LeasePlace::runs_out() const {
    if (!unchanged_since_) {
        return std::nullopt;
    }
    const std::chrono::milliseconds theirs(seen_.record ? seen_.record->lifetime_ms() : 0);
    return *unchanged_since_ + std::max(theirs, times_.lifetime) + times_.margin;
}

}  // namespace antipode::failover
