#include "adapters/postgres/net_changes.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace antipode::postgres {
namespace {

using Kind = RowOperation::Kind;

/// Tables of a key and two values in memory, as both ways must leave them.
using Table = std::map<std::string, std::pair<std::string, std::string>>;

Field text(const std::string& value) {
    static std::deque<std::string> kept;
    return {Field::Kind::Text, kept.emplace_back(value)};
}
const Field unchanged{Field::Kind::Unchanged, {}};
const Field null{Field::Kind::Null, {}};

RowOperation insert(const std::string& key, const std::string& a, const std::string& b) {
    RowOperation operation;
    operation.new_row = {text(key), text(a), text(b)};
    return operation;
}
RowOperation update(const std::string& key, const std::string& a, const Field& b) {
    RowOperation operation;
    operation.kind = Kind::Update;
    operation.new_row = {text(key), text(a), b};
    return operation;
}
RowOperation move(const std::string& from, const std::string& to, const std::string& a,
                  const Field& b) {
    RowOperation operation = update(to, a, b);
    operation.has_old = true;
    operation.old_row = {text(from), null, null};
    return operation;
}
RowOperation remove(const std::string& key) {
    RowOperation operation;
    operation.kind = Kind::Delete;
    operation.has_old = true;
    operation.old_row = {text(key), null, null};
    return operation;
}

std::string string(const Field& field) {
    return std::string(field.text);
}

/// Does one operation; false when the table does not allow it.
bool perform(Table& table, const RowOperation& operation) {
    std::pair<std::string, std::string> before;
    if (operation.kind != Kind::Insert) {
        const auto& row = operation.has_old ? operation.old_row : operation.new_row;
        const auto found = table.find(string(row[0]));
        if (found == table.end()) {
            return false;
        }
        before = found->second;
        table.erase(found);
    }
    if (operation.kind == Kind::Delete) {
        return true;
    }
    const auto& row = operation.new_row;
    const auto value = [&](size_t i, const std::string& old) {
        return row[i].kind == Field::Kind::Unchanged ? old : string(row[i]);
    };
    return table.emplace(string(row[0]), std::pair(value(1, before.first), value(2, before.second)))
        .second;
}

/// False when a row is not there, or there already.
bool perform(Table& table, const NetChanges::Result& changes) {
    for (const auto* row : changes.removed) {
        if (table.erase(string((*row)[0])) != 1) {
            return false;
        }
    }
    for (const auto& [mask, rows] : changes.updated) {
        for (const auto* row : rows) {
            const auto found = table.find(string((*row)[0]));
            if (found == table.end()) {
                return false;
            }
            found->second.first = mask[1] == 'u' ? found->second.first : string((*row)[1]);
            found->second.second = mask[2] == 'u' ? found->second.second : string((*row)[2]);
        }
    }
    for (const auto* row : changes.inserted) {
        if (!table.emplace(string((*row)[0]), std::pair(string((*row)[1]), string((*row)[2])))
                 .second) {
            return false;
        }
    }
    return true;
}

TEST(NetChanges, TouchEachRowOnce) {
    const std::vector<RowOperation> operations = {insert("1", "a", "b"),
                                                  update("1", "c", unchanged),
                                                  update("2", "x", text("y")),
                                                  update("2", "z", unchanged),
                                                  insert("3", "", ""),
                                                  remove("3"),
                                                  remove("4"),
                                                  insert("4", "new", "row")};
    NetChanges changes({0});
    for (const RowOperation& operation : operations) {
        ASSERT_TRUE(changes.add(operation));
    }
    const auto result = changes.result();
    ASSERT_EQ(result.inserted.size(), 2U);
    EXPECT_EQ(string((*result.inserted[0])[1]), "c");
    EXPECT_EQ(string((*result.inserted[0])[2]), "b");
    ASSERT_EQ(result.updated.size(), 1U);
    EXPECT_EQ(string((*result.updated.at("...")[0])[2]), "y");
    ASSERT_EQ(result.removed.size(), 1U);
}

TEST(NetChanges, RefuseWhatKeysDoNotTell) {
    EXPECT_FALSE(NetChanges({0}).add(move("1", "2", "a", unchanged)));
    EXPECT_FALSE(NetChanges({}).add(update("1", "a", text("b"))));
    EXPECT_TRUE(NetChanges({}).add(insert("1", "a", "b")));
    const std::vector<std::vector<RowOperation>> contradictions = {
        {insert("1", "", ""), insert("1", "", "")},
        {remove("1"), remove("1")},
        {remove("1"), update("1", "a", text("b"))},
        {update("1", "", text("")), insert("1", "", "")}};
    for (const auto& operations : contradictions) {
        NetChanges changes({0});
        EXPECT_TRUE(changes.add(operations[0]));
        EXPECT_FALSE(changes.add(operations[1]));
    }
}

TEST(NetChanges, LeaveWhatTheOperationsLeave) {
    for (unsigned seed = 1; seed <= 500; ++seed) {
        std::mt19937 random(seed);
        Table one = {{"0", {"a", "b"}}, {"1", {"c", "d"}}, {"2", {"e", "f"}}};
        Table other = one;
        std::vector<RowOperation> operations;
        for (int i = 0; i < 30; ++i) {
            const std::string key = std::to_string(random() % 6);
            const std::string to = std::to_string(random() % 6);
            const std::string value = std::to_string(i);
            const RowOperation choices[] = {
                insert(key, value, value),         update(key, value, text(value)),
                update(key, value, unchanged),     remove(key),
                move(key, to, value, text(value)), move(key, to, value, unchanged)};
            const RowOperation& operation = choices[random() % 6];
            Table tried = one;
            if (perform(tried, operation)) {
                one = tried;
                operations.push_back(operation);
            }
        }
        NetChanges changes({0});
        bool all = true;
        for (const RowOperation& operation : operations) {
            all = all && changes.add(operation);
        }
        if (all) {
            ASSERT_TRUE(perform(other, changes.result())) << seed;
            ASSERT_EQ(one, other) << seed;
        }
    }
}

}  // namespace
}  // namespace antipode::postgres
