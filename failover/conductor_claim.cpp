// A site becomes primary on somebody's word: a secondary, or one that is whole and follows nobody.
#include <spdlog/spdlog.h>

#include "failover/conductor.hpp"

namespace antipode::failover {
namespace {

constexpr size_t steps_looked_at = 1000;
/// In the detail of a claim, for a restart: the record does not say whom a site displaces that it
/// names itself.
const std::string in_the_place_of = "in the place of ";

}  // namespace

std::string name_of_handoff(const Cuts& cuts) {
    std::string bytes;
    for (const v1::LaneCut& cut : cuts) {
        const std::string one = cut.SerializeAsString();
        bytes += std::to_string(one.size()) + ":" + one;
    }
    return "handoff " + to_hex(sha256(bytes));
}

bool Conductor::is_asked_to_claim() const {
    return records_.own() && record().state() == record_state::promoting &&
           record().target() == options_.site;
}

/// It was fenced because two sites claim its epoch.
bool Conductor::is_contradicted() const {
    return state_ == State::Fenced && journal_.last() &&
           journal_.last()->event == to_string(Event::Contradicted);
}

/// As the journal tells it.
Hands::Stand Conductor::stand() const {
    Hands::Stand stand;
    bool stands = false;
    for (const JournalEntry& entry : journal_.tail(steps_looked_at)) {
        const Half half = half_in(entry.state);
        if (!stands && half == Half::None) {
            stand.ended_at = entry.at;
        }
        stands = half == Half::None;
        stand.form = form_in(entry.state, stand.form);
        stand.epoch = half == Half::None ? stand.epoch : entry.epoch;
    }
    if (state_ == State::Yielding && records_.own()) {
        const v1::EpochStart* const ended = start_of(record(), epoch_);
        if (ended != nullptr && name_of_handoff(ended->cuts()) == detail_) {
            stand.handoff = ended->cuts();
        }
    }
    stand.displaced = displaced();
    return stand;
}

/// Of two sites that claim one epoch each names itself.
std::string Conductor::displaced() const {
    if (primary() != options_.site) {
        return primary();
    }
    if (detail_.starts_with(in_the_place_of)) {
        return detail_.substr(in_the_place_of.size());
    }
    const auto other = records_.contradiction();
    // "sydney claims epoch 2 too"
    return other ? other->primary() : detail_.substr(0, detail_.find(' '));
}

/// Nothing is changed before the record says what has ended where; from then on there is no way
/// back. Until then the site yields, or stays fenced, and is looked after as before.
void Conductor::claim_where_it_stands() {
    if (*state_ != State::Yielding) {
        shut();
    }
    const Hands::Stand stand = this->stand();
    if (stand.form == Form::Neither) {
        throw Error(Reaction::Stop,
                    options_.site + " is half on its way to another primary: it is not whole",
                    "promote another site, or wait until it follows");
    }
    if (std::exchange(asked_, record().operation_id()) != record().operation_id()) {
        rival_.clear();  // of one that was given up
    }
    if (!is_alone() || !has_proof()) {
        return;
    }
    const auto cuts = hands_.end(record(), stand);
    if (!cuts) {
        return;
    }
    v1::EpochRecord kept = following(record_state::promoting);
    *kept.mutable_cuts() = *cuts;
    change(kept);
    operation_ = record().operation_id();
    feed(Event::AskedClaim, in_the_place_of + stand.displaced);
}

/// The point of no return. A site that was asked as a secondary of the epoch before keeps its
/// stores as they must be already.
void Conductor::claim() {
    if (record().epoch() == epoch_ || record().primary() != options_.site) {
        commit(options_.site, record().cuts());  // else it is there since before a crash
    }
    const Hands::Stand stood = stand();
    if (stood.form != Form::Secondary || stood.epoch + 1 < record().epoch()) {
        hands_.stand(record(), stood.form);
    }
    feed(Event::Done);
}

void Conductor::show_stand(ConductorStatus& fresh) const {
    if (!state_ || !records_.own() ||
        !(claims_where_it_stands(*state_) || state_ == State::Finishing)) {
        return;
    }
    const Hands::Stand stand = this->stand();
    fresh.may_claim = stand.form != Form::Neither;
    if (stand.handoff.size() > 0) {
        fresh.handed_over_at = stand.ended_at;
    }
}

/// That the old primary is off: an operator's, or the lease's, which is written down before the
/// cut. What that site still writes until then comes here.
bool Conductor::has_proof() {
    const auto passage = hands_.take_lease(record());
    if (!passage.open) {
        problem_ = Error(Reaction::Retry, passage.words, passage.next_step);
        return false;
    }
    if (!passage.words.empty()) {
        v1::EpochRecord proven = following(record_state::promoting);
        const std::string& accepted = proven.accepted_loss();
        proven.set_fenced_by(
            passage.words +
            (accepted.empty() ? "" : "; a loss of up to " + accepted + " was accepted"));
        change(proven);
        spdlog::info("{}: {}", operation_, proven.fenced_by());
    }
    return true;
}

/// That no other site is promoted in the same moment. Each reads the others' records behind its
/// own, so of two at least one sees both: who was asked later gives up, and the other waits until
/// that is written, or until it turns out that it came too late itself.
bool Conductor::is_alone() {
    if (const auto rival = records_.rival()) {
        if (was_asked_first(*rival, record())) {
            throw Error(Reaction::Stop,
                        rival->target() + " was told to take the place of " + record().primary() +
                            " before (" + rival->operation_id() + ")",
                        "antipode op show on " + rival->target());
        }
        rival_ = rival->target();
        problem_ = Error(Reaction::Retry, rival_ + " is promoted, too, and is to give up",
                         "antipode status " + rival_);
        return false;
    }
    if (!rival_.empty() && !records_.of(rival_)) {
        problem_ = Error(Reaction::Retry,
                         rival_ + " was promoted, too, and does not say what became of that",
                         "if it is off: antipode op abort, and promote once more");
        return false;
    }
    return true;
}

void Conductor::give_up_promotion(const std::string& problem) {
    v1::EpochRecord serving = following(record_state::serving);
    serving.set_problem(problem);
    serving.clear_target();
    serving.clear_fenced_by();
    serving.clear_accepted_loss();
    serving.clear_cuts();
    change(serving);
}

}  // namespace antipode::failover
