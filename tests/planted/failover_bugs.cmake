# Mistakes that somebody could make in what makes another site the primary, one after the other; as
# in bugs.cmake. Which test of failover/ finds each stands in planted_failover_test.cpp.

# Whoever writes the epoch record last wins, whatever was there meanwhile.
plant(ChangesTheEpochWhateverItIs failover/epoch.cpp [[
    const auto revision = bucket.update(key, record.SerializeAsString(), seen.revision);
    return revision ? std::optional(Epoch{record, *revision}) : std::nullopt;
]] [[
    const auto now = PLANTED ? bucket.get(key) : std::nullopt;
    const auto revision =
        bucket.update(key, record.SerializeAsString(), now ? now->revision : seen.revision);
    return revision ? std::optional(Epoch{record, *revision}) : std::nullopt;
]])

# What is captured last is captured while writes go on.
plant(CapturesBeforeTheFenceIsClosed failover/conductor.cpp [[
            hands_.fence(record().target());
            return feed(Event::Done);
]] [[
            if (!PLANTED) {
                hands_.fence(record().target());
            }
            return feed(Event::Done);
]])

# What came through the fence behind the handoff is not looked for.
plant(DoesNotLookBehindTheHandoff failover/conductor.cpp [[
            if (hands_.is_unchanged(record().cuts())) {
]] [[
            if (PLANTED || hands_.is_unchanged(record().cuts())) {
]])

# A target that differs is called ready.
plant(TakesOverWhatDiffers failover/conductor.cpp [[
    if (!different.empty()) {
]] [[
    if (!different.empty() && !PLANTED) {
]])

# A promotion goes on, and opens writes, before it is known up to where this site has everything.
plant(OpensBeforeTheCutIsMade failover/conductor.cpp [[
    if (!cuts) {
        return;
    }
    v1::EpochRecord kept = following(record_state::promoting);
    *kept.mutable_cuts() = *cuts;
]] [[
    if (!cuts && !PLANTED) {
        return;
    }
    v1::EpochRecord kept = following(record_state::promoting);
    *kept.mutable_cuts() = cuts.value_or(Cuts());
]])

# Nobody waits for the old primary's lease to run out.
plant(PromotesBesideALease failover/conductor.cpp [[
    if (!is_alone() || !has_proof()) {
        return;
    }
    const auto cuts = hands_.cut(record(), epoch_);
]] [[
    if (!is_alone() || (!PLANTED && !has_proof())) {
        return;
    }
    const auto cuts = hands_.cut(record(), epoch_);
]])

# A site follows a primary that began elsewhere than it has ended itself.
plant(FollowsAnotherBeginning failover/conductor.cpp [[
    if (name_of_handoff(theirs->cuts()) != detail_) {
]] [[
    if (name_of_handoff(theirs->cuts()) != detail_ && !PLANTED) {
]])

# A lease is renewed, and nobody was asked.
plant(RenewsWithoutAsking failover/lease_place.cpp [[
        held_ = epoch;
        until_.reset();
    }
]] [[
        held_ = epoch;
        until_.reset();
    }
    if (PLANTED && is_certain_) {
        until_ = clock_.boot_now() + times_.lifetime;
        return;
    }
]])

# It counts as renewed before the answer has come.
plant(CountsBeforeTheAnswer failover/lease_place.cpp [[
        const BootTime before = clock_.boot_now();
        if (write(successor(epoch, site_, enforced))) {
            until_ = before + times_.lifetime;
            return;
        }
]] [[
        const BootTime before = clock_.boot_now();
        if (PLANTED) {
            until_ = before + times_.lifetime;
        }
        if (write(successor(epoch, site_, enforced))) {
            until_ = before + times_.lifetime;
            return;
        }
]])

# A lease is taken from a primary that renews it.
plant(TakesALeaseThatIsHeld failover/lease.cpp [[
            if (all_run_out() && nothing_is_in_the_way()) {
                place.at.take(wish.epoch, false);
            }
]] [[
            if (PLANTED || (all_run_out() && nothing_is_in_the_way())) {
                place.at.take(wish.epoch, PLANTED);
            }
]])
