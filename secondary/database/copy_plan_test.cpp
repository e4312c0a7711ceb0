#include "secondary/database/copy_plan.hpp"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

using Ranges = std::vector<KeyRange>;

KeyRange range(std::optional<int64_t> after, std::optional<int64_t> up_to) {
    return {"id", after, up_to};
}

TEST(CopyPlan, IsThePlanWhenNothingIsCopied) {
    const Ranges plan = {range({}, 10), range(10, {})};
    EXPECT_EQ(still_to_copy(plan, {}), plan);
    EXPECT_EQ(still_to_copy({KeyRange{}}, {}), Ranges{KeyRange{}});
}

TEST(CopyPlan, LeavesOutWhatIsCopied) {
    const Ranges done = {range(10, 20)};
    EXPECT_EQ(still_to_copy({range({}, 10), range(10, 20), range(20, {})}, done),
              (Ranges{range({}, 10), range(20, {})}));
    // The plan has changed since.
    EXPECT_EQ(still_to_copy({range({}, 15), range(15, {})}, done),
              (Ranges{range({}, 10), range(20, {})}));
    EXPECT_EQ(still_to_copy({KeyRange{}}, done), (Ranges{range({}, 10), range(20, {})}));
    EXPECT_TRUE(still_to_copy({range({}, 15), range(15, {})}, Ranges{range({}, {})}).empty());
    EXPECT_TRUE(still_to_copy({KeyRange{}}, Ranges{KeyRange{}}).empty());
}

TEST(CopyPlan, CoversEachKeyOnceWhateverWasCopied) {
    std::mt19937 random(7);
    const auto cut = [&] {
        std::set<int64_t> bounds;
        for (int i = 0; i < 5; ++i) {
            bounds.insert(static_cast<int64_t>(random() % 40));
        }
        Ranges ranges = {range({}, {})};
        for (const int64_t bound : bounds) {
            ranges.back().up_to = bound;
            ranges.push_back(range(bound, {}));
        }
        return ranges;
    };
    for (int run = 0; run < 500; ++run) {
        Ranges done;
        for (const KeyRange& part : cut()) {
            if (random() % 2 == 0) {
                done.push_back(part);
            }
        }
        const Ranges rest = still_to_copy(cut(), done);
        for (int64_t key = -1; key <= 41; ++key) {
            int found = 0;
            for (const Ranges& ranges : {done, rest}) {
                for (const KeyRange& part : ranges) {
                    found += part.contains(key) ? 1 : 0;
                }
            }
            EXPECT_EQ(found, 1) << "run " << run << ", key " << key;
        }
    }
}

}  // namespace
}  // namespace antipode::secondary
