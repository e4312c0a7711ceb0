// Three sites: what becomes of the third one when the primary changes between the others.
#include <future>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/promotion.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

/// Which versions of rows and files stand there that nobody touches: a new copy would make others.
std::string versions_on(const Site& site) {
    std::string all =
        site.sql("SELECT string_agg(concat_ws(' ', ctid, xmin), ',' ORDER BY id) FROM ballast");
    for (int number = 0; number < Sites::ballast; ++number) {
        const auto file = site.files_root / Sites::ballast_file(number);
        all += "; " + test::must_run({"stat", "-c", "%i %z", file.string()});
    }
    return all;
}

void expect_no_copy(Stage& stage, const Site& site, const std::string& before) {
    const std::string now = versions_on(site);
    stage.expect(now == before, Invariant::Recovers,
                 site.name + " was copied anew: " + before + " before, now " + now);
}

/// Each has a turn but the first one, which has two.
void switch_over_three(Stage& stage) {
    Site& first = stage.primary();
    const std::vector<Site*> others = stage.mirrors();
    std::map<Site*, std::string> before;
    for (Site* site : stage.sites.all()) {
        before[site] = versions_on(*site);
    }
    for (Site* to : {others[0], &first, others[1]}) {
        switch_over(stage, *to);
        stage.load(stage.some(12));
    }
    for (const auto& [site, versions] : before) {
        expect_no_copy(stage, *site, versions);
    }
}

/// Of the two mirrors; the one that was not promoted.
Site& rest_of(Stage& stage, const Promotion& promotion) {
    for (Site* site : stage.sites.all()) {
        if (site != &promotion.old && site != &promotion.to) {
            return *site;
        }
    }
    throw std::logic_error("there is no third site");
}

/// The old primary comes back while the other mirror follows already.
void end_with_third(Stage& stage, const Promotion& promotion, const std::string& versions) {
    const Site& third = rest_of(stage, promotion);
    await_following(stage, third);
    const bool caught_up = stage.sites.caught_up(third, 60s);
    stage.expect(caught_up, Invariant::Recovers,
                 third.name + " does not catch up: " + (caught_up ? "" : stage.describe()));
    expect_no_copy(stage, third, versions);
    return_old_primary(stage, promotion);
    expect_no_copy(stage, third, versions);
}

void promote_one_of_two(Stage& stage) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    std::map<std::string, std::string> versions;
    for (const Site* site : stage.mirrors()) {
        versions[site->name] = versions_on(*site);
    }
    lose_primary(stage, old);
    const Promotion promotion = promote(stage, old, to);
    end_with_third(stage, promotion, versions.at(rest_of(stage, promotion).name));
}

/// Two operators, who do not know of each other, in the same moment.
void promote_both(Stage& stage) {
    Site& old = stage.primary();
    const std::vector<Site*> mirrors = stage.mirrors();
    std::map<std::string, std::string> versions;
    for (const Site* site : mirrors) {
        versions[site->name] = versions_on(*site);
    }
    lose_primary(stage, old);
    for (Site* site : mirrors) {
        must_be_ready(*site, "failover");
    }
    const int64_t word_us = now_us();
    std::vector<std::future<test::CommandResult>> answers;
    for (const Site* site : mirrors) {
        answers.push_back(
            std::async(std::launch::async, [site] { return tell_to_promote(*site); }));
    }
    const test::CommandResult one = answers[0].get();
    const test::CommandResult other = answers[1].get();
    const auto text = [&](const test::CommandResult& said, const Site& site) {
        return site.name + " ended with " + std::to_string(said.status) + ": " + said.error +
               said.output;
    };
    const std::string both = text(one, *mirrors[0]) + "; " + text(other, *mirrors[1]);
    if ((one.status == 0) == (other.status == 0)) {
        throw std::runtime_error("not one of two promotions succeeds: " + both);
    }
    const size_t winner = one.status == 0 ? 0 : 1;
    const Site& loser = *mirrors[1 - winner];
    const std::string& refusal = winner == 0 ? other.error : one.error;
    stage.expect(refusal.find(mirrors[winner]->name) != std::string::npos, Invariant::OneWriter,
                 "who lost is not told who won: " + both);
    stage.expect(!std::filesystem::exists(test::Pair::opened(loser)), Invariant::OneWriter,
                 loser.name + " takes writes, too");
    const Promotion promotion =
        go_on_after(stage, old, *mirrors[winner], word_us, winner == 0 ? one.output : other.output);
    end_with_third(stage, promotion, versions.at(loser.name));
}

void stop_all_of(Site& site) {
    site.kill();
    site.nats.kill();
    site.postgres.kill();
}

/// The primary is all that is left of three: it serves on, and hands over to nobody.
void leave_primary_alone(Stage& stage) {
    const Site& primary = stage.primary();
    const std::vector<Site*> lost = stage.mirrors();
    for (Site* site : lost) {
        stop_all_of(*site);
    }
    stage.load(Stage::writers * 3);
    const std::string known = primary.antipode({"sites", "list"}).output;
    stage.expect(known.find(primary.name) != std::string::npos &&
                     primary.status(".failover.state") == "serving",
                 Invariant::OneWriter, primary.name + " is not the primary any more: " + known);
    for (Site* site : lost) {
        const test::CommandResult said =
            primary.antipode({"switchover", "--to", site->name, "--yes"});
        stage.expect(said.status == 4 && said.error.find(site->name) != std::string::npos,
                     Invariant::Refused,
                     "a switchover to a lost site ended with " + std::to_string(said.status) +
                         ": " + said.error);
    }
    stage.load(Stage::writers);
    for (Site* site : lost) {
        stage.sites.boot(*site);
    }
}

/// Where there is a witness, the lease that runs out is that word: as in isolated-primary.
void expect_no_promotion_without_a_word(Stage& stage, const Site& left, const Site& primary) {
    if (stage.sites.ground().witness) {
        return;
    }
    const test::CommandResult said = left.antipode({"promote", left.name, "--confirm", left.name});
    stage.expect(said.status == 2 && said.error.find("nobody but you can say that " +
                                                     primary.name) != std::string::npos,
                 Invariant::Refused,
                 "a promotion without a word on the primary ended with " +
                     std::to_string(said.status) + ": " + said.error);
}

/// A mirror is all that is left: it does not make itself the primary, nor on half a word.
void leave_mirror_alone(Stage& stage) {
    Site& primary = stage.primary();
    const Site& left = stage.mirror();
    std::vector<Site*> lost = stage.sites.others(left);
    for (Site* site : lost) {
        stop_all_of(*site);
    }
    stage.hold_or_outlast(stage.some(6));
    stage.expect_refusal(left);
    expect_no_promotion_without_a_word(stage, left, primary);
    stage.expect(left.status(".failover.state") == "following" &&
                     !std::filesystem::exists(test::Pair::opened(left)),
                 Invariant::OneWriter, left.name + " has taken the primary's place");
    for (Site* site : lost) {
        stage.sites.boot(*site);
    }
}

/// Two of three sites are lost. No site counts votes: whoever was the primary is it.
void lose_most_sites(Stage& stage) {
    leave_primary_alone(stage);
    for (const Site* site : stage.mirrors()) {
        const bool caught_up = stage.sites.caught_up(*site, 60s);
        stage.expect(caught_up, Invariant::Recovers,
                     site->name + " does not catch up: " + (caught_up ? "" : stage.describe()));
    }
    leave_mirror_alone(stage);
}

}  // namespace

std::vector<Fault> third_site_faults() {
    return {
        {"switchover-three", "under load to one of two mirrors, back, and to the other",
         Need::Nothing, switch_over_three, 3},
        losing({"promotion-three",
                "the primary is lost, one of two mirrors promoted, the other follows",
                Need::Nothing, promote_one_of_two, 3}),
        losing({"two-promotions",
                "the primary is lost, both mirrors are told to take its place at once",
                Need::Nothing, promote_both, 3}),
        {"quorum-lost", "two of three sites are lost: the mirrors, then the primary and a mirror",
         Need::Nothing, lose_most_sites, 3},
    };
}

}  // namespace antipode::chaos
