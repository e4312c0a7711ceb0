#include "apps/antipoded/site_hands.hpp"

#include <set>

#include <spdlog/spdlog.h>

#include "adapters/git/hooks.hpp"
#include "adapters/postgres/handover.hpp"
#include "adapters/postgres/source_control.hpp"
#include "apps/antipoded/canary.hpp"
#include "apps/antipoded/crossing.hpp"
#include "apps/antipoded/cut.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/expected_loss.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "apps/antipoded/sequence_headroom.hpp"
#include "apps/antipoded/stand.hpp"
#include "base/places.hpp"
#include "failover/handover.hpp"
#include "primary/database/requirements.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

/// One call of capture(); it is called again until the operation's own time is up.
constexpr std::chrono::seconds capture_limit(10);
/// What was kept stays kept; that nothing was written since is true for a moment.
constexpr std::chrono::hours kept_for(24 * 365);
constexpr std::chrono::seconds look_counts_for(5);
/// A secondary that has not everything when nothing has moved for so long compares. Nobody waits
/// for it.
constexpr std::chrono::seconds finishing_time(10);
/// The same while the stream cannot be read from which it would come, though its site answers.
constexpr std::chrono::seconds unread_time(60);
/// What a time in which it was not looked counts for: the new primary may have been away, and a
/// site that does not answer holds up each look for seconds.
constexpr std::chrono::seconds unseen_time(2);

std::string name_of(const Config& config, const Config::Database& store, const char* purpose) {
    return "antipode " + config.cluster + " " + config.site + " " + store.name + " " + purpose;
}

StoreId id_of(const Config::Database& store) {
    return {StoreKind::Database, store.name};
}

LastIntake::Seen look_at(const SecondaryHalf& half) {
    LastIntake::Seen seen;
    for (const auto& lane : half.lanes()) {
        seen.at_work = seen.at_work || half.is_at_work(lane);
        seen.work +=
            std::to_string(lane.order.waiting) + " " + std::to_string(lane.order.applied) + "\n";
        seen.places += lane.order.finished.to_string() + "\n";
    }
    seen.places += seen.work;
    seen.came = half.came();
    seen.taken = half.taken();
    seen.to_pull = half.to_pull();
    seen.pulls_more = half.pulls_more();
    return seen;
}

/// Everything that can be applied is when nothing has moved for a while: whether something still
/// comes cannot be known.
bool is_quiet(Quiet& quiet, const SecondaryHalf& half, std::chrono::seconds time) {
    const LastIntake::Seen seen = look_at(half);
    return quiet.look(seen.places, seen.at_work, time);
}

/// A switchover that is asked for and given up meanwhile changes nothing.
std::string subject_of(const v1::EpochRecord& record) {
    return record.primary() + " " + std::to_string(record.epoch());
}

/// Which sites may follow the new epoch from its start on. A primary that was lost compares.
std::set<std::string> to_follow(const Config& config, const v1::EpochRecord& record) {
    std::set<std::string> sites;
    for (const Config::Site& site : config.sites) {
        sites.insert(site.name);
    }
    sites.erase(config.site);
    if (!record.fenced_by().empty()) {
        const v1::EpochStart* const start = failover::start_of(record, record.epoch());
        sites.erase(start == nullptr ? std::string() : start->from());
    }
    return sites;
}

}  // namespace

SiteHands::SiteHands(const Config& config, std::function<std::shared_ptr<Half>()> half,
                     failover::Lease* lease, const Clock& clock)
    : config_(config),
      half_(std::move(half)),
      lease_(lease),
      clock_(clock),
      fences_(config),
      last_intake_(clock),
      finishing_(clock, unseen_time),
      quarantining_(clock, kept_for),
      looking_(clock, look_counts_for) {}

std::shared_ptr<PrimaryHalf> SiteHands::primary() const {
    auto half = std::dynamic_pointer_cast<PrimaryHalf>(half_());
    if (half == nullptr) {
        throw Error(Reaction::Retry, "capture has not begun yet");
    }
    return half;
}

std::shared_ptr<SecondaryHalf> SiteHands::secondary() const {
    auto half = std::dynamic_pointer_cast<SecondaryHalf>(half_());
    if (half == nullptr) {
        throw Error(Reaction::Retry, "apply has not begun yet");
    }
    return half;
}

void SiteHands::fence(const std::string& new_primary) {
    const Config::Site* const site = config_.find_site(new_primary);
    if (site == nullptr || new_primary == config_.site) {
        throw Error(Reaction::Stop, "\"" + new_primary + "\" is no other site of this cluster",
                    "antipode sites list");
    }
    close_fences([&] { fences_.close(new_primary); });
}

void SiteHands::unfence() {
    open_fences(true);
}

/// That writes are not meant to be open is written when they are not: if this process dies before,
/// the fencer still closes them when the lease runs out.
void SiteHands::close_fences(const std::function<void()>& close) {
    if (lease_ == nullptr) {
        return close();
    }
    const failover::FenceLock lock(config_.state_dir);
    close();
    lease_->shut_out();
}

/// The other way round.
void SiteHands::open_fences(bool command) {
    if (lease_ == nullptr) {
        return fences_.open(command, may_open());
    }
    lease_->must_hold();
    const failover::FenceLock lock(config_.state_dir);
    lease_->must_hold();
    lease_->let_in();
    fences_.open(command, may_open());
}

failover::MayOpen SiteHands::may_open() const {
    return [this] { return lease_ == nullptr || lease_->is_held(); };
}

failover::Cuts SiteHands::capture() {
    return primary()->final_capture(capture_limit);
}

bool SiteHands::is_unchanged(const failover::Cuts& cuts) {
    fences_.check();
    const failover::Cuts now = capture();
    for (const v1::LaneCut& cut : cuts) {
        const auto same = std::find_if(now.begin(), now.end(), [&](const v1::LaneCut& other) {
            return other.store() == cut.store() && other.digest() == cut.digest();
        });
        if (same == now.end()) {
            spdlog::warn("{} was written behind the handoff", cut.store());
            return false;
        }
    }
    return true;
}

void SiteHands::follow(const v1::EpochRecord& record) {
    sync_roots(config_);
    {
        const primary::Inventory inventory(config_.state_dir / "inventory.db");
        secondary::Registry registry(config_.state_dir / "registry.db", clock_);
        failover::seed_registry(inventory, config_.stores(), record.cuts(), registry);
    }
    for (const Config::Database& store : config_.databases) {
        postgres::drop_capture(store.url, name_of(config_, store, "handover"), store.slot,
                               store.publication);
        const v1::LaneCut* const cut = failover::find_cut(record.cuts(), id_of(store));
        const v1::LaneCut* const start = failover::find_cut(record.starts(), id_of(store));
        if (cut == nullptr || start == nullptr || start->lsn() == 0) {
            throw Error(Reaction::Stop,
                        "the epoch record does not say where " + id_of(store).to_string() +
                            " begins on " + record.primary(),
                        "configure the same stores on all sites");
        }
        postgres::stand_at(store.url, name_of(config_, store, "apply"), id_of(store),
                           failover::position_of(*cut), Lsn{start->lsn()});
    }
    failover::must_run(fences_.command("secondary_command", config_.failover.secondary_command),
                       fences_.environment(record.primary()));
    OldStreams::make_room(config_, record.epoch());
    drop_cut(config_);
}

bool SiteHands::has_reached(const failover::Cuts& cuts) {
    const auto half = secondary();
    half->resume_all();
    return half->has_reached(cuts);
}

std::vector<std::string> SiteHands::differences(const failover::Cuts& cuts) {
    std::vector<std::string> differences;
    const auto half = secondary();
    const secondary::Registry& registry = half->registry();
    for (const StoreId& store : config_.stores()) {
        const v1::LaneCut* const cut = failover::find_cut(cuts, store);
        if (cut == nullptr || store.kind == StoreKind::Database) {
            continue;
        }
        const std::string here = failover::inventory_digest(registry, store).to_string();
        if (here != cut->digest()) {
            differences.push_back(store.to_string() + " differs: " + here + " here, " +
                                  cut->digest() + " on the primary");
        }
    }
    return differences;
}

void SiteHands::write_loss_report(const v1::EpochRecord& record, uint64_t epoch,
                                  const SecondaryHalf& half) {
    failover::LossReport report =
        find_expected_loss(config_, half, epoch, record.primary(), clock_);
    report.epoch = record.epoch();  // that ends, be it a later one of which nothing is here
    report.operation = record.operation_id();
    report.fenced_by = record.fenced_by();
    LossReports::write(config_, record.operation_id(), report.to_json());
}

/// Another secondary may have got more than this one, and an old primary that answers may have more
/// than has come: then that is fetched first, as far as it goes now.
void SiteHands::look_elsewhere(const v1::EpochRecord& record, uint64_t epoch) {
    const bool may_answer = !last_intake_.rests();
    elsewhere_ = find_further_stream(config_, epoch, may_answer ? "" : record.primary());
    if (elsewhere_.site.empty()) {
        return last_intake_.found_nothing();
    }
    spdlog::warn("{} has more of epoch {} than this site: up to {}; it is fetched from there",
                 elsewhere_.site, epoch, elsewhere_.newest.to_string());
    last_intake_.found(elsewhere_.newest);
}

/// False: what this site has now is all that it will have of the epoch.
bool SiteHands::takes_in_more(const v1::EpochRecord& record, uint64_t epoch, SecondaryHalf& half) {
    const LastIntake::Step next = last_intake_.next(record.operation_id(), look_at(half));
    if (next == LastIntake::Step::Look) {
        look_elsewhere(record, epoch);
    } else if (next == LastIntake::Step::End) {
        const Position end = newest_of_own_stream(config_, epoch);
        half.stop_at(end);
        last_intake_.end_at(end);
    }
    return next != LastIntake::Step::Cut;
}

failover::Hands::Passage SiteHands::take_lease(const v1::EpochRecord& record) {
    if (lease_ == nullptr && record.fenced_by().empty()) {
        return {false, "nobody says that " + record.primary() + " is off, and there is no witness",
                "antipode promote " + config_.site + " --fenced-by \"how you did that\""};
    }
    return lease_ == nullptr ? Passage{} : lease_->passage(record);
}

std::optional<failover::Cuts> SiteHands::cut(const v1::EpochRecord& record, uint64_t epoch) {
    not_beyond_ = 0;  // what comes from now on is not held back by an end
    const auto half = secondary();
    half->resume_all();
    half->pull_from_all();
    const auto lanes = half->lanes();
    for (const auto& lane : lanes) {
        if (lane.copying) {
            throw Error(Reaction::Stop,
                        lane.store.to_string() + " was never copied whole to this site",
                        "promote another site, or mend the old primary");
        }
        if (lane.store.kind == StoreKind::Database && !lane.database) {
            throw Error(Reaction::Retry, lane.store.to_string() + " cannot be looked at yet",
                        "antipode status " + config_.site);
        }
    }
    if (takes_in_more(record, epoch, *half)) {
        return std::nullopt;
    }
    write_loss_report(record, epoch, *half);
    failover::Cuts cuts;
    for (const auto& lane : half->lanes()) {
        v1::LaneCut& cut = *cuts.Add();
        cut.set_store(lane.store.to_string());
        cut.set_epoch(lane.order.finished.epoch);
        cut.set_session(lane.order.finished.session);
        cut.set_number(lane.order.finished.number);
        cut.set_lsn(lane.database ? lane.database->lsn.value : 0);
    }
    return cuts;
}

std::optional<failover::Cuts> SiteHands::end(const v1::EpochRecord& record, const Stand& stand) {
    return end_where_it_stands(config_, record, stand, clock_);
}

void SiteHands::stand(const v1::EpochRecord& record, failover::Form form) {
    stand_as_secondary(config_, record, form, clock_);
}

Lsn SiteHands::prepare_database(const Config::Database& store) {
    // Of an earlier time as primary, or of a call that a crash ended.
    postgres::drop_capture(store.url, name_of(config_, store, "handover"), store.slot,
                           store.publication);
    postgres::SourceSetup setup(
        {store.url, store.slot, store.publication, name_of(config_, store, "handover")});
    const SourceFacts facts = setup.facts();
    primary::refuse_unmet(primary::unmet_needs(facts, store));
    for (const primary::IdentityChange& change : primary::missing_identities(facts.tables)) {
        setup.set_identity(change.table, change.index);
    }
    setup.create_publication();
    setup.create_slot();
    setup.record_slot();
    const auto slot = setup.slot();
    if (!slot || !slot->confirmed) {
        throw Error(Reaction::Retry, "the new slot " + store.slot + " has no position yet");
    }
    return slot->confirmed;
}

void SiteHands::install_hooks() {
    for (const Config::Repositories& store : config_.repositories) {
        const git::HookSettings settings{hook_program(), hook_spool(config_, store.name)};
        for (const git::HookReport& report :
             git::for_all_hooks(store.root, settings, git::HookAction::Install)) {
            if (!report.problem.empty()) {
                // Such a repository is found by reconciles.
                spdlog::warn("hooks: {}: {}", printable(report.repository), report.problem);
            }
        }
    }
}

failover::Cuts SiteHands::prepare(const v1::EpochRecord& record) {
    OldStreams::make_room(config_, record);
    failover::must_run(fences_.command("before_open_command", config_.failover.before_open_command),
                       fences_.environment(config_.site));
    failover::Cuts starts;
    for (const StoreId& store : config_.stores()) {
        v1::LaneCut& start = *starts.Add();
        start.set_store(store.to_string());
        start.set_epoch(record.epoch());
    }
    for (const Config::Database& store : config_.databases) {
        const Lsn begin = prepare_database(store);
        for (v1::LaneCut& start : starts) {
            if (start.store() == id_of(store).to_string()) {
                start.set_lsn(begin.value);
            }
        }
    }
    if (!record.fenced_by().empty()) {
        make_sequence_headroom(config_, record.operation_id());
    }
    install_hooks();
    auto inventory = std::make_shared<primary::Inventory>(config_.state_dir / "inventory.db");
    const secondary::Registry registry(config_.state_dir / "registry.db", clock_);
    PrimaryStores stores = make_primary_stores(config_, inventory, clock_);
    std::vector<primary::ItemCapture*> captures;
    for (const auto& store : stores.items) {
        captures.push_back(&store->capture());
    }
    failover::seed_inventory(registry, captures, to_follow(config_, record), starts, *inventory);
    if (!record.fenced_by().empty()) {
        keep_cut(config_, record, *inventory);
    }
    return starts;
}

std::string SiteHands::open(const v1::EpochRecord& record) {
    static_cast<void>(primary());  // which captures what comes
    open_fences(false);
    // Before the service is let in: it would find out in its users' hands.
    // What was applied: the capture of a root that is missing knows of nothing.
    const secondary::Registry registry(config_.state_dir / "registry.db", clock_);
    std::string written = write_canaries(config_, record.operation_id(), [&](const StoreId& store) {
        return registry.count(store) > 0;
    });
    fences_.let_in("after_open_command", config_.failover.after_open_command, may_open());
    return written;
}

void SiteHands::shut(const v1::EpochRecord& record) {
    if (is_shut_) {
        try {
            fences_.check();
            return;
        } catch (const Error& error) {
            spdlog::warn("this site is fenced: {}; it is fenced again", error.what());
        }
    }
    is_shut_ = false;
    close_fences([&] { fences_.shut(record.primary()); });
    is_shut_ = true;
}

std::optional<std::string> SiteHands::quarantine(const v1::EpochRecord& record, failover::Form form,
                                                 const std::string& without) {
    progress_.without.with([&](std::string& heard) { heard = without; });
    auto kept = quarantining_.poll(subject_of(record), [this, record, form](const auto& stop) {
        return Rejoin(config_, record, form, clock_).quarantine(progress_, stop);
    });
    const auto unreadable = progress_.unreadable.copy();
    if (!kept && !unreadable.name.empty()) {
        throw Error(Reaction::Retry, "everything else is kept; " + unreadable.shown,
                    "mend them, or: antipode rejoin " + config_.site + " --without-unreadable");
    }
    return kept;
}

std::string SiteHands::unreadable() {
    return progress_.unreadable.copy().name;
}

std::optional<bool> SiteHands::is_kept(const v1::EpochRecord& record, failover::Form form) {
    return looking_.poll(subject_of(record), [this, record, form](const std::stop_token& stop) {
        return Rejoin(config_, record, form, clock_).is_kept(stop);
    });
}

void SiteHands::rewind(const v1::EpochRecord& record) {
    Rejoin(config_, record, failover::Form::Neither, clock_).rewind();
    failover::must_run(fences_.command("secondary_command", config_.failover.secondary_command),
                       fences_.environment(record.primary()));
    OldStreams::make_room(config_, record.epoch());
    drop_cut(config_);
}

std::optional<failover::Hands::Finished> SiteHands::finish(const v1::EpochRecord& record,
                                                           const v1::EpochStart& ended) {
    const Crossing crossing(config_, record, ended, clock_);
    if (not_beyond_ != record.epoch()) {
        const secondary::Registry registry(config_.state_dir / "registry.db", clock_);
        if (const std::string beyond = crossing.beyond(registry, {}); !beyond.empty()) {
            return Finished{true, beyond};
        }
        not_beyond_ = record.epoch();
    }
    if (record.epoch() != ended.epoch()) {
        return Finished{false, crossing.to_text(crossing.all())};
    }
    const auto half = secondary();
    if (half->end() != ended.epoch()) {
        return std::nullopt;  // it reads to another end, and makes place for one that does not
    }
    const auto lacking = crossing.incomplete(*half);
    for (const StoreId& store : half->paused()) {
        if (lacking.contains(store)) {
            throw Error(Reaction::Retry,
                        store.to_string() + " is paused: this site follows " + record.primary() +
                            " once it goes on",
                        "antipode resume " + store.to_string() + " on " + config_.site);
        }
    }
    if (!lacking.empty()) {
        static_cast<void>(half->newest_here());  // else it may still come
    }
    const auto time = half->reads() ? finishing_time : unread_time;
    if (lacking.empty() || is_quiet(finishing_, *half, time)) {
        if (const std::string rows = crossing.rows_beyond(); !rows.empty()) {
            return Finished{true, "this site has " + rows + " that " + record.primary() +
                                      " never got"};  // of a session that had not ended yet
        }
        return Finished{false, crossing.to_text(lacking)};
    }
    return std::nullopt;
}

void SiteHands::cross(const v1::EpochRecord& record, const v1::EpochStart& ended,
                      const std::string& detail) {
    Crossing(config_, record, ended, clock_).cross(detail);
    LossReports::note_nothing_lost(config_, record, clock_);
    failover::must_run(fences_.command("secondary_command", config_.failover.secondary_command),
                       fences_.environment(record.primary()));
    // Nobody takes what this site lacked from it.
    for (uint64_t epoch = ended.epoch() - 1; epoch + 1 < record.epoch(); ++epoch) {
        OldStreams::remove(config_, epoch);
    }
    OldStreams::make_room(config_, record);
}

}  // namespace antipode
