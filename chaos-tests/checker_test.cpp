// The checker is checked: a good history passes, and each bad one, made by hand, is caught.
#include "chaos-tests/checker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::chaos {
namespace {

using Kind = Operation::Kind;
using Outcome = Operation::Outcome;

constexpr int64_t total = 8000;

/// A history in the making, and the primary as it is when all went well.
class World {
  public:
    /// Puts 0, 1, 2 ... of one writer, acknowledged by london at 10, 20, 30 ...
    explicit World(int puts = 4) {
        view.sum = total;
        view.dump = "a\nb\n";
        for (int number = 0; number < puts; ++number) {
            put(number, Outcome::Ok);
            show(number);
        }
    }
    Operation& put(int number, Outcome outcome, const std::string& site = "london") {
        Operation& made = add(Kind::Put, outcome, site);
        made.number = number;
        made.path = path(number);
        made.sha256 = "sha" + std::to_string(number);
        made.commit = "commit" + std::to_string(number);
        return made;
    }
    Operation& remove(int number, Outcome outcome) {
        Operation& made = add(Kind::Remove, outcome, "london");
        made.number = number;
        made.path = path(number);
        return made;
    }
    Operation& overwrite(const std::string& sha256, Outcome outcome) {
        Operation& made = add(Kind::Overwrite, outcome, "london");
        made.path = "mutable/0";
        made.sha256 = sha256;
        return made;
    }
    Operation& move(const std::string& commit, Outcome outcome) {
        Operation& made = add(Kind::Move, outcome, "london");
        made.commit = commit;
        return made;
    }
    Operation& write_large_object(const std::string& sha256, Outcome outcome,
                                  const std::string& site = "london") {
        Operation& made = add(Kind::LargeObject, outcome, site);
        made.number = oid;
        made.sha256 = sha256;
        return made;
    }
    static constexpr int oid = 1'000'000;
    Operation& change_structure(const std::string& name, Outcome outcome) {
        Operation& made = add(Kind::Structure, outcome, "london");
        made.structure = name;
        return made;
    }
    void show(int number) {
        const std::string text = std::to_string(number);
        view.rows[{0, number}] = {"w0.git", path(number), "sha" + text, "commit" + text};
        view.files[path(number)] = "sha" + text;
        view.commits["w0.git"].insert("commit" + text);
    }
    void hide(int number) {
        view.rows.erase({0, number});
        view.files.erase(path(number));
        view.commits["w0.git"].erase("commit" + std::to_string(number));
    }
    static std::string path(int number) { return "w0/" + std::to_string(number); }
    Checker checker(std::vector<Loss> losses = {}) const { return {history, total, losses}; }
    Violations kept(std::vector<Loss> losses = {}) const {
        return checker(std::move(losses)).check_kept(view);
    }

    std::vector<Operation> history;
    View view;

  private:
    Operation& add(Kind kind, Outcome outcome, const std::string& site) {
        Operation operation;
        operation.kind = kind;
        operation.site = site;
        operation.repository = "w0.git";
        operation.outcome = outcome;
        operation.invoked_us = operation.began_us = clock_ + 1;
        operation.done_us = operation.ended_us = clock_ += 10;
        history.push_back(operation);
        return history.back();
    }
    int64_t clock_ = 0;
};

/// london was lost at 1000, and what it acknowledged after `unknown_since` may be.
Loss loss_since(int64_t unknown_since) {
    Loss loss;
    loss.old_primary = "london";
    loss.lost_us = 1000;
    loss.promoted_us = 1000;
    loss.unknown_since_us = unknown_since;
    return loss;
}

MATCHER_P(Breaks, invariant, std::string("breaks: ") + name_of(invariant)) {
    return arg.size() == 1 && arg.front().invariant == invariant;
}

std::vector<std::string> texts(const Violations& violations) {
    std::vector<std::string> all;
    for (const Violation& violation : violations) {
        all.push_back(violation.text);
    }
    return all;
}

TEST(GoodHistory, Passes) {
    World world;
    world.remove(1, Outcome::Ok);
    world.hide(1);
    world.put(4, Outcome::Failed);
    world.put(5, Outcome::Unknown);
    world.put(6, Outcome::Unknown);
    world.show(6);
    world.remove(2, Outcome::Unknown);
    world.view.rows.erase({0, 2});
    world.overwrite("old", Outcome::Ok);
    world.overwrite("new", Outcome::Ok);
    world.view.files["mutable/0"] = "new";
    world.move("commit1", Outcome::Ok);
    world.move("commit3", Outcome::Unknown);
    world.view.refs["w0.git refs/heads/side"] = "commit1";
    world.change_structure("note_0_0", Outcome::Ok);
    world.change_structure("by_0_1", Outcome::Unknown);
    world.change_structure("more_0_2", Outcome::Failed);
    world.view.structure = {"note_0_0"};
    world.put(7, Outcome::Ok).note = "note_0_0=v7";
    world.show(7);
    world.view.rows[{0, 7}].notes = "note_0_0=v7,note_1_0=none";
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
    EXPECT_THAT(texts(Checker::check_references(world.view)), testing::IsEmpty());
    EXPECT_THAT(texts(world.checker().check_transactions(world.view)), testing::IsEmpty());
    EXPECT_THAT(texts(world.checker().check_recovery_point(world.view, 1'000'000)),
                testing::IsEmpty());
    EXPECT_THAT(texts(Checker::check_equal(world.view, world.view)), testing::IsEmpty());
    EXPECT_THAT(texts(world.checker().check_one_writer()), testing::IsEmpty());
}

TEST(BadHistory, AnAcknowledgedRowIsLost) {
    World world;
    world.view.rows.erase({0, 3});
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, TheFileOfAnAcknowledgedWriteIsLost) {
    World world;
    world.view.files.erase(World::path(2));
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, TheFileOfAnAcknowledgedWriteIsAnother) {
    World world;
    world.view.files[World::path(2)] = "other";
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, TheCommitOfAnAcknowledgedWriteIsLost) {
    World world;
    world.view.commits["w0.git"].erase("commit0");
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, TheWholeRepositoryIsLost) {
    World world(1);
    world.view.commits.clear();
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, AnOverwrittenFileHasItsOldContentAgain) {
    World world;
    world.overwrite("old", Outcome::Ok);
    world.overwrite("new", Outcome::Ok);
    world.view.files["mutable/0"] = "old";
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, AnOverwrittenFileIsGone) {
    World world;
    world.overwrite("new", Outcome::Ok);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, AForcedPushIsUndone) {
    World world;
    world.move("commit0", Outcome::Ok);
    world.move("commit1", Outcome::Ok);
    world.view.refs["w0.git refs/heads/side"] = "commit0";
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, ARemovedRowComesBack) {
    World world;
    world.remove(1, Outcome::Ok);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingResurrected));
}

TEST(BadHistory, ARemovedFileComesBack) {
    World world;
    world.remove(1, Outcome::Ok);
    world.view.rows.erase({0, 1});
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingResurrected));
}

TEST(BadHistory, ARemovalThatWasRefusedHasHappened) {
    World world;
    world.remove(1, Outcome::Failed);
    world.hide(1);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, ARefusedWriteIsThere) {
    World world;
    world.put(4, Outcome::Failed);
    world.show(4);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingInvented));
}

TEST(BadHistory, AFileIsThereThatNobodyWrote) {
    World world;
    world.view.files["w0/stray"] = "sha";
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingInvented));
}

TEST(BadHistory, AVisibleRowNamesWhatIsNotThere) {
    World world;
    world.view.files.erase(World::path(3));
    EXPECT_THAT(Checker::check_references(world.view), Breaks(Invariant::References));
    world = World();
    world.view.commits["w0.git"].erase("commit3");
    EXPECT_THAT(Checker::check_references(world.view), Breaks(Invariant::References));
    world = World();
    world.view.files[World::path(3)] = "half of it";
    EXPECT_THAT(Checker::check_references(world.view), Breaks(Invariant::References));
}

TEST(BadHistory, HalfATransferIsSeen) {
    World world;
    world.view.sum = total - 7;
    EXPECT_THAT(world.checker().check_transactions(world.view), Breaks(Invariant::Transactions));
}

TEST(BadHistory, HalfALargeTransactionIsSeen) {
    World world;
    for (int number = 1; number <= View::bulk_rows; ++number) {
        world.view.bulk[{0, number}] = "7 content";
    }
    EXPECT_THAT(texts(world.checker().check_transactions(world.view)), testing::IsEmpty());
    world.view.bulk[{0, 3}] = "8 content";
    EXPECT_THAT(world.checker().check_transactions(world.view), Breaks(Invariant::Transactions));
    world.view.bulk.erase({0, 3});
    EXPECT_THAT(world.checker().check_transactions(world.view), Breaks(Invariant::Transactions));
}

TEST(BadHistory, AChangeOfTheStructureIsLost) {
    World world;
    world.change_structure("note_0_0", Outcome::Ok);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
    world.view.structure = {"note_0_0"};
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
}

TEST(BadHistory, AChangeOfTheStructureThatWasRefusedHasHappened) {
    World world;
    world.change_structure("by_0_0", Outcome::Failed);
    world.view.structure = {"by_0_0"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingInvented));
}

TEST(BadHistory, ARowIsWithoutItsValueInAColumnThatWasAdded) {
    World world;
    world.put(4, Outcome::Ok).note = "note_0_0=v4";
    world.show(4);
    world.view.rows[{0, 4}].notes = "note_0_0=v41";
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 0),
                Breaks(Invariant::Transactions));
}

TEST(BadHistory, ARowOfATableThatWasAddedIsLost) {
    World world;
    world.put(4, Outcome::Ok).structure = "more_0_0";
    world.show(4);
    world.view.more = {"more_0_0 0/3"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(BadHistory, TheRecoveryPointPromisesAStructureThatIsNotThere) {
    World world;
    const int64_t done = world.change_structure("more_0_0", Outcome::Ok).done_us;
    EXPECT_THAT(texts(world.checker().check_recovery_point(world.view, done - 1)),
                testing::IsEmpty());
    EXPECT_THAT(world.checker().check_recovery_point(world.view, done),
                Breaks(Invariant::RecoveryPoint));
}

TEST(BadHistory, TheRecoveryPointPromisesARowThatIsNotThere) {
    World world;
    world.view.rows.erase({0, 3});  // acknowledged at 40
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 39), testing::IsEmpty());
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 40),
                Breaks(Invariant::RecoveryPoint));
}

TEST(BadHistory, TheRecoveryPointPromisesARemovalThatHasNotHappened) {
    World world;
    world.remove(0, Outcome::Ok);  // acknowledged at 50
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 49), testing::IsEmpty());
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 50),
                Breaks(Invariant::RecoveryPoint));
}

TEST(BadHistory, TheRecoveryPointPromisesContentThatIsNotThere) {
    World world;
    world.overwrite("old", Outcome::Ok);  // acknowledged at 50
    world.overwrite("new", Outcome::Ok);  // acknowledged at 60
    world.view.files["mutable/0"] = "old";
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 59), testing::IsEmpty());
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 60),
                Breaks(Invariant::RecoveryPoint));
    world = World();
    world.move("commit1", Outcome::Ok);
    world.move("commit3", Outcome::Ok);
    world.view.refs["w0.git refs/heads/side"] = "commit1";
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 59), testing::IsEmpty());
    EXPECT_THAT(world.checker().check_recovery_point(world.view, 60),
                Breaks(Invariant::RecoveryPoint));
}

TEST(BadHistory, ANumberIsGivenOutTwice) {
    World world;
    world.history[0].ticket = 7;
    world.history[1].ticket = 8;
    EXPECT_THAT(texts(world.checker().check_numbers()), testing::IsEmpty());
    world.history[2].ticket = 7;
    EXPECT_THAT(world.checker().check_numbers(), Breaks(Invariant::NumbersOnce));
    world.history[2].outcome = Outcome::Unknown;
    EXPECT_THAT(texts(world.checker().check_numbers()), testing::IsEmpty());
}

TEST(LargeObjects, AreWhatWasWrittenLast) {
    World world;
    world.write_large_object("old", Outcome::Ok);
    world.write_large_object("new", Outcome::Ok);
    world.write_large_object("refused", Outcome::Failed);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost)) << "it is not there";
    world.view.large_objects[World::oid] = {"old", "app"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
    world.view.large_objects[World::oid] = {"refused", "app"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
    world.view.large_objects[World::oid] = {"new", "app"};
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
    world.write_large_object("perhaps", Outcome::Unknown);
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
    world.write_large_object("", Outcome::Ok);
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost)) << "it was unlinked";
    world.view.large_objects = {{World::oid + 1, {"new", "app"}}};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingInvented));
}

TEST(LargeObjects, AreAnyOfThoseBeforeOnANewPrimary) {
    World world;
    world.write_large_object("old", Outcome::Ok);
    world.write_large_object("new", Outcome::Ok);
    world.put(4, Outcome::Ok, "sydney");
    world.show(4);
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
    world.view.large_objects[World::oid] = {"old", "app"};
    EXPECT_THAT(texts(world.kept()), testing::IsEmpty());
    world.view.large_objects[World::oid] = {"of nobody", "app"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
    world.write_large_object("newest", Outcome::Ok, "sydney");
    world.view.large_objects[World::oid] = {"new", "app"};
    EXPECT_THAT(world.kept(), Breaks(Invariant::NothingLost));
}

TEST(LargeObjects, AreThoseOfThePrimaryBehindACheck) {
    View one;
    one.large_objects = {{1, {"a", "app"}}, {2, {"b", "app"}}};
    View other = one;
    EXPECT_THAT(texts(Checker::check_large_objects(one, other)), testing::IsEmpty());
    other.large_objects[2].sha256 = "c";
    EXPECT_THAT(Checker::check_large_objects(one, other), Breaks(Invariant::Equal));
    other.large_objects[2] = {"b", "antipode"};
    EXPECT_THAT(Checker::check_large_objects(one, other), Breaks(Invariant::Equal));
    other.large_objects.erase(2);
    EXPECT_THAT(Checker::check_large_objects(one, other), Breaks(Invariant::Equal));
    EXPECT_THAT(Checker::check_large_objects(other, one), Breaks(Invariant::Equal));
}

TEST(BadHistory, SitesDifferAtTheEnd) {
    const World world;
    const auto differs = [&](const std::function<void(View&)>& change) {
        View other = world.view;
        change(other);
        return Checker::check_equal(world.view, other);
    };
    const auto breaks = Breaks(Invariant::Equal);
    EXPECT_THAT(differs([](View& view) { view.dump = "a\nc\n"; }), breaks);
    EXPECT_THAT(differs([](View& view) { view.files["more"] = "x"; }), breaks);
    EXPECT_THAT(differs([](View& view) { view.files.erase(World::path(0)); }), breaks);
    EXPECT_THAT(differs([](View& view) { view.files[World::path(0)] = "x"; }), breaks);
    EXPECT_THAT(differs([](View& view) { view.refs["w0.git refs/heads/main"] = "x"; }), breaks);
    EXPECT_THAT(differs([](View& view) { view.broken.emplace_back("missing blob"); }), breaks);
    EXPECT_THAT(texts(differs([](View& view) { view.dump = "a\nc\n"; })),
                testing::ElementsAre("the databases differ: \"b\" and \"c\""));
}

// A promotion without the old primary: what it acknowledged at last may be lost, and nothing else.

TEST(Promotion, MayLoseTheEndOfWhatTheOldPrimaryAcknowledged) {
    World world;
    world.hide(2);
    world.hide(3);
    EXPECT_THAT(texts(world.kept({loss_since(25)})), testing::IsEmpty());
}

TEST(BadPromotion, LosesWhatItSaysThatItHas) {
    World world;
    world.hide(3);
    EXPECT_THAT(world.kept({loss_since(40)}), Breaks(Invariant::NothingLost));
}

TEST(BadPromotion, LosesMoreThanItNames) {
    World world;
    world.hide(3);
    Loss loss = loss_since(40);
    loss.named = {World::path(3)};
    EXPECT_THAT(texts(world.kept({loss})), testing::IsEmpty());
    loss.named = {World::path(2)};
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingLost));
    // A row alone, by the transaction that wrote it.
    world.history[3].xid = "xid 743";
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingLost));
    loss.named = {"xid 742"};
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingLost));
    loss.named = {"xid 743"};
    EXPECT_THAT(texts(world.kept({loss})), testing::IsEmpty());
}

TEST(BadPromotion, LosesOneInTheMiddle) {
    World world;
    world.hide(2);
    EXPECT_THAT(world.kept({loss_since(25)}), Breaks(Invariant::WholePrefix));
}

TEST(BadPromotion, LosesWhatTheNewPrimaryAcknowledged) {
    World world;
    world.put(4, Outcome::Ok, "sydney");
    EXPECT_THAT(world.kept({loss_since(25)}), Breaks(Invariant::NothingLost));
}

TEST(BadPromotion, BringsBackWhatWasRemovedLongBefore) {
    World world;
    world.remove(0, Outcome::Ok);  // acknowledged at 50
    EXPECT_THAT(world.kept({loss_since(50)}), Breaks(Invariant::NothingResurrected));
    EXPECT_THAT(texts(world.kept({loss_since(45)})), testing::IsEmpty());
}

TEST(BadPromotion, LeavesTheOldPrimaryTakingWrites) {
    World world;
    Operation& late = world.put(4, Outcome::Ok);
    late.began_us = 1001;
    late.ended_us = 1010;
    EXPECT_THAT(world.checker({loss_since(25)}).check_one_writer(), Breaks(Invariant::OneWriter));
}

TEST(BadPromotion, HasBothSitesTakeWritesAtATime) {
    World world;
    Operation& last = world.put(4, Outcome::Ok);
    last.began_us = 1010;
    last.ended_us = 1030;
    Operation& first = world.put(5, Outcome::Ok, "sydney");
    first.began_us = 1031;
    first.ended_us = 1035;
    Loss loss = loss_since(25);
    loss.promoted_us = 1020;
    EXPECT_THAT(texts(world.checker({loss}).check_one_writer()), testing::IsEmpty());
    first.began_us = 1029;
    EXPECT_THAT(world.checker({loss}).check_one_writer(), Breaks(Invariant::OneWriter));
    // It was the primary before, too.
    first.began_us = 990;
    EXPECT_THAT(texts(world.checker({loss}).check_one_writer()), testing::IsEmpty());
}

// Once the old primary is back, it is known what was lost.

TEST(BadReturn, WhatIsInNoQuarantineIsNotThere) {
    World world;
    world.hide(3);
    Loss loss = loss_since(25);
    loss.exactly = {"write 0/3", World::path(3)};
    EXPECT_THAT(texts(world.kept({loss})), testing::IsEmpty());
    loss.exactly = {"write 0/2"};
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingLost));
}

TEST(BadReturn, ARemovalHasNotHappenedAndIsNotNamed) {
    World world;
    world.remove(0, Outcome::Ok);
    Loss loss = loss_since(45);
    loss.exactly = {"write 0/0", World::path(0)};
    EXPECT_THAT(texts(world.kept({loss})), testing::IsEmpty());
    loss.exactly = {""};
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingResurrected));
}

TEST(BadReturn, AnOverwrittenFileIsOldAndNotNamed) {
    World world;
    world.overwrite("old", Outcome::Ok);
    world.overwrite("new", Outcome::Ok);
    world.view.files["mutable/0"] = "old";
    Loss loss = loss_since(55);
    loss.exactly = {"mutable/0"};
    EXPECT_THAT(texts(world.kept({loss})), testing::IsEmpty());
    loss.exactly = {"mutable/1"};
    EXPECT_THAT(world.kept({loss}), Breaks(Invariant::NothingLost));
}

TEST(Promotion, OfTheSameSiteLaterDoesNotMakeAnEarlierLossOneInTheMiddle) {
    World world(8);
    world.hide(3);
    Loss first = loss_since(35);
    first.promoted_us = 41;  // 4 to 7 were acknowledged once london was the primary again
    first.exactly = {"write 0/3"};
    Loss second = loss_since(65);
    second.exactly.emplace();
    EXPECT_THAT(texts(world.kept({first, second})), testing::IsEmpty());
    Loss preliminary = second;  // as long as nobody knows what is in its quarantine
    preliminary.exactly.reset();
    preliminary.named = {World::path(3), World::path(4)};
    EXPECT_THAT(texts(world.kept({first, preliminary})), testing::IsEmpty());
    second.exactly = {"write 0/6"};
    world.hide(6);
    EXPECT_THAT(world.kept({first, second}), Breaks(Invariant::WholePrefix));
}

TEST(BadReturn, ItTakesWritesBeforeItFollows) {
    World world;
    Operation& late = world.put(4, Outcome::Ok);
    late.began_us = 1001;
    late.ended_us = 1010;
    Loss loss = loss_since(25);
    loss.returned_us = 1000;
    EXPECT_THAT(texts(world.checker({loss}).check_one_writer()), testing::IsEmpty());
    loss.returned_us = 1002;
    EXPECT_THAT(world.checker({loss}).check_one_writer(), Breaks(Invariant::OneWriter));
}

TEST(History, IsKeptAsALineOfJsonForEachOperation) {
    World world(1);
    world.history[0].error = "no \"space\"\nleft";
    EXPECT_EQ(
        to_json_lines(world.history),
        "{\"bytes\":0,\"commit\":\"commit0\",\"done_us\":10,\"error\":\"no \\\"space\\\"\\nleft\","
        "\"invoked_us\":1,\"kind\":\"put\",\"note\":\"\",\"number\":0,\"outcome\":\"ok\","
        "\"path\":\"w0/0\",\"repository\":\"w0.git\",\"sha256\":\"sha0\",\"site\":\"london\","
        "\"structure\":\"\",\"ticket\":0,\"writer\":0,\"xid\":\"\"}\n");
}

}  // namespace
}  // namespace antipode::chaos
