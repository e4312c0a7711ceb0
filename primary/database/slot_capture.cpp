#include "primary/database/slot_capture.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "primary/database/requirements.hpp"

namespace antipode::primary {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// What one poll() returns at most, roughly.
constexpr size_t poll_bytes = 4 * limits::transaction_part_bytes;
constexpr size_t poll_events = 512;
/// How often the server is asked how far decoding is: while somebody waits for it, and otherwise.
constexpr milliseconds ask_when_waited_for(10);
constexpr milliseconds ask_when_idle(1000);
constexpr milliseconds alive_interval(1000);
/// Transactions that commit within this time of others share a message; a lone one never waits.
constexpr milliseconds group_interval(2);
/// Where decoding is behind by that much, throughput counts, not the latency of one transaction.
constexpr milliseconds behind_after(250);
constexpr milliseconds group_interval_behind(25);
/// New tables are looked for this often.
constexpr seconds identity_interval(5);
/// How far a mirror's sequence may be behind, beyond the rows that moved it.
constexpr seconds sequence_interval(2);
/// And at what the slot keeps.
constexpr seconds slot_interval(2);
/// A transaction without changes is returned when so much log, or time with any log, has passed.
constexpr uint64_t pass_bytes = limits::mib;
constexpr seconds pass_interval(10);
/// As synchronous standby it is returned at once, while so few wait for their confirmation.
constexpr size_t most_waiting_passes = 1000;
/// How many ends of transactions are remembered; behind them only the newest one.
constexpr size_t most_ends = 100'000;

void raise(std::atomic<uint64_t>& value, uint64_t to) {
    uint64_t now = value.load();
    while (now < to && !value.compare_exchange_weak(now, to)) {
    }
}

}  // namespace

SlotCapture::SlotCapture(const Config::Database& config, ChangeSource& source,
                         SourceControl& control, WalPosition& wal, SequencePublisher& sequences,
                         const Clock& clock)
    : store_{StoreKind::Database, config.name},
      config_(config),
      source_(source),
      control_(control),
      wal_(wal),
      sequences_(sequences),
      clock_(clock),
      cutter_(limits::transaction_part_bytes) {}

std::vector<DatabaseEvent> SlotCapture::poll(milliseconds wait) {
    if (restart_.exchange(false)) {
        end();
    }
    // Before anything that fails when it is lost.
    look_at_slot();
    try {
        if (!started_) {
            start();
        }
        if (clock_.steady_now() - identities_at_ >= identity_interval) {
            give_identities();
        }
        if (clock_.steady_now() - sequences_at_ >= sequence_interval) {
            publish_moved_sequences();
        }
        return collect(wait);
    } catch (...) {
        end();
        throw;
    }
}

void SlotCapture::start() {
    prepare();
    const Lsn from = source_.start();
    slot_seen_ = true;
    cutter_.start(from);
    decoded_ = from;
    reported_ = Lsn{};
    sent_ = from;
    begins_ = from;
    forgotten_ = from.value;
    ends_.clear();
    asked_at_ = SteadyTime{};
    status_at_ = transaction_at_ = clock_.steady_now();
    started_ = true;
}

/// In an order that a crash may cut anywhere: identities before the tables are published (else the
/// application's own updates would fail), the publication before the slot (decoding looks it up as
/// it was at each change's time), the record that there was a slot last.
void SlotCapture::prepare() {
    SourceFacts facts = control_.facts();
    if (is_slot_lost(facts)) {
        spdlog::error(
            "{}: the replication slot {} is lost: the server removed log that it needs "
            "(max_slot_wal_keep_size). A new one is made; secondaries compare their rows with this "
            "site's and transfer what differs",
            store_.to_string(), config_.slot);
        control_.give_up_slot();
        slot_seen_ = false;
        facts = control_.facts();
    }
    const bool recorded = facts.publication && facts.publication->slot_made == config_.slot;
    if (facts.publication && slot_seen_) {
        facts.publication->slot_made = config_.slot;
    }
    refuse_unmet(unmet_needs(facts, config_));
    for (const UnmetNeed& need : lesser_needs(facts)) {
        if (!slot_seen_) {
            spdlog::warn("{}: {}. Try: {}", store_.to_string(), need.what, need.remedy);
        }
    }
    for (const IdentityChange& change : missing_identities(facts.tables)) {
        control_.set_identity(change.table, change.index);
    }
    identities_at_ = sequences_at_ = clock_.steady_now();
    if (!facts.publication) {
        control_.create_publication();
    }
    if (!facts.slot) {
        control_.create_slot();
    }
    const bool owned = !facts.publication || facts.publication->owned;
    if (owned && !recorded) {
        control_.record_slot();
    }
}

/// New tables of the application: without an identity its own updates of them fail. One that cannot
/// be changed now (locked, somebody else's) must not end the stream of all the others.
void SlotCapture::give_identities() {
    identities_at_ = clock_.steady_now();
    if (config_.replica_identity != "set") {
        return;
    }
    std::string problem;
    try {
        for (const IdentityChange& change :
             missing_identities(control_.tables_without_identity())) {
            control_.set_identity(change.table, change.index);
            spdlog::info("{}: gave {} a replica identity", store_.to_string(),
                         change.table.to_string());
        }
    } catch (const Error& error) {
        problem = error.describe();
    }
    if (!problem.empty() && problem != identity_problem_) {
        spdlog::warn("{}: {}; tried again every {} s", store_.to_string(), problem,
                     identity_interval.count());
    }
    identity_problem_ = problem;
}

/// Mirrors learn it later then, or from the rows; that must not end the stream.
void SlotCapture::publish_moved_sequences() {
    sequences_at_ = clock_.steady_now();
    std::string problem;
    try {
        sequences_.publish_moved();
    } catch (const Error& error) {
        problem = error.describe();
    }
    if (!problem.empty() && problem != sequence_problem_) {
        spdlog::warn("{}: sequences: {}; tried again every {} s", store_.to_string(), problem,
                     sequence_interval.count());
    }
    sequence_problem_ = problem;
}

/// Also while nothing is taken from here: that is when the log grows.
void SlotCapture::look_at_slot() {
    if (clock_.steady_now() - slot_at_ < slot_interval) {
        return;
    }
    slot_at_ = clock_.steady_now();
    std::optional<SourceFacts::Slot> slot;
    try {
        slot = control_.slot();
    } catch (const Error&) {
        // Capture's own connection will say what is wrong.
    }
    slot_.with([&](auto& known) { known = std::move(slot); });
}

void SlotCapture::end() {
    source_.stop();
    started_ = false;
}

std::vector<DatabaseEvent> SlotCapture::collect(milliseconds wait) {
    std::vector<DatabaseEvent> events;
    if (const auto from = std::exchange(begins_, std::nullopt)) {
        events.emplace_back(DecodingBegins{*from});
    }
    size_t bytes = 0;
    while (events.size() < poll_events && bytes < poll_bytes && !restart_) {
        send_due_status();
        // Something to return already: take what else is here, without waiting.
        const bool any = !events.empty() || cutter_.holds_any() || decoded_ > reported_;
        const milliseconds slice =
            any ? group_time_left()
                : std::min(wait, somebody_waits() ? ask_when_waited_for : milliseconds(250));
        const size_t before = events.size();
        const auto decoded = source_.next(slice);
        if (decoded) {
            take(*decoded, events);
        } else if (woken_.exchange(false)) {
            // Not the end of the wait: a status is due, and transactions still share a message.
        } else if (any || wait <= slice) {
            break;
        } else {
            wait -= slice;
        }
        for (size_t i = before; i < events.size(); ++i) {
            bytes += std::get<CapturedTransaction>(events[i]).transaction.ByteSizeLong();
        }
    }
    finish(events);
    return events;
}

void SlotCapture::take(const Decoded& decoded, std::vector<DatabaseEvent>& events) {
    if (const auto* progress = std::get_if<DecodedProgress>(&decoded)) {
        decoded_ = std::max(decoded_, progress->lsn);
        if (progress->wants_status) {
            send_status(confirmable(), false);
        }
        return;
    }
    cutter_.add(decoded, events);
    if (const auto* commit = std::get_if<DecodedCommit>(&decoded)) {
        decoded_ = std::max(decoded_, commit->end_lsn);
    }
}

/// How long transactions may wait for others to share their message.
milliseconds SlotCapture::group_time_left() const {
    if (!cutter_.holds_any()) {
        return milliseconds(0);
    }
    const bool behind = clock_.now() - cutter_.held_from() > behind_after;
    const milliseconds interval = behind ? group_interval_behind : group_interval;
    const auto gone = clock_.steady_now() - grouped_at_;
    return gone >= interval ? milliseconds(0) : std::chrono::ceil<milliseconds>(interval - gone);
}

void SlotCapture::finish(std::vector<DatabaseEvent>& events) {
    const SteadyTime now = clock_.steady_now();
    if (cutter_.holds_any()) {
        cutter_.flush(events);
        grouped_at_ = now;
    }
    if (!events.empty()) {
        transaction_at_ = now;
    }
    for (const DatabaseEvent& event : events) {
        const auto* captured = std::get_if<CapturedTransaction>(&event);
        if (captured != nullptr && captured->transaction.last()) {
            const Lsn end{captured->transaction.end_lsn()};
            note_end(end, end);
        }
    }
    const uint64_t passed = decoded_.value - std::min(cutter_.end(), decoded_).value;
    // A commit that may wait for this place is not seen here: of another database, or of nothing
    // that is published.
    const bool somebody_commits = config_.synchronous && ends_.size() < most_waiting_passes;
    const bool due = passed >= pass_bytes || now - transaction_at_ >= pass_interval;
    if (passed > 0 && (due || somebody_commits) && !cutter_.in_transaction()) {
        events.emplace_back(cutter_.pass(decoded_, clock_.now()));
        // Decoding may have been said to have passed this place before this event was there.
        note_end(decoded_, decoded_ > reported_ ? decoded_ : Lsn{decoded_.value + 1});
        transaction_at_ = now;
    }
    if (decoded_ > reported_) {
        reported_ = decoded_;
        events.emplace_back(DecodedThrough{decoded_});
    }
}

void SlotCapture::note_end(Lsn end, Lsn covered_by) {
    if (ends_.size() >= most_ends) {
        ends_.pop_back();
    }
    ends_.push_back({end, covered_by});
}

Lsn SlotCapture::confirmable() {
    const Lsn confirmed{confirmed_.load()};
    Lsn reached = sent_;
    while (!ends_.empty() && ends_.front().covered_by <= confirmed) {
        reached = std::max(reached, ends_.front().end);
        ends_.pop_front();
    }
    return reached;
}

void SlotCapture::send_status(Lsn confirmed, bool ask) {
    sent_ = confirmed;
    raise(forgotten_, sent_.value);
    source_.send_status(sent_, ask);
}

void SlotCapture::send_due_status() {
    const SteadyTime now = clock_.steady_now();
    const milliseconds interval = somebody_waits() ? ask_when_waited_for : ask_when_idle;
    const bool ask = now - asked_at_ >= interval;
    const Lsn confirmed = confirmable();
    if (!ask && confirmed == sent_) {
        return;
    }
    send_status(confirmed, ask);
    status_at_ = now;
    if (ask) {
        asked_at_ = now;
    }
}

void SlotCapture::confirm(Lsn lsn) {
    raise(confirmed_, lsn.value);
    woken_ = true;
    source_.wake();
}

void SlotCapture::keep_alive() {
    const SteadyTime now = clock_.steady_now();
    if (started_ && !restart_ && now - status_at_ >= alive_interval) {
        send_status(confirmable(), false);
        status_at_ = now;
    }
    look_at_slot();
}

void SlotCapture::restart() {
    restart_ = true;
    source_.wake();
}

Lsn SlotCapture::wal_position() {
    try {
        const Lsn lsn = wal_.flushed_end();
        raise(wal_target_, lsn.value);
        source_.wake();
        return lsn;
    } catch (...) {
        // A server that shuts down ends this connection, and then waits until the replication
        // connection has confirmed everything. That can take as long as a site is away.
        restart();
        throw;
    }
}

Lsn SlotCapture::publish_sequences(bool exact) {
    return sequences_.publish_all(exact);
}

}  // namespace antipode::primary
