#include "secondary/repositories/apply.hpp"

#include <algorithm>
#include <set>

#include <spdlog/spdlog.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "secondary/repositories/names.hpp"
#include "verify/refs.hpp"

namespace antipode::secondary {
namespace {

Result unneeded(Digest digest) {
    return {Result::Kind::Unneeded, std::move(digest), {}, {}, {}};
}

/// More refs than a push usually moves.
constexpr int few_refs = 64;

Digest digest_of(const std::string& value) {
    return {std::string(verify::refs_algorithm), value};
}

RefValue old_value(const v1::Ref& ref) {
    return {ref.old_oid(), ref.old_target()};
}
RefValue new_value(const v1::Ref& ref) {
    return {ref.new_oid(), ref.new_target()};
}

RefValue find(const RefMap& refs, const std::string& name) {
    const auto found = refs.find(name);
    return found == refs.end() ? RefValue{} : found->second;
}

/// What an update makes of the refs that are here; nullopt when `here` is neither its beginning,
/// nor its end, nor between.
std::optional<RefMap> after_update(const v1::RefUpdate& update, const RepositoryRefs& here) {
    RepositoryRefs after = here;
    for (const v1::Ref& ref : update.refs()) {
        const RefValue now = find(here.refs, ref.name());
        if (now != old_value(ref) && now != new_value(ref)) {
            return std::nullopt;
        }
        if (new_value(ref).absent()) {
            after.refs.erase(ref.name());
        } else {
            after.refs[ref.name()] = new_value(ref);
        }
    }
    if (here.object_format != update.object_format() ||
        verify::refs_digest(after).value != update.digest_after()) {
        return std::nullopt;
    }
    return after.refs;
}

/// All that has to be proven: every object that a changed ref will point to.
std::vector<std::string> wants_of(const std::vector<RefChange>& changes) {
    std::set<std::string> oids;
    for (const RefChange& change : changes) {
        if (is_ref(change.name) && !change.after.oid.empty()) {
            oids.insert(change.after.oid);
        }
    }
    return {oids.begin(), oids.end()};
}

PackInput pack_input(const v1::RefUpdate& update, const ItemTask& task) {
    PackInput input;
    input.base = task.base;
    input.base_index = task.base_index;
    if (update.has_pack() && task.bytes) {
        input.bytes = *task.bytes;
    } else if (update.has_pack() && update.pack().has_pull()) {
        input.file = task.content;
    } else if (update.has_pack()) {
        input.bytes = update.pack().inline_();
    }
    return input;
}

std::string text_of(const RefValue& value) {
    return value.absent()         ? "missing"
           : value.target.empty() ? to_hex(value.oid)
                                  : "-> " + printable(value.target);
}

/// What is asked for whole although something of it is here was not as it should be.
void tell_differences(const StoreId& store, const std::string& name,
                      const std::vector<RefChange>& changes) {
    constexpr size_t most = 8;
    for (size_t i = 0; i < std::min(changes.size(), most); ++i) {
        spdlog::info("{}: {}: {} is {} here and {} on the primary", store.to_string(),
                     printable(name), printable(changes[i].name), text_of(changes[i].before),
                     text_of(changes[i].after));
    }
    if (changes.size() > most) {
        spdlog::info("{}: {}: {} more refs differ", store.to_string(), printable(name),
                     changes.size() - most);
    }
}

/// Why the pack is not what the event says; empty when it is. What was pulled was checked when
/// it was pulled.
std::string refuse_pack(const v1::RefUpdate& update, const ItemTask& task) {
    if (update.has_base() && task.base.empty()) {
        return "its base was not pulled";
    }
    if (!update.has_pack()) {
        return {};
    }
    const v1::Content& pack = update.pack();
    if (pack.has_pull()) {
        return task.content.empty() && !task.bytes ? "its pack was not pulled" : "";
    }
    const bool right = pack.inline_().size() == pack.size() &&
                       std::string(view(sha256(pack.inline_()))) == pack.sha256();
    return right && !pack.inline_().empty() ? "" : "its pack is not what its hash says";
}

}  // namespace

RepositoryApply::RepositoryApply(StoreId store, Repositories& repositories, OnChange on_change,
                                 std::set<std::string> unproven)
    : store_(std::move(store)),
      repositories_(repositories),
      on_change_(std::move(on_change)),
      incoming_directory_(repositories.incoming_directory()),
      unproven_(std::move(unproven)) {}

std::vector<Result> RepositoryApply::apply(std::span<const ItemTask> tasks,
                                           const std::stop_token& stop) {
    repositories_.require_root();  // that there is none is no item's failure
    std::vector<Result> results;
    for (const ItemTask& task : tasks) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        try {
            results.push_back(apply_one(task, stop));
        } catch (const Error& error) {
            results.push_back(
                error.reaction() == Reaction::Resync
                    ? Result::needs_whole(error.what())
                    : Result::failed(FailureClass::Transient, error.what(), error.next_step()));
        } catch (const std::filesystem::filesystem_error& error) {
            results.push_back(Result::failed(FailureClass::Transient, error.what(),
                                             "check the disk and the permissions"));
        }
    }
    return results;
}

Look RepositoryApply::look(const std::string& item, const Pace&, const std::stop_token& stop) {
    repositories_.require_root();
    std::optional<RepositoryRefs> refs;
    try {
        refs = repositories_.read_refs(item);
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Resync) {
            throw;
        }
        return {{}, error.what()};
    }
    if (!refs) {
        return {};
    }
    Look look{verify::refs_digest(*refs), defect(item, stop)};
    const bool is_news =
        look.problem.empty() && unproven_.with([&](auto& names) { return names.erase(item) > 0; });
    if (is_news && on_change_) {
        on_change_(item, UINT64_MAX);
    }
    return look;
}

void RepositoryApply::for_each(const std::function<bool(const std::string& name)>& use,
                               const std::stop_token& stop) {
    for (const std::string& name : repositories_.discover(stop).found) {
        if (!use(name)) {
            return;
        }
    }
}

Result RepositoryApply::apply_one(const ItemTask& task, const std::stop_token& stop) {
    const v1::Payload& payload = task.event->payload;
    const bool removal = payload.has_repository_removed();
    if (!removal && !payload.has_ref_update()) {
        return Result::failed(FailureClass::Refused, "not an event of a repositories store");
    }
    const std::string& name =
        removal ? payload.repository_removed().repository() : payload.ref_update().repository();
    std::string reason = refuse_repository_name(name);
    if (!reason.empty()) {
        return Result::failed(FailureClass::Refused,
                              "repository name refused for " + reason + ": " + printable(name),
                              "rename the repository on the primary");
    }
    if (removal) {
        return remove(name);
    }
    const v1::RefUpdate& update_event = payload.ref_update();
    reason = refuse_update(update_event);
    if (!reason.empty()) {
        return Result::failed(FailureClass::Refused, printable(name) + ": " + reason);
    }
    reason = refuse_pack(update_event, task);
    if (!reason.empty()) {
        return Result::failed(FailureClass::Transient, printable(name) + ": " + reason);
    }
    if (auto in_the_way = obstacle(name)) {
        return *in_the_way;
    }
    const Result result = update_event.full() ? update_whole(update_event, task, stop)
                                              : update(update_event, task, stop);
    note_change(name, result, update_event);
    return result;
}

void RepositoryApply::note_change(const std::string& name, const Result& result,
                                  const v1::RefUpdate& update) {
    if (result.kind != Result::Kind::Applied) {
        return;
    }
    const bool is_unproven = unproven_.with([&](auto& names) {
        if (!result.proven) {
            names.insert(name);
        } else if (update.full()) {
            names.erase(name);
        }
        return names.contains(name);
    });
    if (!is_unproven && on_change_) {
        const bool is_much = update.full() || update.refs_size() > few_refs;
        on_change_(name, is_much ? UINT64_MAX : update.pack().size());
    }
}

Result RepositoryApply::update(const v1::RefUpdate& update, const ItemTask& task,
                               const std::stop_token& stop) {
    const std::string name = printable(update.repository());
    const auto here = repositories_.read_refs(update.repository());
    if (!here) {
        return Result::needs_whole("repository " + name + " is not here");
    }
    const Digest digest = verify::refs_digest(*here);
    if (digest.value == update.digest_after()) {
        return unneeded(digest);
    }
    const auto wanted = after_update(update, *here);
    if (!wanted) {
        return Result::needs_whole("repository " + name + " is at " + digest.to_string() +
                                   ", the update builds on " +
                                   digest_of(update.digest_before()).to_string());
    }
    return take_in_and_move(update.repository(), update, task, here->refs, *wanted, stop);
}

Result RepositoryApply::update_whole(const v1::RefUpdate& update, const ItemTask& task,
                                     const std::stop_token& stop) {
    RepositoryRefs wanted{update.object_format(), {}};
    for (const v1::Ref& ref : update.refs()) {
        wanted.refs[ref.name()] = new_value(ref);
    }
    if (verify::refs_digest(wanted).value != update.digest_after()) {
        return Result::failed(FailureClass::PrimaryDefect, printable(update.repository()) +
                                                               ": the refs are not what the "
                                                               "event's digest says");
    }
    if (is_broken(update, stop)) {
        return rebuild(update, task, wanted, stop);
    }
    const std::string& name = update.repository();
    const RepositoryRefs here = make_ready(name, update.object_format(), stop);
    const bool had_refs = std::any_of(here.refs.begin(), here.refs.end(), [](const auto& ref) {
        return ref.first.starts_with("refs/");
    });
    if (had_refs) {
        tell_differences(store_, name, difference(here.refs, wanted.refs));
    }
    const Result result = take_in_and_move(name, update, task, here.refs, wanted.refs, stop);
    // What is whole on the primary and cannot be taken in here stumbles over what is here.
    const bool stumbles =
        result.kind == Result::Kind::Failed && !here.refs.empty() && !defect(name, stop).empty();
    return stumbles ? Result::needs_whole(result.reason) : result;
}

std::string RepositoryApply::defect(const std::string& name, const std::stop_token& stop) {
    std::string found = repositories_.defect(name, stop);
    broken_.with([&](auto& names) {
        if (found.empty()) {
            names.erase(name);
        } else {
            names.insert(name);
        }
    });
    return found;
}

/// Why the primary was asked for what is here already, or was while the application pushes.
bool RepositoryApply::is_broken(const v1::RefUpdate& update, const std::stop_token& stop) {
    const std::string& name = update.repository();
    const Presence presence = repositories_.presence(name);
    if (presence == Presence::Absent) {
        broken_.with([&](auto& names) { names.erase(name); });
        return false;
    }
    const bool known = broken_.with([&](const auto& names) { return names.contains(name); });
    if (known || presence == Presence::Damaged) {
        return true;
    }
    try {
        const auto here = repositories_.read_refs(name);
        return here && verify::refs_digest(*here).value == update.digest_after() &&
               !defect(name, stop).empty();
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Resync) {
            throw;
        }
        return repositories_.presence(name) == Presence::Repository;
    }
}

/// Beside the broken one, of which nothing is touched until the new one is proven.
Result RepositoryApply::rebuild(const v1::RefUpdate& update, const ItemTask& task,
                                const RepositoryRefs& wanted, const std::stop_token& stop) {
    const std::string& name = update.repository();
    const std::string beside =
        std::string(private_directory) + "/new/" + to_hex(view(sha256(name)));
    repositories_.remove(beside);
    const RepositoryRefs empty = make_ready(beside, update.object_format(), stop);
    // What has failed once is not believed again.
    ItemTask without_index = task;
    without_index.base_index.clear();
    Result result = take_in_and_move(beside, update, without_index, empty.refs, wanted.refs, stop);
    if (result.kind == Result::Kind::Applied) {
        repositories_.replace(name, beside);
        broken_.with([&](auto& names) { names.erase(name); });
    }
    return result;
}

RepositoryRefs RepositoryApply::make_ready(const std::string& name,
                                           const std::string& object_format,
                                           const std::stop_token& stop) {
    const auto here = repositories_.read_refs(name);
    if (here && here->object_format == object_format) {
        return *here;
    }
    repositories_.remove(name);
    repositories_.create(name, object_format, stop);
    return repositories_.read_refs(name).value_or(RepositoryRefs{});
}

Result RepositoryApply::take_in_and_move(const std::string& name, const v1::RefUpdate& update,
                                         const ItemTask& task, const RefMap& here,
                                         const RefMap& wanted, const std::stop_token& stop) {
    const std::vector<RefChange> changes = difference(here, wanted);
    Needed needed{wants_of(changes), shallow_commits(wanted), pool_in(wanted), update.full(),
                  oids_of(here)};
    if (update.full()) {
        // Asked for again perhaps because objects are missing here: prove all, not what differs.
        for (const v1::Ref& ref : update.refs()) {
            if (is_ref(ref.name()) && !ref.new_oid().empty()) {
                needed.oids.push_back(ref.new_oid());
            }
        }
    }
    const Intake intake = repositories_.take_in(name, pack_input(update, task), needed, stop);
    if (intake.kind != Intake::Kind::Stored) {
        return blame(update, wanted, intake);
    }
    repositories_.update_refs(name, changes, stop);
    const auto now = repositories_.read_refs(name);
    Result result = Result::applied(now ? verify::refs_digest(*now) : Digest{});
    // What is borrowed from now on is as good as the pool is.
    const bool borrows_anew = update.full() || pool_in(here) != pool_in(wanted);
    result.proven = intake.proven && !(borrows_anew && is_pool_unproven(wanted));
    return result;
}

Result RepositoryApply::blame(const v1::RefUpdate& update, const RefMap& wanted,
                              const Intake& intake) {
    const std::string& name = update.repository();
    const std::string reason = printable(name) + ": " + intake.reason;
    if (update.full() ? is_pool_unproven(wanted) : is_unproven(name)) {
        // It builds on what nobody has read here: that is made anew, and believed no more.
        broken_.with([&](auto& names) { names.insert(name); });
        return Result::needs_whole(reason);
    }
    return update.full() || intake.kind == Intake::Kind::BadPack
               ? Result::failed(FailureClass::PrimaryDefect, reason,
                                "run git fsck --full in this repository on the primary")
               : Result::needs_whole(reason);
}

bool RepositoryApply::is_unproven(const std::string& name) const {
    return unproven_.with([&](const auto& names) { return names.contains(name); });
}

bool RepositoryApply::is_pool_unproven(const RefMap& refs) const {
    const std::string pool = pool_in(refs);
    return !pool.empty() && is_unproven(pool);
}

Result RepositoryApply::remove(const std::string& name) {
    switch (repositories_.presence(name)) {
        case Presence::Absent:
            return unneeded({});
        case Presence::Foreign:
            return Result::failed(FailureClass::LocalDefect,
                                  printable(name) + " is no repository here: not removed",
                                  "look at it and move it away");
        case Presence::Repository:
        case Presence::Damaged:
            break;
    }
    repositories_.remove(name);
    unproven_.with([&](auto& names) { names.erase(name); });
    return Result::applied({});
}

std::optional<Result> RepositoryApply::obstacle(const std::string& name) {
    for (size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
        const std::string parent = name.substr(0, slash);
        if (repositories_.presence(parent) == Presence::Repository) {
            return Result::failed(
                FailureClass::Refused,
                printable(name) + " would be inside the repository " + printable(parent));
        }
    }
    if (repositories_.presence(name) == Presence::Foreign) {
        return Result::failed(FailureClass::LocalDefect,
                              printable(name) + ": something that is no repository is in the way",
                              "move it away");
    }
    return std::nullopt;
}

}  // namespace antipode::secondary
