#include "chaos-tests/promotion.hpp"

#include <algorithm>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "chaos-tests/quarantine.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

Loss read_loss(const std::string& text) {
    const auto report = nlohmann::json::parse(text).at("loss");
    Loss loss;
    loss.old_primary = report.at("old_primary");
    // Nothing has come of an epoch that had just begun: then it knows nothing.
    const auto& since = report.at("unknown_since_us");
    loss.unknown_since_us = since.is_null() ? 0 : since.get<int64_t>();
    for (const auto& item : report.at("losses")) {
        if (item.at("item").is_string()) {
            const auto name = item.at("item").get<std::string>();
            loss.named.insert(name);
            if (name.starts_with("xid ")) {
                loss.named.insert(name.substr(0, name.find(" at ")));
            }
        }
    }
    return loss;
}

/// Nobody writes yet.
void look_at_cut(Stage& stage, Promotion& promotion) {
    promotion.cut = look(promotion.to);
    promotion.clones = stage.sites.pair.temporary / ("cut-" + promotion.operation);
    for (int writer = 0; writer < Stage::writers; ++writer) {
        const std::string name = Sites::repository(writer);
        test::must_run({"git", "clone", "-q", "--mirror", (promotion.to.git_root / name).string(),
                        (promotion.clones / name).string()});
    }
}

/// A daemon that was killed is started again, as a service manager would.
void await_state_of_killed(Stage& stage, Site& site, const std::string& state) {
    const bool reached = test::eventually(
        [&] {
            if (!site.daemon().running()) {
                site.kill();
                site.start();
            }
            return site.status(".failover.state") == state;
        },
        60s);
    if (!reached) {
        throw std::runtime_error(site.name + " is not " + state + ": " + stage.describe());
    }
}

/// It takes no writes. `dies`: on its way there.
void await_quarantined(Stage& stage, Site& site, bool dies) {
    if (dies) {
        stage.hold(1);
        site.kill();
        site.start();
    }
    await_state_of_killed(stage, site, "quarantined");
    stage.expect_refusal(site);
}

/// As it was: it must not serve. The process that it has then.
pid_t bring_back(Stage& stage, Site& site, const std::vector<std::string>& tracer) {
    stage.sites.start_servers(site);
    site.start(tracer);
    const pid_t process = site.daemon().pid();
    await_quarantined(stage, site, tracer.empty() && stage.chance.one_in(2));
    return process;
}

/// The new primary gets it from the old one.
std::string await_final_report(const Promotion& promotion) {
    std::string report;
    const bool final = test::eventually([&] {
        report = promotion.to.antipode({"loss", promotion.operation, "-o", "json"}).output;
        return report.find("\"state\":\"final\"") != std::string::npos;
    });
    if (!final) {
        throw std::runtime_error("the loss report does not become final: " + report);
    }
    return report;
}

/// What only the old primary has is kept, and counted.
void check_what_is_kept(Stage& stage, const Promotion& promotion) {
    const View there = look(promotion.old);
    const Quarantine kept =
        read_quarantine(promotion.old.directory / "state/quarantine" / promotion.operation,
                        promotion.clones, await_final_report(promotion));
    Loss loss = stage.history.losses().at(promotion.loss);
    stage.expect(check_quarantine(promotion.cut, there, kept),
                 {Invariant::Kept, Invariant::Stated});
    // With that, everything that it acknowledged is there or here.
    auto earlier = stage.history.losses();
    earlier.erase(earlier.begin() + static_cast<std::ptrdiff_t>(promotion.loss));
    stage.expect(Checker(promotion.before, Sites::total, earlier).check_kept(there),
                 {Invariant::NothingLost});
    loss.exactly = names_in(kept);
    stage.lost += kept.stated.all;
    stage.history.learn(promotion.loss, loss);
}

/// It follows the new primary, with the operator's word.
void rejoin(Stage& stage, const Promotion& promotion, bool is_killed) {
    Site& old = promotion.old;
    const auto place = old.directory / "state/quarantine" / promotion.operation;
    const std::string losses = test::read_file(place / "losses.jsonl");
    const auto tell = [&] {
        return stage.any().antipode({"rejoin", old.name, "--yes", "-o", "json"});
    };
    test::CommandResult done = tell();
    if (is_killed && done.status != 0 &&
        test::eventually([&] { return !old.daemon().running(); }, 10s)) {
        // It died while it was told.
        old.kill();
        old.start();
        if (old.status(".failover.state") == "quarantined") {
            done = tell();
        } else {
            done.status = 0;
        }
    }
    if (done.status != 0) {
        throw std::runtime_error("rejoin: " + done.error + done.output);
    }
    if (!is_killed && stage.chance.one_in(2)) {
        old.kill();
        old.start();
    }
    await_state_of_killed(stage, old, "following");
    Loss loss = stage.history.losses().at(promotion.loss);
    loss.returned_us = now_us();
    stage.history.learn(promotion.loss, loss);
    const bool caught_up = stage.sites.caught_up(old, 60s);
    stage.expect(caught_up, Invariant::Recovers,
                 "the old primary does not catch up: " + (caught_up ? "" : stage.describe()));
    stage.expect(test::read_file(place / "losses.jsonl") == losses, Invariant::Kept,
                 "the quarantine has changed meanwhile");
}

}  // namespace

void must_be_ready(Site& to, const std::string& mode) {
    test::CommandResult answer;
    const bool ready = test::eventually(
        [&] {
            answer = to.antipode({"preflight", "--to", to.name, "--mode", mode});
            return answer.status == 0;
        },
        60s);
    if (!ready) {
        throw std::runtime_error("preflight refuses: " + answer.output + answer.error);
    }
}

void await_state(Stage& stage, const Site& site, const std::string& state) {
    const bool reached =
        test::eventually([&] { return site.status(".failover.state") == state; }, 60s);
    if (!reached) {
        throw std::runtime_error(site.name + " is not " + state + ": " + stage.describe());
    }
}

size_t journal_lines(const Site& site) {
    const std::filesystem::path file = journal_of(site);
    if (!std::filesystem::exists(file)) {
        return 0;
    }
    const std::string text = test::read_file(file);
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

void await_roles(Stage& stage) {
    const auto all = stage.sites.all();
    const auto has_roles = [&](Site* site) { return stage.sites.pair.has_roles(*site); };
    const bool settled =
        test::eventually([&] { return std::any_of(all.begin(), all.end(), has_roles); }, 60s);
    stage.expect(
        settled, Invariant::Recovers,
        "not one site serves, with the others behind it: " + (settled ? "" : stage.describe()));
}

void await_following(Stage& stage, const Site& site) {
    const auto state = [&] { return site.status(".failover.state").value_or(""); };
    const auto epoch = [](const Site& of) { return of.status(".failover.epoch").value_or(""); };
    // It may not have seen yet that another epoch has begun.
    test::eventually(
        [&] {
            return epoch(site) == epoch(stage.primary()) &&
                   (state() == "following" || state() == "quarantined");
        },
        60s);
    if (state() == "quarantined") {
        site.antipode({"rejoin", site.name, "--yes"});
    }
    await_state(stage, site, "following");
}

void lose_primary(Stage& stage, Site& site) {
    stage.sites.reset(site);
    stage.hold(stage.some(12));
    std::filesystem::remove(test::Pair::opened(site));
    stage.sites.kill(site);
    stage.workload.stop();
}

test::CommandResult tell_to_promote(const Site& to) {
    return to.antipode({"promote", to.name, "--confirm", to.name, "-o", "json", "--fenced-by",
                        "its machine is off"});
}

Promotion promote(Stage& stage, Site& old, Site& to) {
    must_be_ready(to, "failover");
    const int64_t word_us = now_us();
    const test::CommandResult done = tell_to_promote(to);
    if (done.status != 0) {
        throw std::runtime_error("promote: " + done.error + done.output);
    }
    return go_on_after(stage, old, to, word_us, done.output);
}

Promotion note_promotion(Stage& stage, Site& old, Site& to, const Word& word,
                         const std::string& answer) {
    const std::chrono::microseconds took(now_us() - word.given_us);
    stage.opened.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(took));
    stage.expect(took < word.most, Invariant::Recovers,
                 "open for writes " + std::to_string(took.count()) + " us after the word");
    Loss loss = read_loss(answer);
    loss.lost_us = word.lost_us;
    loss.promoted_us = word.fenced_us;
    Promotion promotion{old,
                        to,
                        nlohmann::json::parse(answer).at("operation"),
                        stage.history.lose(loss),
                        stage.history.operations(),
                        {},
                        {}};
    look_at_cut(stage, promotion);
    return promotion;
}

Promotion go_on_after(Stage& stage, Site& old, Site& to, int64_t word_us,
                      const std::string& answer) {
    // It is off: nothing was acknowledged since.
    Promotion promotion = note_promotion(stage, old, to, {word_us, word_us, word_us}, answer);
    stage.sites.heal();
    stage.workload.start();
    stage.load(Stage::writers * 3);
    return promotion;
}

void return_old_primary(Stage& stage, const Promotion& promotion,
                        const std::vector<std::string>& tracer) {
    const pid_t process = bring_back(stage, promotion.old, tracer);
    check_what_is_kept(stage, promotion);
    stage.load(Stage::writers);
    rejoin(stage, promotion, !tracer.empty());
    stage.expect(tracer.empty() || promotion.old.daemon().pid() != process, Invariant::Recovers,
                 promotion.old.name + " was to be killed, and was not");
}

void return_isolated_primary(Stage& stage, const Promotion& promotion) {
    await_quarantined(stage, promotion.old, stage.chance.one_in(2));
    check_what_is_kept(stage, promotion);
    stage.load(Stage::writers);
    rejoin(stage, promotion, false);
}

void return_lost_target(Stage& stage, const Promotion& promotion) {
    Site& target = promotion.old;
    stage.sites.boot(target);
    const auto state = [&] { return target.status(".failover.state").value_or(""); };
    const bool settled = test::eventually(
        [&] {
            return state() == "quarantined" ||
                   (state() == "following" &&
                    target.status(".epoch") == promotion.to.status(".epoch"));
        },
        60s);
    if (!settled) {
        throw std::runtime_error(target.name + " does not come back: " + stage.describe());
    }
    stage.expect_refusal(target);
    if (state() == "quarantined") {
        check_what_is_kept(stage, promotion);
        stage.load(Stage::writers);
        rejoin(stage, promotion, false);
        return;
    }
    const auto report = nlohmann::json::parse(await_final_report(promotion));
    stage.expect(report.at("known_lost") == 0, Invariant::Stated,
                 "a target that follows at once has lost something: " + report.dump());
    Loss loss = stage.history.losses().at(promotion.loss);
    loss.exactly.emplace();
    loss.returned_us = now_us();
    stage.history.learn(promotion.loss, loss);
}

}  // namespace antipode::chaos
