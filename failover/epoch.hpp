#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/seams/key_value.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::failover {

/// EpochRecord.state. Within an epoch only the primary's site and operators change its bucket's
/// record; the record of a new epoch is made by whoever ends the one before.
namespace record_state {
inline constexpr const char* serving = "serving";
inline constexpr const char* switchover = "switchover";  ///< an operator asks for another primary
inline constexpr const char* handoff = "handoff";      ///< `cuts` is where the fenced primary ends
inline constexpr const char* aborting = "aborting";    ///< an operator gives up
inline constexpr const char* promoting = "promoting";  ///< the primary is off; see fenced_by
inline constexpr const char* opening = "opening";      ///< a new epoch that is not open yet
}  // namespace record_state

/// In a fenced site's own bucket: the epoch whose primary it is to follow, in decimal, as an
/// operator has asked.
inline constexpr const char* rejoin_key = "rejoin";
/// The same, and after a space what cannot be read there and need not be kept before:
/// ConductorStatus.unreadable, as the operator was shown it.
inline constexpr const char* without_unreadable_key = "rejoin-without-unreadable";
/// In a site's own bucket: the epoch that it is in, and after a space a word that was not there
/// before: an operator has mended what a step failed of, and it is to be tried again at once.
inline constexpr const char* resume_key = "operation-resume";

/// The epoch record says which site is the primary, and since which number of primaryship. It is
/// one key of a bucket and is changed by compare-and-set only. Each record names the hash of the
/// one before it.
struct Epoch {
    v1::EpochRecord record;
    uint64_t revision = 0;
};

/// nullopt: the cluster has no record there yet. Throws Error: Retry (bucket unreachable), Stop
/// (the record cannot be decoded or is another cluster's).
std::optional<Epoch> read_epoch(KeyValue& bucket, const std::string& cluster);

/// `changed` is called as KeyValue::listen() says when the record in `bucket` changes.
void listen_to_epoch(KeyValue& bucket, std::function<void()> changed);

/// Creates the record of epoch 1 with `primary`. nullopt when there is one already.
std::optional<Epoch> create_epoch(KeyValue& bucket, const std::string& cluster,
                                  const std::string& primary, const std::string& written_by,
                                  TimePoint now);

/// `one` was made after `other`.
bool is_later(const v1::EpochRecord& one, const v1::EpochRecord& other);
/// Of two promotions: every site says the same of them. By their ids, which hold the time as far as
/// clocks agree.
bool was_asked_first(const v1::EpochRecord& one, const v1::EpochRecord& other);
Sha256 hash_of(const v1::EpochRecord& record);

/// `before` with the next sequence number, chained to it; the caller changes what is to change.
v1::EpochRecord successor(const v1::EpochRecord& before, const std::string& written_by,
                          TimePoint now);

/// Makes `record` that of a new epoch, which begins where the one before has ended, at `cuts`.
/// `from`: whose primaryship that ends; empty: that of the record's primary.
void begin_epoch(v1::EpochRecord& record, uint64_t epoch, const std::string& primary,
                 const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts,
                 const std::string& from = {});
/// nullptr: the record does not say how that epoch began.
const v1::EpochStart* start_of(const v1::EpochRecord& record, uint64_t epoch);
/// How the epoch began in which whoever is in `epoch` goes on: the next one, or, where nothing of
/// that and of others was taken over, the one behind them. One that goes on exactly where `epoch`
/// was handed over counts as handed over, too. nullopt: the record does not say.
std::optional<v1::EpochStart> end_of(const v1::EpochRecord& record, uint64_t epoch);
/// Of the newest epoch of which something was taken over; 0: of none.
uint64_t newest_epoch(const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts);
/// `record` with the word and the cuts that have begun its epoch: an operation that was asked for
/// and given up since has left its own. Then it names no operation.
v1::EpochRecord as_begun(v1::EpochRecord record);

/// Puts `record` in the place of `seen`. nullopt: somebody else was faster. Throws Error{Retry}: it
/// is not known whether it was written.
std::optional<Epoch> change_epoch(KeyValue& bucket, const Epoch& seen,
                                  const v1::EpochRecord& record);

/// Copies `seen` into this site's bucket unless that holds the same or a later record. True:
/// copied.
bool adopt_epoch(KeyValue& own, const std::string& cluster, const v1::EpochRecord& seen);

/// The latest record that this site ever saw, on its own disk: a bucket that lost its tail must not
/// take a site back in time. One thread.
class EpochJournal {
  public:
    explicit EpochJournal(std::filesystem::path file) : file_(std::move(file)) {}
    /// nullopt: nothing was seen yet. Throws Error: Stop (the file is damaged), Retry (unreadable).
    std::optional<v1::EpochRecord> last() const;
    /// Durable when it returns; one that is not later is ignored.
    void note(const v1::EpochRecord& record);

  private:
    std::filesystem::path file_;
};

}  // namespace antipode::failover
