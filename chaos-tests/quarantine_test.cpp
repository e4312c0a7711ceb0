// A quarantine that is whole passes, and each that is not, made by hand, is caught.
#include "chaos-tests/quarantine.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::chaos {
namespace {

constexpr const char* store = "blobs/uploads";

/// What a new primary had, what the old one has besides, and what is kept of it.
struct Promotion {
    View cut;
    View there;
    Quarantine kept;

    Promotion() {
        cut.rows[{0, 1}] = row(1);
        cut.rows[{0, 2}] = row(2);
        cut.accounts = {{1, 1000}, {2, 1000}};
        cut.files = {{"w0/1", "sha1"}, {"w0/2", "sha2"}, {"mutable/0", "old"}};
        cut.refs = {{"w0.git HEAD", "ref: refs/heads/main"}, {"w0.git refs/heads/main", "commit2"}};
        there = cut;
        kept.objects["w0.git"] = {"commit1", "commit2"};
        put(3);
        remove(1);
        transfer();
        overwrite();
        kept.stated = {7, 3, 4, 1, 1, 2, 1};
    }

    static View::Row row(int number) {
        const std::string text = std::to_string(number);
        return {"w0.git", "w0/" + text, "sha" + text, "commit" + text};
    }
    void change(int64_t transaction, const std::string& operation, const std::string& table,
                const std::string& key, const std::string& value) {
        kept.changes.push_back({transaction, operation, table, key, value});
    }
    void put(int number) {
        there.rows[{0, number}] = row(number);
        there.files[row(number).path] = row(number).sha256;
        there.refs["w0.git refs/heads/main"] = row(number).commit;
        change(10, "insert", "public.writes", "0/" + std::to_string(number), value_of(row(number)));
        kept.losses.push_back({"quarantined", store, row(number).path, {}});
        kept.files[row(number).path] = row(number).sha256;
        kept.losses.push_back({"quarantined",
                               "repositories/git",
                               "w0.git",
                               {{"refs/heads/main", "commit2", row(number).commit}}});
        kept.objects["w0.git"].insert(row(number).commit);
    }
    void remove(int number) {
        there.rows.erase({0, number});
        there.files.erase(row(number).path);
        change(11, "delete", "public.writes", "0/" + std::to_string(number), "");
        kept.losses.push_back({"undone", store, row(number).path, {}});
    }
    void transfer() {
        there.accounts = {{1, 900}, {2, 1100}};
        change(12, "update", "public.accounts", "1", "900");
        change(12, "update", "public.accounts", "2", "1100");
    }
    void overwrite() {
        there.files["mutable/0"] = "new";
        kept.losses.push_back({"quarantined", store, "mutable/0", {}});
        kept.files["mutable/0"] = "new";
    }
    Quarantine::Loss& loss_of(const std::string& item) {
        return *std::find_if(kept.losses.begin(), kept.losses.end(),
                             [&](const Quarantine::Loss& loss) { return loss.item == item; });
    }
    std::set<Invariant> broken() const {
        std::set<Invariant> broken;
        for (const Violation& violation : check_quarantine(cut, there, kept)) {
            broken.insert(violation.invariant);
        }
        return broken;
    }
};

TEST(GoodQuarantine, Passes) {
    const Promotion promotion;
    for (const Violation& violation :
         check_quarantine(promotion.cut, promotion.there, promotion.kept)) {
        ADD_FAILURE() << violation.text;
    }
    EXPECT_THAT(names_in(promotion.kept),
                testing::IsSupersetOf({"write 0/3", "write 0/1", "w0/3", "w0/1", "mutable/0",
                                       "w0.git refs/heads/main"}));
}

class BadQuarantine : public testing::Test {
  protected:
    /// The counts are right all the same, where it is about what is kept.
    void expect_caught(const std::function<void(Promotion&)>& spoil,
                       Invariant invariant = Invariant::Kept) {
        Promotion promotion;
        spoil(promotion);
        EXPECT_THAT(promotion.broken(), testing::Contains(invariant));
    }
};

TEST_F(BadQuarantine, LacksARow) {
    expect_caught([](Promotion& it) { it.kept.changes.erase(it.kept.changes.begin()); });
    expect_caught([](Promotion& it) { it.kept.changes.pop_back(); });
}

TEST_F(BadQuarantine, HoldsARowTwice) {
    expect_caught([](Promotion& it) { it.kept.changes.push_back(it.kept.changes.front()); });
}

TEST_F(BadQuarantine, HoldsARowThatIsAnother) {
    expect_caught([](Promotion& it) { it.kept.changes.front().value = "other"; });
}

TEST_F(BadQuarantine, HoldsARowThatWasNotLost) {
    expect_caught([](Promotion& it) {
        it.change(13, "insert", "public.writes", "0/2", value_of(Promotion::row(2)));
    });
}

TEST_F(BadQuarantine, LacksWhatStandsInWhatWasAdded) {
    expect_caught([](Promotion& it) { it.there.rows[{0, 3}].notes = "note_0_0=v3"; });
    expect_caught([](Promotion& it) { it.there.more.insert("more_0_0 0/3"); });
}

TEST_F(BadQuarantine, LacksAFile) {
    expect_caught([](Promotion& it) { it.kept.files.erase("w0/3"); });
    expect_caught([](Promotion& it) { it.there.files["w0/9"] = "sha9"; });
    expect_caught([](Promotion& it) { it.loss_of("w0/3").item = "w0/4"; });
}

TEST_F(BadQuarantine, HoldsAFileThatIsAnother) {
    expect_caught([](Promotion& it) { it.kept.files["mutable/0"] = "half"; });
}

TEST_F(BadQuarantine, NamesAFileTwice) {
    expect_caught([](Promotion& it) { it.kept.losses.push_back(it.loss_of("w0/3")); });
}

TEST_F(BadQuarantine, DoesNotSayThatARemovalWasLost) {
    expect_caught([](Promotion& it) { it.loss_of("w0/1").store = "elsewhere"; });
}

TEST_F(BadQuarantine, LacksARef) {
    expect_caught([](Promotion& it) { it.loss_of("w0.git").refs.clear(); });
    expect_caught([](Promotion& it) { it.there.refs["w0.git refs/heads/side"] = "commit1"; });
}

TEST_F(BadQuarantine, LacksTheCommitOfARef) {
    expect_caught([](Promotion& it) { it.kept.objects["w0.git"].erase("commit3"); });
}

TEST_F(BadQuarantine, SaysThatARefWasElsewhere) {
    expect_caught([](Promotion& it) { it.loss_of("w0.git").refs.front().before = "commit1"; });
}

TEST_F(BadQuarantine, HasLetATransactionGo) {
    expect_caught([](Promotion& it) {
        it.kept.losses.push_back({"let-go", "database/app", "xid 9 at 0/1", {}});
    });
}

TEST_F(BadQuarantine, IsCountedWrongly) {
    for (size_t Quarantine::Counts::*count :
         {&Quarantine::Counts::all, &Quarantine::Counts::transactions, &Quarantine::Counts::changes,
          &Quarantine::Counts::repositories, &Quarantine::Counts::refs, &Quarantine::Counts::files,
          &Quarantine::Counts::undone}) {
        expect_caught([&](Promotion& it) { --(it.kept.stated.*count); }, Invariant::Stated);
        expect_caught([&](Promotion& it) { ++(it.kept.stated.*count); }, Invariant::Stated);
    }
}

}  // namespace
}  // namespace antipode::chaos
