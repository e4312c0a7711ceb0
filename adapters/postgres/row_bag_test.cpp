#include "adapters/postgres/row_bag.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

using Kind = RowOperation::Kind;
using Cells = std::vector<std::optional<std::string>>;
/// A table without a key: how often it has each row.
using Table = std::map<Cells, int>;

std::vector<Field> fields(const Cells& cells) {
    static std::deque<std::string> kept;
    std::vector<Field> row;
    for (const auto& cell : cells) {
        row.push_back(cell ? Field{Field::Kind::Text, kept.emplace_back(*cell)} : Field{});
    }
    return row;
}
Cells cells(const std::vector<Field>& row) {
    Cells cells;
    for (const Field& field : row) {
        cells.push_back(field.kind == Field::Kind::Text ? std::optional(std::string(field.text))
                                                        : std::nullopt);
    }
    return cells;
}

RowOperation insert(const Cells& row) {
    RowOperation operation;
    operation.new_row = fields(row);
    return operation;
}
RowOperation remove(const Cells& row) {
    RowOperation operation;
    operation.kind = Kind::Delete;
    operation.has_old = true;
    operation.old_row = fields(row);
    return operation;
}
RowOperation update(const Cells& before, const Cells& after) {
    RowOperation operation = remove(before);
    operation.kind = Kind::Update;
    operation.new_row = fields(after);
    return operation;
}

/// False when a row that is to go is not there.
bool take(Table& table, const std::vector<Field>& row) {
    const auto found = table.find(cells(row));
    if (found == table.end()) {
        return false;
    }
    if (--found->second == 0) {
        table.erase(found);
    }
    return true;
}
bool perform(Table& table, const NetChanges::Result& changes) {
    for (const auto* row : changes.removed) {
        if (!take(table, *row)) {
            return false;
        }
    }
    for (const auto* row : changes.inserted) {
        ++table[cells(*row)];
    }
    return true;
}

TEST(RowBag, LeavesWhatTheOperationsInTurnLeave) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    // Which of them are next to each other matters: "1", null and null, "1"; "12", "" and "1", "2".
    const std::vector<std::optional<std::string>> values = {"1", "12", "2", "", std::nullopt};
    const auto any_row = [&] { return Cells{values[random() % 5], values[random() % 5]}; };
    for (int round = 0; round < 300; ++round) {
        Table before;
        for (int i = 0; i < 10; ++i) {
            ++before[any_row()];
        }
        Table after = before;
        RowBag bag;
        std::deque<RowOperation> operations;
        for (int i = 0; i < 40; ++i) {
            const bool grows = after.empty() || random() % 3 == 0;
            const auto some =
                std::next(after.begin(), static_cast<long>(random() % (after.size() + grows)));
            const Cells old = grows ? Cells{} : some->first;
            operations.push_back(grows               ? insert(any_row())
                                 : random() % 2 == 0 ? remove(old)
                                                     : update(old, any_row()));
            const RowOperation& operation = operations.back();
            ASSERT_TRUE(bag.add(operation));
            if (operation.kind != Kind::Insert) {
                ASSERT_TRUE(take(after, operation.old_row));
            }
            if (operation.kind != Kind::Delete) {
                ++after[cells(operation.new_row)];
            }
        }
        Table net = before;
        ASSERT_TRUE(perform(net, bag.result()));
        EXPECT_EQ(net, after);
    }
}

TEST(RowBag, NeverHidesThatARowIsMissing) {
    const RowOperation gone = remove({"a"});
    const RowOperation back = insert({"a"});
    RowBag bag;
    ASSERT_TRUE(bag.add(gone));
    ASSERT_TRUE(bag.add(back));
    ASSERT_TRUE(bag.add(gone));
    EXPECT_EQ(bag.result().removed.size(), 1U);
    EXPECT_TRUE(bag.result().inserted.empty());
}

TEST(RowBag, FillsWhatIsNotSentAgain) {
    RowOperation changed = update({"a", "long"}, {"b", "long"});
    changed.new_row[1] = {Field::Kind::Unchanged, {}};
    RowBag bag;
    ASSERT_TRUE(bag.add(changed));
    ASSERT_EQ(bag.result().inserted.size(), 1U);
    EXPECT_EQ(cells(*bag.result().inserted[0]), (Cells{"b", "long"}));
}

TEST(RowBag, RefusesRowsThatAreNotWhole) {
    RowOperation partly = remove({"a", "b"});
    partly.old_row[1] = {Field::Kind::Unchanged, {}};
    EXPECT_FALSE(RowBag().add(partly));
    RowOperation no_old = update({"a"}, {"b"});
    no_old.has_old = false;
    EXPECT_FALSE(RowBag().add(no_old));
    RowOperation new_partly = insert({"a"});
    new_partly.new_row[0] = {Field::Kind::Unchanged, {}};
    EXPECT_FALSE(RowBag().add(new_partly));
}

}  // namespace
}  // namespace antipode::postgres
