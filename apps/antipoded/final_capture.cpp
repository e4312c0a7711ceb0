// The last capture of a primary that hands over.
#include <thread>

#include "apps/antipoded/primary_half.hpp"
#include "base/error.hpp"
#include "base/words.hpp"
#include "failover/handover.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds look_interval(20);
/// Where the log ends at the start of a page, decoding reaches that only once more is written.
constexpr std::chrono::seconds write_again(2);

}  // namespace

std::string PrimaryHalf::why_incomplete(const primary::PublisherStatus::Lane& lane,
                                        const Wanted& wanted) {
    const std::string name = lane.store.to_string();
    if (lane.store.kind == StoreKind::Database) {
        const Lsn needed = wanted.stored.at(lane.store);
        return lane.stored >= needed
                   ? std::string()
                   : name + " is published up to " + lane.stored.to_string() + " of " +
                         needed.to_string() + (lane.problem.empty() ? "" : ": " + lane.problem);
    }
    if (!lane.reconciled_from || *lane.reconciled_from < wanted.reconciled_from) {
        return name + " is still being compared" +
               (lane.problem.empty() ? "" : ": " + lane.problem);
    }
    if (const uint64_t undone = lane.withheld.held + lane.withheld.discarded; undone > 0) {
        // The other sites have these items, and this one would follow them without.
        return name + ": " + counted(undone, "deletion is", "deletions are") +
               " held or discarded; release them, or bring the items back: antipode deletions";
    }
    if (lane.unfinished == 0) {
        return {};
    }
    std::string why = name + ": " + std::to_string(lane.unfinished) + " items are not published";
    return lane.problems.empty() ? why
                                 : why + ", for one: " + printable(lane.problems.front().item) +
                                       ": " + lane.problems.front().text;
}

google::protobuf::RepeatedPtrField<v1::LaneCut> PrimaryHalf::final_capture(
    std::chrono::milliseconds limit) {
    const SteadyTime begun = clock_.steady_now();
    Wanted wanted{begun, {}};
    publisher_.reconcile_soon();
    const auto write_sequences = [&] {
        for (const auto& store : stores_.databases) {
            const Lsn end = store->capture().publish_sequences(true);
            wanted.stored.try_emplace(store->capture().store(), end);
        }
    };
    write_sequences();
    SteadyTime written = clock_.steady_now();
    while (true) {
        const primary::PublisherStatus status = publisher_.status();
        std::string why = status.lanes.empty() ? "the publisher has not begun" : "";
        for (const auto& lane : status.lanes) {
            why = why.empty() ? why_incomplete(lane, wanted) : why;
        }
        if (why.empty()) {
            return cuts_of(status);
        }
        if (clock_.steady_now() - begun > limit) {
            throw Error(Reaction::Retry, why);
        }
        if (clock_.steady_now() - written > write_again) {
            write_sequences();
            written = clock_.steady_now();
        }
        std::this_thread::sleep_for(look_interval);
    }
}

google::protobuf::RepeatedPtrField<v1::LaneCut> PrimaryHalf::cuts_of(
    const primary::PublisherStatus& status) const {
    google::protobuf::RepeatedPtrField<v1::LaneCut> cuts;
    for (const auto& lane : status.lanes) {
        v1::LaneCut& cut = *cuts.Add();
        cut.set_store(lane.store.to_string());
        cut.set_epoch(lane.head.epoch);
        cut.set_session(lane.head.session);
        cut.set_number(lane.head.number);
        cut.set_lsn(lane.last_commit.value);
        cut.set_digest(lane.store.kind == StoreKind::Database
                           ? "changed " + lane.last_change.to_string()
                           : failover::inventory_digest(*inventory_, lane.store).to_string());
    }
    return cuts;
}

}  // namespace antipode
