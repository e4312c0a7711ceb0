#include "tests/simulation/simulation.hpp"

#include <algorithm>
#include <array>

#include "protocol/stream_search.hpp"

namespace antipode::simulation {
namespace {

constexpr size_t healing_rounds = 1500;

}  // namespace

class Simulation::Bulk final : public BulkSource {
  public:
    explicit Bulk(Simulation& simulation) : simulation_(simulation) {}

    Answer get(const BulkRequest& request, Range range, const Headers& on_headers, const Sink& sink,
               const std::stop_token&) override {
        Faults& faults = simulation_.faults_;
        faults.call("bulk " + request.path);
        if (!simulation_.primary_) {
            throw Error(Reaction::Retry, "the primary is away");
        }
        const auto body = simulation_.primary_->bulk(request.path)->open(request);
        if (!body) {
            return {};
        }
        Answer answer{true, body->size(), {}};
        if (answer.total_size) {
            body->seek(range.offset);
        }
        if (on_headers) {
            on_headers(answer);
        }
        std::array<char, 700> buffer{};
        uint64_t left = range.length;
        while (const size_t count = left == 0 ? 0 : body->read(buffer)) {
            faults.call("bulk " + request.path);
            const std::string_view bytes(buffer.data(), std::min<uint64_t>(count, left));
            sink(bytes);
            left -= bytes.size();
        }
        return answer;
    }

  private:
    Simulation& simulation_;
};

Simulation::Simulation(uint64_t seed, Sabotage sabotage)
    : chance_(seed),
      strays_(~seed),
      journal_(time_),
      faults_(chance_, journal_),
      clock_(time_, faults_),
      service_(time_),
      application_(service_, chance_, journal_, faults_.profile),
      blob_tree_(time_, "/blobs"),
      repository_tree_(time_, "/repositories"),
      upstream_("primary's", faults_),
      local_("secondary's", faults_),
      bulk_(std::make_unique<Bulk>(*this)),
      watched_(!chance_.one_in(5)),
      checker_(service_, replica_,
               {[this](const StoreId& store, const std::string& item) {
                    return registry_.is_exception(store, item) ||
                           registry_.is_exception(store, protocol::whole_store);
                },
                [this](const std::string& version) {
                    return upstream_.carries(version) || local_.carries(version);
                },
                watched_}) {
    faults_.sabotage = sabotage;
    replica_.position.copied = true;
    replica_.position.lsn = service_.confirmed;
    choose_profile();
    add_steps();
    add_disasters();
    for (const Step& step : steps_) {
        weights_ += step.weight;
    }
}

void Simulation::choose_profile() {
    // Some seeds have everything, most have a few kinds of trouble, some have none.
    const auto some = [&](size_t rare, size_t frequent) -> size_t {
        switch (chance_.below(4)) {
            case 0:
                return frequent;
            case 1:
                return rare;
            default:
                return 0;
        }
    };
    Profile& profile = faults_.profile;
    profile.crash = some(2000, 200);
    profile.error = some(500, 30);
    profile.append = some(30, 4);
    profile.lose_tail = some(200, 40);
    profile.make_anew = some(400, 0);
    profile.damage = some(200, 40);
    profile.overflow = some(20, 4);
    profile.reconcile = some(10, 3);
    profile.bad_apply = some(40, 8);
    profile.lost_wants = some(10, 3);
    profile.stray = strays_.one_in(3) ? 50 : 0;
    max_hold_ = chance_.one_in(10) ? std::chrono::milliseconds(500) : std::chrono::hours(100);
    journal_.note("rows wait for at most " + std::to_string(max_hold_.count()) + " ms");
}

void Simulation::with_primary(size_t weight, std::function<void(PrimaryDaemon&)> run) {
    steps_.push_back({weight, Side::Primary, [this, run = std::move(run)] {
                          if (!primary_) {
                              journal_.note("the primary starts");
                              primary_ = std::make_unique<PrimaryDaemon>(
                                  service_, inventory_, upstream_, faults_, clock_, watched_);
                          }
                          run(*primary_);
                      }});
}

void Simulation::with_secondary(size_t weight, std::function<void(SecondaryDaemon&)> run) {
    steps_.push_back({weight, Side::Secondary, [this, run = std::move(run)] {
                          if (!secondary_) {
                              journal_.note("the secondary starts");
                              const auto send = [this](const v1::Want& want) {
                                  if (!primary_) {
                                      throw Error(Reaction::Retry, "nobody answers");
                                  }
                                  journal_.note("want " + want.store() + " " +
                                                std::to_string(want.items_size()) +
                                                " items: " + want.reason());
                                  if (!faults_.happens(&Profile::lost_wants)) {
                                      primary_->want(want);
                                  }
                                  return true;
                              };
                              secondary_ = std::make_unique<SecondaryDaemon>(
                                  max_hold_, replica_, registry_, blob_tree_, repository_tree_,
                                  upstream_, local_, *bulk_, send, faults_, clock_);
                          }
                          run(*secondary_);
                      }});
}

void Simulation::add_steps() {
    with_primary(30, [](PrimaryDaemon& daemon) { daemon.publish(); });
    with_primary(10, [](PrimaryDaemon& daemon) { daemon.capture_rows(); });
    with_primary(10, [](PrimaryDaemon& daemon) { daemon.capture_blobs(); });
    with_primary(10, [](PrimaryDaemon& daemon) { daemon.capture_repositories(); });
    with_primary(3, [](PrimaryDaemon& daemon) { daemon.reconcile_blobs(); });
    with_primary(3, [](PrimaryDaemon& daemon) { daemon.reconcile_repositories(); });
    with_secondary(15, [](SecondaryDaemon& daemon) { daemon.relay(); });
    with_secondary(15, [](SecondaryDaemon& daemon) { daemon.receive(); });
    with_secondary(10, [](SecondaryDaemon& daemon) { daemon.apply_blobs(); });
    with_secondary(10, [](SecondaryDaemon& daemon) { daemon.apply_repositories(); });
    with_secondary(10, [](SecondaryDaemon& daemon) { daemon.apply_rows(); });
    with_secondary(6, [](SecondaryDaemon& daemon) { daemon.pull(); });
    with_secondary(4, [](SecondaryDaemon& daemon) { daemon.repair(); });
    steps_.push_back({4, Side::Nobody, [this] { confirm(); }});
    steps_.push_back({2, Side::Nobody, [this] { purge(); }});
}

void Simulation::add_disasters() {
    // As if they were seldom steps: each asks the profile whether it happens at all.
    const auto add = [&](size_t Profile::*often, const std::function<void()>& run) {
        steps_.push_back({10, Side::Nobody, [this, often, run] {
                              // One in ten steps or so comes here.
                              if (chance_.one_in((faults_.profile.*often + 9) / 10)) {
                                  run();
                              }
                          }});
    };
    add(&Profile::lose_tail, [this] { lose_tail(upstream_, false); });
    add(&Profile::lose_tail, [this] { lose_tail(local_, true); });
    add(&Profile::make_anew, [this] { make_anew(); });
    add(&Profile::damage, [this] { damage(); });
}

void Simulation::run_step(const Step& step) {
    time_.advance(std::chrono::microseconds(1 + chance_.below(3000)));
    faults_.running = step.side;
    try {
        step.run();
    } catch (const Error& error) {
        journal_.note(std::string("stopped: ") + error.what());
    } catch (const Crash& crash) {
        faults_.running = Side::Nobody;
        if (crash.side == Side::Primary) {
            primary_.reset();
        } else {
            secondary_.reset();
        }
    }
    faults_.running = Side::Nobody;
    check();
}

const Simulation::Step& Simulation::some_step() {
    size_t at = chance_.below(weights_);
    for (const Step& step : steps_) {
        if (at < step.weight) {
            return step;
        }
        at -= step.weight;
    }
    return steps_.front();
}

std::optional<std::string> Simulation::run() {
    load();
    if (!wrong_) {
        heal();
    }
    primary_.reset();
    secondary_.reset();
    return wrong_;
}

void Simulation::load() {
    const size_t steps = 300 + chance_.below(900);
    // In bursts, and with pauses in which everything may get through.
    size_t busy = 3;
    for (size_t i = 0; i < steps && !wrong_; ++i) {
        if (chance_.one_in(60)) {
            busy = 2 + chance_.below(20);
        }
        if (chance_.one_in(100)) {
            time_.advance(std::chrono::seconds(chance_.below(30)));
        }
        if (chance_.one_in(busy)) {
            step_application();
        }
        run_step(some_step());
        if (strays_.one_in(faults_.profile.stray)) {
            stray();
        }
    }
    while (!application_.is_between()) {
        step_application();
    }
}

void Simulation::step_application() {
    // Never in the same instant as a marker's clock: "up to T" would mean two things.
    time_.advance(std::chrono::microseconds(1));
    application_.step();
}

void Simulation::heal() {
    journal_.note("the faults end");
    const size_t large = faults_.profile.large;
    faults_.profile = {};
    faults_.profile.large = large;
    const auto ordinary = [](const Step& step) { return step.side != Side::Nobody; };
    for (size_t round = 0; round < healing_rounds && !wrong_; ++round) {
        time_.advance(round < 300 ? std::chrono::milliseconds(50) : std::chrono::seconds(1));
        for (const Step& step : steps_) {
            if (ordinary(step) && !wrong_) {
                run_step(step);
            }
        }
        confirm();
        if (!wrong_ && is_quiet()) {
            return;
        }
    }
    if (!wrong_) {
        wrong_ = "it does not heal: " + why_not_quiet() +
                 (secondary_ ? secondary_->waits_for() : std::string());
    }
}

bool Simulation::is_quiet() {
    return why_not_quiet().empty();
}

std::string Simulation::why_not_quiet() {
    if (const auto difference = checker_.check_equal()) {
        return *difference;
    }
    for (const StoreId& store : {rows_id, blobs_id, repositories_id}) {
        if (registry_.exception_count(store) > 0) {
            return store.to_string() + " has exceptions";
        }
        if (registry_.gap(store)) {
            return store.to_string() + " has a gap";
        }
    }
    if (registry_.oldest_exception()) {
        return "something is an exception that is mended";
    }
    const auto point = recovery_point();
    if (!point || *point < service_.last_change()) {
        return "the recovery point stays behind";
    }
    return reported_ < service_.wal_end ? "not everything is safe" : "";
}

std::optional<TimePoint> Simulation::recovery_point() const {
    return secondary_ ? secondary_->recovery_point() : std::nullopt;
}

void Simulation::check() {
    if (replica_.generation != checked_generation_) {
        checked_generation_ = replica_.generation;
        wrong_ = checker_.check_visible();
    }
    const auto point = recovery_point();
    if (!wrong_ && point && (point != checked_point_)) {
        checked_point_ = point;
        journal_.note("recovery point " + std::to_string(to_microseconds(*point) % 1'000'000'000));
        wrong_ = checker_.check_recovery_point(*point);
    }
    if (wrong_) {
        journal_.note("WRONG: " + *wrong_);
    }
}

void Simulation::confirm() {
    if (secondary_ && chance_.one_in(2)) {
        reported_ = secondary_->safe();
        promised_ = std::max(promised_, std::min(reported_, local_.held()));
    }
    if (primary_) {
        const bool early = faults_.sabotage == Sabotage::EarlyConfirm;
        const Lsn stored = primary_->stored();
        primary_->confirm(early ? stored : std::min(stored, reported_));
    }
}

Position Simulation::applied_everywhere() const {
    Position least = registry_.lane(rows_id).finished;
    for (const StoreId& store : {blobs_id, repositories_id}) {
        least = std::min(least, registry_.lane(store).finished);
    }
    return least;
}

bool Simulation::survives(uint64_t upstream_last, uint64_t local_last, uint64_t damaged) {
    auto stays =
        local_.parts(Position{}, [&](uint64_t sequence) { return sequence <= local_last; });
    stays.merge(upstream_.parts(local_.newest(local_last), [&](uint64_t sequence) {
        return sequence <= upstream_last && sequence != damaged;
    }));
    const std::set<uint64_t> whole = Broker::whole(stays);
    // What the secondary's broker ever held may be reported before the relay looks at it again.
    for (const Broker::Part& part : local_.parts(Position{}, [](uint64_t) { return true; })) {
        promised_ = std::max(promised_, Lsn{part.end});
    }
    // What was promised without being there is a bug, and no reason to spare the brokers.
    const Lsn promised = std::max(promised_, std::min(service_.confirmed, local_.held()));
    return std::all_of(
        service_.log.begin(), service_.log.end(), [&](const Service::Transaction& transaction) {
            return transaction.end > promised || transaction.end <= replica_.position.lsn ||
                   whole.contains(transaction.end.value);
        });
}

void Simulation::lose_tail(Broker& broker, bool is_local) {
    const uint64_t count = std::min<uint64_t>(1 + chance_.below(30), broker.stream.last());
    const uint64_t stays = broker.stream.last() - count;
    if (count > 0 && survives(is_local ? upstream_.stream.last() : stays,
                              is_local ? stays : local_.stream.last())) {
        journal_.note(std::string(is_local ? "the secondary's" : "the primary's") +
                      " broker loses " + std::to_string(count) + " messages");
        broker.lose_tail(count);
    }
}

void Simulation::make_anew() {
    const bool is_local = chance_.one_in(2);
    if (survives(is_local ? upstream_.stream.last() : 0, is_local ? 0 : local_.stream.last())) {
        journal_.note(std::string(is_local ? "the secondary's" : "the primary's") +
                      " broker loses everything");
        (is_local ? local_ : upstream_).make_anew();
    }
}

void Simulation::damage() {
    const auto& messages = upstream_.stream.messages();
    if (messages.empty()) {
        return;
    }
    // Mostly one that is not relayed yet.
    const size_t back = std::min(messages.size() - 1, chance_.below(8));
    const uint64_t sequence = std::prev(messages.end(), static_cast<ptrdiff_t>(back) + 1)->first;
    if (survives(upstream_.stream.last(), local_.stream.last(), sequence)) {
        journal_.note("the primary's broker loses message " + std::to_string(sequence));
        upstream_.lose(sequence);
    }
}

/// Not by the publisher: a broker that stores twice or in another order, an old primary.
void Simulation::stray() {
    const auto& messages = upstream_.stream.messages();
    if (messages.empty()) {
        return;
    }
    const size_t back = std::min(messages.size() - 1, strays_.below(8));
    const uint64_t sequence = std::prev(messages.end(), static_cast<ptrdiff_t>(back) + 1)->first;
    switch (strays_.below(3)) {
        case 0:
            journal_.note("message " + std::to_string(sequence) + " is stored once more");
            upstream_.repeat(sequence);
            break;
        case 1:
            if (survives(upstream_.stream.last(), local_.stream.last(), sequence)) {
                journal_.note("message " + std::to_string(sequence) + " moves to the end");
                upstream_.put_off(sequence);
            }
            break;
        default:
            journal_.note("an old primary publishes");
            upstream_.put_stale("b" + std::to_string(strays_.below(12)),
                                static_cast<uint64_t>(to_microseconds(time_.now())));
    }
}

void Simulation::purge() {
    test::MemoryStream& stream = chance_.one_in(2) ? upstream_.stream : local_.stream;
    const auto place = protocol::find_behind(stream, cluster, epoch, applied_everywhere());
    const uint64_t margin = chance_.below(20);
    if (place.sequence > margin) {
        stream.purge_below(place.sequence - margin);
    }
}

}  // namespace antipode::simulation
