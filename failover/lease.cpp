#include "failover/lease.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

namespace antipode::failover {
namespace {

/// Between two looks, and after a renewal that failed.
constexpr std::chrono::seconds look_interval(1);
/// A fencer that has not said for so long that it runs does not.
constexpr std::chrono::seconds fencer_silence(10);
/// The file need not follow a lease that only grows by less.
constexpr std::chrono::seconds file_step(1);

using Kind = LeaseWish::Kind;

/// What a site wants that is to become primary: the epoch behind the newest.
LeaseWish claim_of(LeaseWish wish, const std::string& site, const v1::EpochRecord& record) {
    wish.kind = record.fenced_by().empty() ? Kind::Claim : Kind::Seize;
    const bool has_begun = record.primary() == site && record.epoch() > wish.epoch;
    wish.epoch = has_begun ? record.epoch() : record.epoch() + 1;
    return wish;
}

/// It neither serves nor follows, and is asked to become primary all the same.
bool is_asked_to_claim(const std::string& site, State state, const v1::EpochRecord& record) {
    return claims_where_it_stands(state) && record.state() == record_state::promoting &&
           record.target() == site;
}

}  // namespace

LeaseWish wish_of(const std::string& site, State state, uint64_t epoch,
                  const v1::EpochRecord& record) {
    LeaseWish wish{Kind::Nothing, epoch, record.primary(), record.epoch(), false, {}};
    switch (state) {
        case State::Serving:
            wish.serves = true;
            [[fallthrough]];
        case State::Fencing:
        case State::Capturing:
        case State::HandedOff:
        case State::Confirming:
        case State::RollingBack:
        case State::Preparing:
        case State::Opening: {
            wish.kind = Kind::Hold;
            const v1::EpochStart* const start = start_of(record, epoch);
            const bool by_force =
                start != nullptr && !start->fenced_by().empty() && start->from() != site;
            wish.fenced = by_force ? start->from() : std::string();
            return wish;
        }
        case State::Following:
        case State::CatchingUp:
        case State::Ready:
        case State::Refused:
            wish.kind = Kind::Follow;
            return wish;
        case State::Cutting:
        case State::Claiming:
            return claim_of(wish, site, record);
        case State::Committing:  // epoch + 1 may be there already
        case State::Yielding:
        case State::Fenced:
        case State::Quarantining:
        case State::Quarantined:
        case State::Rewinding:
        case State::Finishing:
        case State::Crossing:
            break;
    }
    return is_asked_to_claim(site, state, record) ? claim_of(wish, site, record) : wish;
}

Lease::Lease(Options options, const OpenBucket& open, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      boot_(boot_id()),
      file_(read_lease_file(options_.state_dir)) {
    add(Kind::Witness, "", "the witness " + options_.witness, open);
    add(Kind::Own, options_.site, options_.site, open);
    for (const std::string& site : options_.others) {
        add(Kind::Other, site, site, open);
    }
    if (file_) {
        meant_open_ = file_->meant_open;
        // What an earlier process was promised is still true.
        inherited_ = file_->boot == boot_ ? file_ : std::nullopt;
    }
    if (const auto known = read_promises_file(options_.state_dir)) {
        promised_epoch_ = known->epoch;
        promised_ = known->sites;
    }
}

void Lease::add(Kind kind, const std::string& site, const std::string& name,
                const OpenBucket& open) {
    places_.push_back(std::unique_ptr<Place>(new Place{
        kind, site, name,
        LeasePlace(open(site), name, options_.cluster, options_.site, clock_, options_.times)}));
}

std::string Lease::name_of_step(size_t place) const {
    const std::string& site = places_.at(place)->site;
    return "lease at " + (site.empty() ? std::string("the witness") : site);
}

/// A secondary promises for itself alone; a primary is promised by the others.
bool Lease::concerns(const Place& place, const LeaseWish& wish) {
    switch (wish.kind) {
        case LeaseWish::Kind::Hold:
            return place.kind != Kind::Own;
        case LeaseWish::Kind::Follow:
            return true;
        case LeaseWish::Kind::Nothing:
        case LeaseWish::Kind::Claim:
        case LeaseWish::Kind::Seize:
            return place.kind != Kind::Other;
    }
    return false;
}

/// What a secondary would need if it were the primary is no failure of today.
bool Lease::only_looks(const Place& place, const LeaseWish& wish) {
    return place.kind == Kind::Other && wish.kind == LeaseWish::Kind::Follow;
}

void Lease::step(size_t index) {
    Place& place = *places_.at(index);
    LeaseWish wish;
    {
        std::scoped_lock lock(mutex_);
        if (!has_wish_) {
            return;
        }
        wish = wish_;
    }
    if (place.has_acted && wish == place.wish && clock_.boot_now() < place.due) {
        return;
    }
    place.wish = wish;
    place.has_acted = true;
    place.due = clock_.boot_now() + look_interval;
    try {
        if (concerns(place, wish)) {
            act(place, wish);
        }
    } catch (const Error& error) {
        publish(place, wish, &error);
        if (only_looks(place, wish)) {
            return;
        }
        throw;
    }
    publish(place, wish, nullptr);
}

void Lease::act(Place& place, const LeaseWish& wish) {
    switch (wish.kind) {
        case LeaseWish::Kind::Nothing: {
            place.at.look();
            // One of a later epoch is of a claim that was given up, and whose primary cannot renew.
            // One of an earlier epoch is waited for until it runs out: writes may be open still.
            const auto& lease = place.at.record();
            if (lease && lease->epoch() > wish.of_record) {
                place.at.give_back(wish.primary, wish.of_record);
            }
            return;
        }
        case LeaseWish::Kind::Follow:
            if (only_looks(place, wish)) {
                place.due = clock_.boot_now() + options_.times.renewal;
                return place.at.look();
            }
            return place.at.give_back(wish.primary, wish.of_record);
        case LeaseWish::Kind::Hold: {
            if (place.site == wish.fenced && !place.site.empty()) {
                place.at.look();  // before it counts it must be there
                count_in(place.site);
            }
            place.at.renew(wish.epoch, is_enforced());
            place.due = clock_.boot_now() + options_.times.renewal;
            return;
        }
        case LeaseWish::Kind::Claim:
            place.at.look();
            publish(place, wish, nullptr);
            if (all_run_out() && nothing_is_in_the_way()) {
                place.at.take(wish.epoch, false);
            }
            break;
        case LeaseWish::Kind::Seize:
            place.at.take(wish.epoch, true);
            break;
    }
    if (place.at.has_taken(wish.epoch)) {
        place.due = clock_.boot_now() + options_.times.renewal;
    }
}

void Lease::publish(Place& place, const LeaseWish& wish, const Error* problem) {
    std::scoped_lock lock(mutex_);
    Seen& seen = place.seen;
    seen = {wish,
            place.at.has_looked(),
            place.at.record(),
            wish.kind == LeaseWish::Kind::Hold ? place.at.until(wish.epoch) : std::nullopt,
            place.at.runs_out(),
            place.at.has_taken(wish.epoch),
            problem == nullptr ? std::string() : problem->what(),
            problem == nullptr ? std::string() : problem->next_step()};
    write_file();
}

bool Lease::is_enforced() const {
    std::scoped_lock lock(mutex_);
    return enforced_;
}

/// Durable before anything is asked of that site: it may take the lease from then on.
void Lease::count_in(const std::string& site) {
    std::scoped_lock lock(mutex_);
    if (!needs(site)) {
        std::set<std::string> sites =
            promised_epoch_ == wish_.epoch ? promised_ : std::set<std::string>();
        sites.insert(site);
        write_promises_file(options_.state_dir, {wish_.epoch, sites});
        promised_ = std::move(sites);
        promised_epoch_ = wish_.epoch;
    }
}

/// Half of it would help nobody.
bool Lease::all_run_out() const {
    std::scoped_lock lock(mutex_);
    return std::all_of(places_.begin(), places_.end(), [&](const auto& place) {
        const Seen& seen = place->seen;
        return place->kind == Kind::Other ||
               (seen.wish == wish_ && seen.problem.empty() && seen.runs_out &&
                (seen.taken || clock_.boot_now() >= *seen.runs_out));
    });
}

bool Lease::nothing_is_in_the_way() const {
    std::scoped_lock lock(mutex_);
    return obstacle().empty();
}

void Lease::tick() {
    const auto said = read_fencer_file(options_.state_dir);
    std::scoped_lock lock(mutex_);
    const bool runs = said && said->boot == boot_ && clock_.boot_now() - said->at < fencer_silence;
    fencer_ = runs ? *said : FencerFile();
    enforced_ = runs && said->problem.empty();
    write_file();
}

void Lease::want(const LeaseWish& wish) {
    std::scoped_lock lock(mutex_);
    if (has_wish_ && wish == wish_) {
        return;
    }
    if (wish.kind == LeaseWish::Kind::Claim) {
        claimed_at_ = clock_.boot_now();
    }
    wish_ = wish;
    has_wish_ = true;
    if (wish.serves) {
        meant_open_ = true;
    } else if (wish.kind == LeaseWish::Kind::Follow) {
        meant_open_ = false;
    }
    write_file();
}

void Lease::let_in() {
    std::scoped_lock lock(mutex_);
    meant_open_ = true;
    write_file();
}

void Lease::shut_out() {
    std::scoped_lock lock(mutex_);
    meant_open_ = false;
    write_file();
}

/// Before the first lease of all there is nothing to enforce, and no other site takes one that it
/// has never seen: so a witness can be added while writes go on.
void Lease::write_file() {
    const auto end = until();
    const bool holder = wish_.kind == LeaseWish::Kind::Hold;
    if (!has_wish_ || (!file_ && holder && !end)) {
        return;
    }
    const LeaseFile now{boot_, end.value_or(BootTime{}), meant_open_, wish_.epoch,
                        holder ? options_.site : wish_.primary};
    const bool same = file_ && file_->boot == now.boot && file_->epoch == now.epoch &&
                      file_->meant_open == now.meant_open && file_->primary == now.primary;
    const bool goes_on = same && now.until >= file_->until && now.until < file_->until + file_step;
    if (!goes_on) {
        // After a power cut the fencer needs to know all but when it ends.
        write_lease_file(options_.state_dir, now, !same);
        file_ = now;
    }
}

bool Lease::needs(const std::string& site) const {
    return site != wish_.fenced || (promised_epoch_ == wish_.epoch && promised_.contains(site));
}

const Lease::Seen& Lease::seen_at(Kind kind) const {
    for (const auto& place : places_) {
        if (place->kind == kind) {
            return place->seen;
        }
    }
    static const Seen nothing;
    return nothing;
}

std::optional<BootTime> Lease::until_at_witness() const {
    const Seen& seen = seen_at(Kind::Witness);
    return seen.wish.epoch == wish_.epoch ? seen.until : std::nullopt;
}

std::optional<BootTime> Lease::until_at_sites() const {
    // Where nobody is left who could become primary it is renewed by this process alone.
    BootTime least = clock_.boot_now() + options_.times.lifetime;
    for (const auto& place : places_) {
        if (place->kind != Kind::Other || !needs(place->site)) {
            continue;
        }
        if (!place->seen.until || place->seen.wish.epoch != wish_.epoch) {
            return std::nullopt;
        }
        least = std::min(least, *place->seen.until);
    }
    return least;
}

std::optional<BootTime> Lease::until() const {
    if (wish_.kind != LeaseWish::Kind::Hold) {
        return std::nullopt;
    }
    std::optional<BootTime> latest = std::max(until_at_witness(), until_at_sites());
    if (inherited_ && inherited_->epoch == wish_.epoch && inherited_->primary == options_.site) {
        latest = std::max(latest, std::optional(inherited_->until));
    }
    return latest;
}

bool Lease::is_held(const std::optional<BootTime>& until) const {
    return until && clock_.boot_now() < *until - fence_before;
}

}  // namespace antipode::failover
