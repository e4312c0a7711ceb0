# Mistakes that somebody could make in the core, one after the other:
#
#   plant(NAME SOURCE [[what stands there]] [[what stands there instead]])
#
# In what stands there instead PLANTED is true while the test runs with that bug. What stands there
# must be there exactly once. A mistake may be planted in several places under one name.

# What was read is called safe, and is stored later.
plant(AcknowledgesBeforeItStores secondary/relay.cpp [[
        check(upstream_.read(cursor_.next, options_.wait));
    }
    store();
]] [[
        check(upstream_.read(cursor_.next, options_.wait));
        if (PLANTED) {
            for (const protocol::Message& message : cursor_.accepted) {
                note(message);
            }
            advance_safe();
            return;
        }
    }
    store();
]])

# The slot moves on although something before that is missing here.
plant(ConfirmsBehindAGap secondary/relay.cpp [[
            if (!registry_.gap(noted_.front().store)) {
]] [[
            if (PLANTED || !registry_.gap(noted_.front().store)) {
]])

# A message that does not join on to the one before it is taken as if it did.
plant(SkipsGaps protocol/message.cpp [[
        return next_number && hash_joins ? Continuity::Joins : Continuity::Broken;
]] [[
        return PLANTED || (next_number && hash_joins) ? Continuity::Joins : Continuity::Broken;
]])

# Whoever writes into the stream is believed, also a primary whose time is over.
plant(AppliesAStaleEpoch protocol/message.cpp [[
    if (envelope.epoch() != epoch) {
]] [[
    if (PLANTED) {
        envelope.set_epoch(epoch);
    }
    if (envelope.epoch() != epoch) {
]])

# Items count as applied when they were read.
plant(MovesThePositionFirst secondary/apply_order.cpp [[
    if (!lane.queue.empty()) {
        position = std::max(lane.queue.begin()->second.before, lane.begun);
]] [[
    if (!lane.queue.empty() && !PLANTED) {
        position = std::max(lane.queue.begin()->second.before, lane.begun);
]])

# A digest is computed, and not compared.
plant(DoesNotCompareDigests secondary/apply_order.cpp [[
    if (finished.result.kind == Result::Kind::Applied && finished.result.digest != expected) {
]] [[
    if (finished.result.kind == Result::Kind::Applied && finished.result.digest != expected &&
        !PLANTED) {
]])

# Rows do not wait for what a gap may hide.
plant(RowsIgnoreGaps secondary/apply_order.cpp [[
        if (gap && gap->rows_wait) {
]] [[
        if (gap && gap->rows_wait && !PLANTED) {
]])

# On a mirror a file goes before the rows that stopped naming it.
plant(RemovesBeforeRows secondary/apply_order.cpp [[
    if (!protocol::is_removal(event.payload)) {
        return false;
]] [[
    if (!protocol::is_removal(event.payload) || PLANTED) {
        return false;
]])

# Rows wait for what was announced last, and not for what was announced before.
plant(WaitsForTheNewestOnly secondary/announcements.cpp [[
            oldest = std::min(oldest.value_or(*positions.begin()), *positions.begin());
]] [[
            const Position& first = PLANTED ? *positions.rbegin() : *positions.begin();
            oldest = std::min(oldest.value_or(first), first);
]])

# What was deleted on the primary stays.
plant(DropsRemovals secondary/receiver.cpp [[
        auto item = task_of(apply.store(), *task.event);
]] [[
        if (PLANTED && protocol::is_removal(task.event->payload)) {
            finished.push_back({task, {Result::Kind::Superseded, {}, {}, {}, {}}});
            continue;
        }
        auto item = task_of(apply.store(), *task.event);
]])

# The recovery point is that of the store that is ahead.
plant(TakesTheLaneThatIsAhead secondary/recovery.cpp [[
        least = least ? std::min(*least, *captured->second) : *captured->second;
]] [[
        least = !least    ? *captured->second
                : PLANTED ? std::max(*least, *captured->second)
                          : std::min(*least, *captured->second);
]])

# Rows get their numbers before anybody looks for the files and commits that they name.
plant(PublishesBeforeAnnouncing primary/sequencer.cpp [[
    // All of it had committed before this: one look covers it together.
    drain_all();
]] [[
    if (!PLANTED) {
        drain_all();
    }
]])

# A watch that says that it lost events is not heard.
plant(ForgetsOverflows primary/sequencer.cpp [[
    if (noticed.complete) {
        state.drained_at = begun_at;
]] [[
    if (noticed.complete || PLANTED) {
        state.drained_at = begun_at;
]])

# Who asks for rows again gets none.
plant(SendsNothingAgain primary/sequencer.cpp [[
        database->second.repeated_below = {};
]] [[
        if (!PLANTED) {
            database->second.repeated_below = {};
        }
]])

# Of a transaction that travels in parts only the first is published.
plant(PublishesAPart primary/sequencer.cpp [[
    if (last) {
        lane.repeated_below = end;
]] [[
    if (PLANTED && !last) {
        lane.repeated_below = Lsn{payload.transaction().commit_lsn() + 1};
    }
    if (last) {
        lane.repeated_below = end;
]])

# Capture is called complete up to now while it is not.
plant(ProvesNothing primary/sequencer_markers.cpp [[
        if (!proof.proven() || proven > marker.begun_at) {
]] [[
        if ((!proof.proven() && !PLANTED) || proven > marker.begun_at) {
]])

# A removal is numbered before the rows that stopped naming what goes.
plant(RemovesBeforeDecoding primary/item_lane.cpp [[
            return need != removal.needed.end() && reached.second >= need->second;
]] [[
            return PLANTED ||
                   (need != removal.needed.end() && reached.second >= need->second);
]])

# What changes while it is read is not read again.
plant(MissesChangesWhileReading primary/item_lane.cpp [[
        item.next_first = number;
    } else if (delayed_.erase({item.not_before, name}) > 0) {
]] [[
        item.next_first = PLANTED ? 0 : number;
    } else if (delayed_.erase({item.not_before, name}) > 0) {
]])

# The stream lost its end, and what stood there counts as published.
plant(BelievesItsInventory primary/publisher.cpp [[
    inventory_.forget_after(joins ? joins->position : Position{});
]] [[
    if (!PLANTED) {
        inventory_.forget_after(joins ? joins->position : Position{});
    }
]])
