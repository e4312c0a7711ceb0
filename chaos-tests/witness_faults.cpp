// A witness arbitrates: primaries that see nobody, and who watches over them is away.
#include <csignal>
#include <future>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/insister.hpp"
#include "chaos-tests/promotion.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

/// The lease's lifetime and a second.
constexpr milliseconds most_until_refused = 16s;
/// A lifetime, and what clocks and fences need.
constexpr milliseconds most_lease_wait = 20s;
constexpr milliseconds longer_than_a_lease = 17s;
constexpr milliseconds patience = 60s;

std::filesystem::path clone_of(Stage& stage) {
    return stage.sites.pair.temporary / "insists";
}

milliseconds between(int64_t since_us, int64_t until_us) {
    return std::chrono::duration_cast<milliseconds>(std::chrono::microseconds(until_us - since_us));
}

void must_become(Stage& stage, const Site& site, const std::string& filter,
                 const std::string& what) {
    if (!test::eventually([&] { return site.status(filter) == "true"; }, patience)) {
        throw std::runtime_error(site.name + " " + what + ": " +
                                 site.status(".lease").value_or("") + stage.describe());
    }
}

/// At the witness and at all other sites, which see, too, that somebody enforces it.
void await_lease(Stage& stage, const Site& site) {
    must_become(stage, site,
                "[.lease.holds, .lease.at_witness, .lease.at_sites, .lease.fencer.runs] | all",
                "does not hold the lease both ways");
    for (const Site* mirror : stage.mirrors()) {
        must_become(stage, *mirror, R"(.lease.obstacle == "")",
                    "sees something in the way of taking the lease");
    }
}

void await_acknowledged(const Insister& client) {
    if (!test::eventually([&] { return client.seen().acknowledged_us.has_value(); }, patience)) {
        throw std::runtime_error("it takes no writes before anything happens: " +
                                 client.seen().last);
    }
}

/// Of a primary that has seen nobody since `cut_us`: when it was seen to refuse.
int64_t await_refusal(Stage& stage, const Site& site, const Insister& client, int64_t cut_us) {
    const bool refuses =
        test::eventually([&] { return client.seen().refused_us.has_value(); }, patience);
    const Insister::Seen seen = client.seen();
    const milliseconds took = between(cut_us, seen.refused_us.value_or(now_us()));
    stage.expect(refuses && took < most_until_refused, Invariant::RefusesAlone,
                 site.name + (refuses ? " refused writes " : " did not refuse writes for ") +
                     std::to_string(took.count()) + " ms after it was cut off: " + seen.last);
    if (!refuses) {
        throw std::runtime_error(site.name + " takes writes alone: " + stage.describe());
    }
    stage.refused.push_back(took);
    return *seen.refused_us;
}

/// Sees nobody from now on but `seen`, while its clients write on. When that began.
int64_t cut_off(Stage& stage, const Site& site, const Site* seen = nullptr) {
    const int64_t cut_us = now_us();
    stage.sites.isolate(site, stage.chance.one_in(2), seen);
    // Some had begun before.
    stage.hold(Stage::writers + stage.some(12));
    return cut_us;
}

/// By the seed its daemon lives, stands still or dies, and the fencer is alone with it. What makes
/// it go on as if nothing had been.
std::function<void()> maybe_lose_daemon(Stage& stage, Site& site) {
    switch (stage.chance.below(4)) {
        case 0:
            site.daemon().signal(SIGSTOP);
            return [&site] { site.daemon().signal(SIGCONT); };
        case 1:
            site.kill();
            return [&site] { site.start(); };
        default:
            return [] {};
    }
}

/// Something was acknowledged in vain; else nothing is shown of what becomes of it.
void must_have_gone_on(Stage& stage, const Site& site, int64_t cut_us) {
    for (const Operation& operation : stage.history.operations()) {
        if (operation.outcome == Operation::Outcome::Ok && operation.site == site.name &&
            operation.began_us > cut_us) {
            return;
        }
    }
    stage.miss("no write of a client was acknowledged behind the cut");
}

/// How long a promotion would wait for the lease: nobody's word is needed.
milliseconds lease_wait(Stage& stage, Site& to) {
    must_be_ready(to, "failover");
    const auto preflight = nlohmann::json::parse(
        to.antipode({"preflight", "--to", to.name, "--mode", "failover", "-o", "json"}).output);
    const std::string obstacle = preflight.at("lease_obstacle");
    if (!obstacle.empty()) {
        throw std::runtime_error(to.name + " could not wait for the lease: " + obstacle);
    }
    const milliseconds wait(
        static_cast<int64_t>(1000 * preflight.at("lease_seconds").get<double>()));
    stage.expect(
        wait <= most_lease_wait, Invariant::Recovers,
        "a promotion would wait for the lease for " + std::to_string(wait.count()) + " ms");
    return wait;
}

/// No word but to do it.
test::CommandResult tell_to_promote_by_lease(const Site& to) {
    return to.antipode({"promote", to.name, "--confirm", to.name, "-o", "json"});
}

/// As a service manager starts it; it waits for the lease anew, if it had not taken it.
constexpr milliseconds most_begun_anew = 20s;

void kill_on_its_way(Stage& stage, Site& to, size_t line,
                     const std::future<test::CommandResult>& answer) {
    test::eventually(
        [&] {
            return journal_lines(to) >= line || answer.wait_for(0s) == std::future_status::ready;
        },
        patience);
    to.kill();
    // It may be open as soon as it is started, and nobody writes there before it was looked at.
    stage.workload.stop();
    to.start();
}

/// By seed it is told while the old one takes writes still, or once that refuses them.
Promotion promote_by_lease(Stage& stage, Site& old, Site& to, const Insister& client,
                           int64_t cut_us) {
    std::optional<int64_t> refused_us;
    if (stage.chance.one_in(2)) {
        refused_us = await_refusal(stage, old, client, cut_us);
    }
    const milliseconds wait = lease_wait(stage, to);
    Insister early(to, {});
    const bool dies = stage.chance.one_in(3);
    // Cutting, claiming, preparing, opening.
    const size_t line = journal_lines(to) + 1 + stage.chance.below(4);
    const int64_t word_us = now_us();
    auto answer = std::async(std::launch::async, [&] { return tell_to_promote_by_lease(to); });
    if (dies) {
        kill_on_its_way(stage, to, line, answer);
    }
    if (!refused_us) {
        refused_us = await_refusal(stage, old, client, cut_us);
    }
    // Nobody writes there before it was looked at.
    stage.workload.stop();
    const test::CommandResult done = answer.get();
    if (done.status != 0) {
        throw std::runtime_error("promote: " + done.error + done.output);
    }
    const milliseconds most = 30s + wait + (dies ? most_begun_anew : 0s);
    const Word word{word_us, cut_us, *refused_us, most};
    Promotion promotion = note_promotion(stage, old, to, word, done.output);
    const auto takes = early.seen().first_begun_us;
    stage.expect(takes && *takes > client.seen().acknowledged_us.value_or(0), Invariant::OneWriter,
                 to.name + " took a row before " + old.name + " had ceased to, or takes none");
    const std::string proof =
        test::value_of(to.antipode({"loss", promotion.operation, "-o", "json"}).output,
                       ".. | .fenced_by? // empty");
    stage.expect(proof.find("the lease of " + old.name + " ran out") != std::string::npos,
                 Invariant::Stated, "the promotion does not say that the lease ran out: " + proof);
    return promotion;
}

/// It lives, and nobody sees it: another site takes its place, it comes back, and takes its own.
/// `seen`: but for that one.
void isolate_primary(Stage& stage, const Site* seen) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    await_lease(stage, old);
    Insister client(old, clone_of(stage));
    await_acknowledged(client);
    const int64_t cut_us = cut_off(stage, old, seen);
    must_have_gone_on(stage, old, cut_us);
    const std::function<void()> go_on = maybe_lose_daemon(stage, old);
    const Promotion promotion = promote_by_lease(stage, old, to, client, cut_us);
    stage.workload.start();
    stage.load(Stage::writers * 2);
    for (const Site* site : stage.mirrors()) {
        if (site != &old) {
            await_following(stage, *site);  // it may have more than was cut
        }
    }
    stage.expect_refusal(old);
    stage.sites.heal();
    go_on();
    stage.load(Stage::writers);
    return_isolated_primary(stage, promotion);
    client.stop();
    const Insister::Seen said = client.seen();
    stage.expect(said.refused_us.has_value(), Invariant::OneWriter,
                 old.name + " took writes again while " + to.name + " served");
    switch_over(stage, old);
}

/// Neither the primary nor the mirror.
const Site& third_site(Stage& stage) {
    for (const Site* site : stage.mirrors()) {
        if (site != &stage.mirror()) {
            return *site;
        }
    }
    throw std::logic_error("there is no third site");
}

/// The witness alone is away; nobody else notices.
std::function<void()> take_witness_away(Stage& stage) {
    test::NatsServer& witness = stage.sites.witness();
    switch (stage.chance.below(3)) {
        case 0:
            witness.kill();
            return [&witness] { witness.start(); };
        case 1:
            witness.process().signal(SIGSTOP);
            return [&witness] { witness.process().signal(SIGCONT); };
        default:
            stage.sites.cut_witness();
            return [&stage] { stage.sites.heal(); };
    }
}

void await_the_end_of_a_lease(const Site& site, const Insister& client) {
    const auto end = std::chrono::steady_clock::now() + longer_than_a_lease;
    test::eventually(
        [&] {
            return std::chrono::steady_clock::now() >= end ||
                   !std::filesystem::exists(test::Pair::opened(site)) || client.seen().refused_us;
        },
        2 * longer_than_a_lease);
}

/// Writes go on for longer than a lease lasts.
void expect_no_pause(Stage& stage, const Site& site, Insister& client, const std::string& why) {
    client.look_anew();
    await_the_end_of_a_lease(site, client);
    const Insister::Seen seen = client.seen();
    stage.expect(std::filesystem::exists(test::Pair::opened(site)) && seen.acknowledged_us &&
                     !seen.refused_us,
                 Invariant::Recovers, site.name + " takes no writes, " + why + ": " + seen.last);
    stage.load(Stage::writers);
}

/// Whoever serves does so by the promise of all others; a promotion would want a word.
void lose_witness(Stage& stage) {
    Site& primary = stage.primary();
    await_lease(stage, primary);
    Insister client(primary, clone_of(stage));
    await_acknowledged(client);
    const std::function<void()> bring_back = take_witness_away(stage);
    expect_no_pause(stage, primary, client, "though the witness alone is away");
    client.stop();
    must_become(stage, primary, "[.lease.holds, .lease.at_sites, (.lease.at_witness | not)] | all",
                "does not say by what it holds the lease");
    must_become(stage, stage.mirror(), ".lease.obstacle | contains(\"witness\")",
                "does not say that a promotion could not wait");
    if (stage.chance.one_in(2)) {
        switch_over(stage);
    }
    bring_back();
    await_lease(stage, stage.primary());
}

/// Nobody enforces the lease, which holds; a promotion would want a word.
void serve_without_fencer(Stage& stage, Site& primary, Insister& client) {
    stage.sites.fencer(primary).kill();
    expect_no_pause(stage, primary, client, "though its fencer alone is dead");
    must_become(stage, primary, ".lease.fencer.runs | not", "does not say that no fencer runs");
    must_become(stage, stage.mirror(), ".lease.obstacle | length > 0",
                "does not say that a promotion could not wait");
    stage.sites.start_fencer(primary);
}

/// The daemon closes by itself, and opens nothing.
void isolate_without_fencer(Stage& stage, Site& primary, const Insister& client) {
    stage.sites.fencer(primary).kill();
    await_refusal(stage, primary, client, cut_off(stage, primary));
    stage.sites.heal();
    must_become(stage, primary, ".lease.holds", "does not get its lease back");
    stage.expect_refusal(primary);
    stage.sites.start_fencer(primary);
}

/// It has begun to close, and a service manager starts it again.
void kill_fencer_as_it_closes(Stage& stage, Site& primary, const Insister& client) {
    const int64_t cut_us = cut_off(stage, primary);
    const auto begun = primary.directory / "state/fencer.closed";
    if (!test::eventually([&] { return std::filesystem::exists(begun); }, patience)) {
        throw std::runtime_error("the fencer closes nothing: " + stage.describe());
    }
    stage.sites.fencer(primary).kill();
    stage.sites.start_fencer(primary);
    await_refusal(stage, primary, client, cut_us);
    stage.sites.heal();
}

void lose_fencer(Stage& stage) {
    Site& primary = stage.primary();
    await_lease(stage, primary);
    Insister client(primary, clone_of(stage));
    await_acknowledged(client);
    switch (stage.chance.below(3)) {
        case 0:
            serve_without_fencer(stage, primary, client);
            break;
        case 1:
            isolate_without_fencer(stage, primary, client);
            break;
        default:
            kill_fencer_as_it_closes(stage, primary, client);
    }
    await_lease(stage, primary);
    stage.expect(&stage.primary() == &primary, Invariant::OneWriter,
                 "another site than " + primary.name + " serves, and nobody asked it to");
}

}  // namespace

std::vector<Fault> witness_faults() {
    std::vector<Fault> faults = {
        losing({"isolated-primary",
                "the primary sees neither witness nor site; promote by the lease, rejoin, "
                "switchover back",
                Need::Nothing, [](Stage& stage) { isolate_primary(stage, nullptr); }}),
        losing({"isolated-primary-seen", "the same; one of two other sites sees it all the time",
                Need::Nothing, [](Stage& stage) { isolate_primary(stage, &third_site(stage)); },
                3}),
        {"witness-away", "the witness dies, hangs or is cut off for longer than a lease",
         Need::Nothing, lose_witness},
        {"fencer-dies",
         "kill -9 of the primary's fencer, alone, before it is cut off, or behind it",
         Need::Nothing, lose_fencer},
    };
    for (Fault& fault : faults) {
        fault.witness = true;
    }
    return faults;
}

}  // namespace antipode::chaos
