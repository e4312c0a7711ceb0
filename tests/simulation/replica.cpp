#include "tests/simulation/replica.hpp"

namespace antipode::simulation {

using secondary::FailureClass;
using secondary::Result;

Digest expected_digest(const v1::Payload& payload) {
    if (payload.has_blob_put()) {
        return {"sim-blob-1", payload.blob_put().content().sha256()};
    }
    if (payload.has_ref_update()) {
        return {"sim-refs-1", payload.ref_update().digest_after()};
    }
    return {};
}

std::vector<Result> SimulatedItemApply::apply(std::span<const secondary::ItemTask> tasks,
                                              const std::stop_token&) {
    faults_.call("apply to " + store_.to_string());
    std::vector<Result> results;
    for (const secondary::ItemTask& task : tasks) {
        replica_.spoilt_unheard.erase(*protocol::item_of(task.event->payload));
        results.push_back(apply_task(task));
        faults_.crash_point("apply to " + store_.to_string());
    }
    for (const secondary::ItemTask& task : tasks) {
        replica_.spoilt_unheard.erase(*protocol::item_of(task.event->payload));
    }
    return results;
}

Result SimulatedItemApply::apply_task(const secondary::ItemTask& task) {
    const v1::Payload& payload = task.event->payload;
    const std::string& item = *protocol::item_of(payload);
    const std::string words =
        protocol::kind_of(payload) + " " + item + " " + std::to_string(task.event->position.number);
    if (faults_.happens(&Profile::bad_apply)) {
        switch (faults_.chance().below(3)) {
            case 0:
                faults_.journal().note("failed " + words);
                return Result::failed(FailureClass::Transient, "disk full");
            case 1:
                faults_.journal().note("refused " + words);
                return Result::needs_whole("something else is here");
            default:
                faults_.journal().note("spoilt " + words);
                spoil(item);
                ++replica_.generation;
                return Result::applied({"sim-wrong-1", "wrong"});
        }
    }
    if (faults_.sabotage == Sabotage::LyingApply && faults_.chance().one_in(10)) {
        faults_.journal().note("lied about " + words);
        return Result::applied(expected_digest(payload));
    }
    Result result = apply_one(payload, content_of(task));
    ++replica_.generation;
    faults_.journal().note("apply " + words + ": " +
                           (result.kind == Result::Kind::NeedsWhole ? result.reason : "done"));
    return result;
}

std::string SimulatedItemApply::content_of(const secondary::ItemTask& task) {
    const v1::Payload& payload = task.event->payload;
    const v1::Content& content =
        payload.has_blob_put() ? payload.blob_put().content() : payload.ref_update().pack();
    if (task.content.empty()) {
        return content.inline_();
    }
    const auto file = tree_.open(task.content.lexically_relative(tree_.root()).native());
    if (!file) {
        throw Error(Reaction::Retry, "pulled content is not there");
    }
    std::string bytes(file->stat().size, '\0');
    file->read_at(0, bytes);
    return bytes;
}

// Blobs.

Result SimulatedBlobApply::apply_one(const v1::Payload& payload, const std::string& content) {
    if (payload.has_blob_removed()) {
        replica_.blobs.erase(payload.blob_removed().path());
        return Result::applied({});
    }
    replica_.blobs[payload.blob_put().path()] = content;
    return Result::applied(digest_of_blob(content));
}

void SimulatedBlobApply::spoil(const std::string& item) {
    replica_.blobs[item] = "0 spoilt";
    replica_.spoilt_unheard.insert(item);
}

// Repositories.

Result SimulatedRepositoryApply::apply_one(const v1::Payload& payload, const std::string& content) {
    if (payload.has_repository_removed()) {
        replica_.repositories.erase(payload.repository_removed().repository());
        return Result::applied({});
    }
    const v1::RefUpdate& update = payload.ref_update();
    const auto here = replica_.repositories.find(update.repository());
    const bool exists = here != replica_.repositories.end();
    Repository repository = exists ? here->second : Repository{};
    if (!update.full() && exists && digest_of(repository.refs).value == update.digest_after()) {
        return {Result::Kind::Unneeded, digest_of(repository.refs), {}, {}, {}};
    }
    if (!update.full() && (!exists || digest_of(repository.refs).value != update.digest_before())) {
        return Result::needs_whole("it builds on other refs");
    }
    for (const Commit& commit : decode_commits(content)) {
        repository.objects[commit.id] = commit;
    }
    if (update.full()) {
        repository.refs.clear();
    }
    for (const v1::Ref& ref : update.refs()) {
        if (ref.new_oid().empty()) {
            repository.refs.erase(ref.name());
        } else {
            repository.refs[ref.name()] = ref.new_oid();
        }
    }
    bool missing = false;
    reachable(repository.refs, repository.objects, &missing);
    if (missing) {
        return Result::needs_whole("objects are missing");
    }
    const Digest digest = digest_of(repository.refs);
    replica_.repositories[update.repository()] = std::move(repository);
    return Result::applied(digest);
}

void SimulatedRepositoryApply::spoil(const std::string& item) {
    replica_.repositories[item].refs["refs/heads/spoilt"] = "c0";
}

// The database.

secondary::DatabasePosition SimulatedDatabaseApply::position() {
    faults_.call("position");
    open_commit_ = {};
    return replica_.position;
}

secondary::DatabasePosition SimulatedDatabaseApply::apply(
    std::span<const protocol::Event* const> events) {
    try {
        for (const protocol::Event* event : events) {
            faults_.call("apply to the database");
            apply_event(*event);
        }
        faults_.crash_point("apply to the database");
    } catch (const Error&) {
        open_commit_ = {};  // rolled back
        throw;
    }
    return replica_.position;
}

void SimulatedDatabaseApply::apply_event(const protocol::Event& event) {
    const v1::Transaction& part = event.payload.transaction();
    const Lsn commit_lsn{part.commit_lsn()};
    const bool again = faults_.sabotage == Sabotage::AppliedTwice;
    if (commit_lsn < replica_.position.lsn && !again) {
        open_commit_ = {};
        if (part.last()) {
            replica_.position.position = std::max(replica_.position.position, event.position);
        }
        return;  // applied before
    }
    if (Lsn{part.after_lsn()} > replica_.position.lsn) {
        throw Error(Reaction::Resync, "the transaction before it is missing");
    }
    if (part.part() == 0) {
        open_commit_ = commit_lsn;
        next_part_ = 0;
        open_changes_.clear();
    }
    if (open_commit_ != commit_lsn || part.part() != next_part_) {
        throw Error(Reaction::Resync, "a part before it is missing");
    }
    ++next_part_;
    for (RowChange& change : decode_rows(part.changes())) {
        open_changes_.push_back(std::move(change));
    }
    if (part.last()) {
        commit(event);
    }
}

void SimulatedDatabaseApply::commit(const protocol::Event& event) {
    const Lsn end{event.payload.transaction().end_lsn()};
    if (faults_.sabotage == Sabotage::PositionFirst) {
        replica_.position.lsn = end;
        if (faults_.profile.crash > 0 && faults_.chance().one_in(30)) {
            throw Crash{Side::Secondary};
        }
    }
    for (const RowChange& change : open_changes_) {
        if (change.row) {
            replica_.rows[change.id] = *change.row;
        } else {
            replica_.rows.erase(change.id);
        }
    }
    replica_.transactions.push_back(end);
    replica_.position.lsn = end;
    replica_.position.position = event.position;
    ++replica_.position.transactions;
    ++replica_.generation;
    open_commit_ = {};
    faults_.journal().note("commit of " + std::to_string(end.value) + " at " +
                           std::to_string(event.position.number));
}

}  // namespace antipode::simulation
