#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/synchronized.hpp"
#include "failover/journal.hpp"
#include "failover/lease_passage.hpp"
#include "failover/machine.hpp"
#include "failover/records.hpp"

namespace antipode::failover {

using Cuts = google::protobuf::RepeatedPtrField<v1::LaneCut>;

/// What a site does in an operation. Every function may be called again after a crash or an error,
/// and then does what is left to do. They take their time (seconds) and throw Error: Retry (call it
/// again), Stop (an operator is needed).
class Hands {
  public:
    virtual ~Hands() = default;

    // The primary.

    /// Nobody but the daemon can write to any store when it returns: it has tried.
    virtual void fence(const std::string& new_primary) = 0;
    virtual void unfence() = 0;
    /// Publishes everything that was written before the fence; where each lane ends then.
    virtual Cuts capture() = 0;
    /// Nothing was written behind `cuts`, and the fence holds.
    virtual bool is_unchanged(const Cuts& cuts) = 0;
    /// This site follows the new primary from `record.starts()` on; it stood at record.cuts(). No
    /// half runs.
    virtual void follow(const v1::EpochRecord& record) = 0;

    // The site that becomes primary.

    /// Everything up to `cuts` is applied here. False: not yet.
    virtual bool has_reached(const Cuts& cuts) = 0;
    /// What is here, compared with what the primary had at `cuts`; empty: it is equal.
    virtual std::vector<std::string> differences(const Cuts& cuts) = 0;
    /// Whether the old primary of `record`, which names this site its target, can have no writes
    /// open any more.
    using Passage = LeasePassage;
    virtual Passage take_lease(const v1::EpochRecord&) { return {}; }
    /// Without a primary: applies what can be applied of `epoch`, which is the record's or one that
    /// has ended, and writes the loss report. nullopt: not done yet.
    virtual std::optional<Cuts> cut(const v1::EpochRecord& record, uint64_t epoch) = 0;

    // The same, of a site that is whole but no secondary: it yields or is fenced. No half runs.

    /// How it stands.
    struct Stand {
        Form form = Form::Neither;
        uint64_t epoch = 0;    ///< in which it served or followed
        Cuts handoff;          ///< it has handed over, and ends there exactly; empty: it was fenced
        TimePoint ended_at{};  ///< whoever takes writes since then took them later
        std::string displaced;  ///< the site that has claimed the epoch, and whose writes it lacks
    };
    /// Where each of its lanes ends, with the loss report written; changes nothing. nullopt: not
    /// done yet.
    virtual std::optional<Cuts> end(const v1::EpochRecord& record, const Stand& stand) = 0;
    /// Has claimed `record`'s epoch: keeps its stores as a secondary does that stands at
    /// record.cuts() and has nothing of the site that it displaces. prepare() comes next.
    virtual void stand(const v1::EpochRecord& record, Form form) = 0;

    /// What captures must be there before writes are: slots, publications, hooks. Where each lane
    /// of the new epoch begins. No half runs.
    virtual Cuts prepare(const v1::EpochRecord& record) = 0;
    /// Lets writes in, and has written to every store when it returns: what took the write, in a
    /// few words.
    virtual std::string open(const v1::EpochRecord& record) = 0;

    /// A site that must not serve any more: writes are refused as far as it can do that. Called
    /// again every few seconds, to see that they still are.
    virtual void shut(const v1::EpochRecord& record) = 0;

    // A former primary that was shut, and that `record` tells where its epoch ended. No half runs.

    /// Keeps what only this site has, durably, with the final loss report; what it was, in a few
    /// words. nullopt: not done yet. Everything stays as it is. It need not wait for items that
    /// cannot be read when `without` is what unreadable() says of them: the operator's word.
    /// `form`: that it had when it was shut.
    virtual std::optional<std::string> quarantine(const v1::EpochRecord& record, Form form,
                                                  const std::string& without) = 0;
    /// A name for the items that quarantine() found to be unreadable and waits for: other ones have
    /// another name. Empty: there are none.
    virtual std::string unreadable() = 0;
    /// Nothing was written since quarantine() has ended. nullopt: not known yet.
    virtual std::optional<bool> is_kept(const v1::EpochRecord& record, Form form) = 0;
    /// This site follows the new primary, and gives up what differs from it.
    virtual void rewind(const v1::EpochRecord& record) = 0;

    // A secondary that was no part of the change; `ended` says where the epoch that it knows has
    // ended, `record` is the new primary's own, maybe of a later epoch still.

    /// What finish() found.
    struct Finished {
        bool beyond = false;  ///< this site has what the new primary never got
        std::string detail;   ///< which; or what cross() needs to know
    };
    /// Applies what is left of the epoch that has ended, as far as it can still be had. nullopt:
    /// not done yet.
    virtual std::optional<Finished> finish(const v1::EpochRecord& record,
                                           const v1::EpochStart& ended) = 0;
    /// This site follows the new primary from `record.starts()` on. No half runs.
    virtual void cross(const v1::EpochRecord& record, const v1::EpochStart& ended,
                       const std::string& detail) = 0;
};

/// What is seen of an operation from outside.
struct ConductorStatus {
    State state = State::Following;
    uint64_t epoch = 0;  ///< that this site is in
    std::string operation;
    TimePoint since{};
    std::string problem;
    std::string next_step;
    std::string unreadable;  ///< Hands::unreadable()
    bool known = false;      ///< false: the cluster has no primary yet
    std::string primary;     ///< of the newest record
    /// It neither serves nor follows, but is whole: it can be promoted as it stands.
    bool may_claim = false;
    /// The same, of one that has handed over: what its target wrote it wrote later.
    std::optional<TimePoint> handed_over_at;
    std::vector<JournalEntry> journal;
    /// What this site tells the primary about it.
    v1::OperationReport report;
};

/// That a journal can keep.
std::string name_of_handoff(const Cuts& cuts);

/// Leads one site through switchovers and promotions: reads the records, feeds the machine, writes
/// the journal, and has Hands do what each state asks for. Passive: its owner calls look() and then
/// act(), again and again, in one thread, and between the two runs the half that half() names.
///
/// The primary alone decides, by compare-and-set in its own bucket, whether an operation passes the
/// point of no return or is given up; its target follows that record. So the two cannot disagree,
/// whichever of them is killed when.
class Conductor {
  public:
    struct Options {
        std::string site;
        std::vector<std::string> sites;
        std::chrono::milliseconds timeout{60'000};  ///< from the fence to the point of no return
        bool rejoins_by_itself = false;             ///< what is kept, the operator need not see
    };
    Conductor(Options options, Records& records, Journal& journal, Hands& hands,
              const Clock& clock);

    /// Sees what has changed. Throws Error{Retry} when this site's nats-server does not answer;
    /// act() may then be called only if may_act_alone().
    void look();
    /// Does what the state asks for, once. An Error that can be tried again is shown in status(),
    /// and the step is tried again after a while, or once an operator says so (resume_key).
    void act();

    /// nullopt: there is no primary yet.
    std::optional<State> state() const { return state_; }
    /// Something is going on that this site waits for: look again soon.
    bool is_hurried() const;
    /// It has rested for a while, and only a record that somebody changes can end that.
    bool is_quiet() const;
    /// What is to be done does not depend on any record.
    bool may_act_alone() const { return state_ == State::RollingBack; }
    Half half() const;
    uint64_t epoch() const { return epoch_; }
    /// Of the newest record.
    std::string primary() const;
    /// While half() is to apply what is left of an epoch that has ended: where that was, and whose
    /// word it is. nullopt: it goes on.
    std::optional<v1::EpochStart> ending() const;
    /// Any thread.
    ConductorStatus status() const { return status_.copy(); }

  private:
    void begin();
    void look_alone();
    void look_for_epoch(const v1::EpochRecord& record);
    void look_at_own(const v1::EpochRecord& record);
    void look_at_handoff();
    void look_at_target();
    void look_at_return();
    bool is_asked_to_claim() const;
    bool is_contradicted() const;
    bool was_secondary() const;
    void look_at_time();
    std::optional<v1::EpochRecord> serving_here() const;
    std::optional<v1::EpochRecord> successor_here() const;
    bool has_missed_one() const;
    v1::EpochRecord must_know_successor() const;
    std::optional<v1::EpochRecord> next_here() const;
    v1::EpochRecord must_know_next() const;
    void feed(Event event, const std::string& detail = {});
    void enter(State state, const std::string& event, const std::string& detail);
    void act_on_state();
    bool is_to_wait();
    void try_again_later(State failed);
    void write_handoff();
    void commit(const std::string& primary, const Cuts& cuts);
    void claim();
    Hands::Stand stand() const;
    std::string displaced() const;
    void claim_where_it_stands();
    void show_stand(ConductorStatus& fresh) const;
    void yield();
    void roll_back();
    void catch_up();
    void cut();
    bool has_proof();
    bool is_alone();
    void prepare();
    void open();
    void shut();
    void quarantine();
    void await_word();
    void rewind();
    void finish();
    void cross();
    void give_up_promotion(const std::string& problem);
    v1::EpochRecord following(const char* record_state) const;
    void change(const v1::EpochRecord& record);
    void show();

    const v1::EpochRecord& record() const { return records_.own()->record; }

    Options options_;
    Records& records_;
    Journal& journal_;
    Hands& hands_;
    const Clock& clock_;
    bool restarted_ = true;
    std::optional<State> state_;
    uint64_t epoch_ = 0;
    std::string operation_;
    std::string detail_;  ///< that led to the state
    TimePoint since_{};
    SteadyTime deadline_{};
    std::optional<Error> problem_;
    // Of a step that failed:
    SteadyTime again_at_{};
    Backoff again_;
    std::string told_;                        ///< the last word of an operator
    std::optional<v1::EpochRecord> handoff_;  ///< that this site is to apply
    SteadyTime shut_again_{};
    // Since the state was entered:
    bool unfenced_ = false;
    bool may_finish_ = false;  ///< the new primary serves
    std::string asked_;        ///< the promotion that is asked for where the site stands
    std::string rival_;        ///< another site that was told to take the primary's place
    Synchronized<ConductorStatus> status_;
};

}  // namespace antipode::failover
