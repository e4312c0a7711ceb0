#include "secondary/apply_order_fixture.hpp"

namespace antipode::secondary {
namespace {

TEST_F(ApplyOrderTest, WhatIsCopiedIsThereBeforeAndStaysUntilThen) {
    const uint64_t announced = announce({"old", "new"});
    const uint64_t original = put("old", announced, announced);
    const uint64_t copied = copy("new", "old", announced);
    const uint64_t replaced = put("old", announced, announced);
    const uint64_t removed = remove("old", announce({"old"}, true));
    const auto first = take();
    EXPECT_THAT(numbers(first), ElementsAre(original)) << "the copy waits for its source";
    finish(first[0]);
    const auto second = take();
    EXPECT_THAT(numbers(second), ElementsAre(copied)) << "the source waits until it is copied";
    finish(second[0]);
    EXPECT_THAT(apply_items(), ElementsAre(replaced, removed));
    EXPECT_EQ(finished(blobs), at(removed));
}

TEST_F(ApplyOrderTest, SeveralCopiesOfAnItemComeBeforeItsRemoval) {
    const uint64_t announced = announce({"a", "b", "c"});
    const uint64_t b = copy("b", "a", announced);
    const uint64_t c = copy("c", "a", announced);
    const uint64_t again = copy("d", "c", announced);
    const uint64_t removed = remove("a", announce({"a"}, true));
    const auto tasks = take();
    EXPECT_THAT(numbers(tasks), ElementsAre(b, c));
    finish(tasks[0]);
    EXPECT_THAT(take(), IsEmpty()) << "c may still be copied";
    finish(tasks[1], Result::needs_whole("another is here"));
    EXPECT_THAT(apply_items(), testing::UnorderedElementsAre(again, removed));
}

TEST_F(ApplyOrderTest, ACopyDoesNotWaitForARemovalThatWaitsForRows) {
    const uint64_t before = row();
    const uint64_t gone = announce({"a"}, true);
    const uint64_t changed = announce({"b"});
    const uint64_t behind = row();
    const uint64_t removed = remove("a", gone);
    const uint64_t copied = copy("b", "a", changed);
    EXPECT_THAT(apply_items(), ElementsAre(copied));
    EXPECT_THAT(apply_rows(), ElementsAre(before, behind));
    EXPECT_THAT(apply_items(), ElementsAre(removed));
}

TEST_F(ApplyOrderTest, ItemsThatAreCopiesOfEachOtherDoNotWaitForEver) {
    const uint64_t announced = announce({"a", "b"});
    const uint64_t a = copy("a", "b", announced);
    const uint64_t b = copy("b", "a", announced);
    const uint64_t self = copy("c", "c", announced);
    EXPECT_THAT(apply_items(), testing::UnorderedElementsAre(a, b, self));
    EXPECT_EQ(finished(blobs), at(self));
}

}  // namespace
}  // namespace antipode::secondary
