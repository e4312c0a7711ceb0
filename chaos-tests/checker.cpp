#include "chaos-tests/checker.hpp"

#include <algorithm>
#include <limits>

#include "chaos-tests/difference.hpp"

namespace antipode::chaos {
namespace {

using Kind = Operation::Kind;
using Outcome = Operation::Outcome;

View::Key key_of(const Operation& operation) {
    return {operation.writer, operation.number};
}

bool has_file(const View& view, const std::string& path, const std::string& sha256) {
    const auto file = view.files.find(path);
    return file != view.files.end() && file->second == sha256;
}

/// What its transaction put into a column that was added.
bool has_note(const View::Row& row, const std::string& note) {
    return note.empty() || ("," + row.notes + ",").find("," + note + ",") != std::string::npos;
}

bool has_commit(const View& view, const std::string& repository, const std::string& commit) {
    const auto commits = view.commits.find(repository);
    return commits != view.commits.end() && commits->second.contains(commit);
}

void append(Violations& to, Violations more) {
    to.insert(to.end(), more.begin(), more.end());
}

/// The first line in which two texts differ.
std::string difference(const std::string& one, const std::string& other) {
    const auto [left, right] = std::mismatch(one.begin(), one.end(), other.begin(), other.end());
    const auto line = [](const std::string& text, std::string::const_iterator at) {
        const auto place = static_cast<size_t>(at - text.begin());
        const size_t before = place == 0 ? std::string::npos : text.rfind('\n', place - 1);
        const size_t begin = before == std::string::npos ? 0 : before + 1;
        return text.substr(begin, text.find('\n', place) - begin);
    };
    return "\"" + line(one, left) + "\" and \"" + line(other, right) + "\"";
}

/// What names, in Loss::exactly, that the operation has not happened.
std::set<std::string> names_of(const Operation& operation) {
    switch (operation.kind) {
        case Kind::Put:
            return {text_of(key_of(operation))};
        case Kind::Remove:
            return {text_of(key_of(operation)), operation.path};
        case Kind::Overwrite:
            return {operation.path};
        case Kind::Move:
            return {operation.repository + " refs/heads/side"};
        case Kind::Transfer:
            return {};
        case Kind::Structure:
            return {};  // never: nobody changes it when a fault may lose that
        case Kind::LargeObject:
            return {};  // no quarantine holds any
    }
    return {};
}

}  // namespace

std::string digits_of(const View::Key& key) {
    return std::to_string(key.first) + "/" + std::to_string(key.second);
}

std::string text_of(const View::Key& key) {
    return "write " + digits_of(key);
}

const char* name_of(Invariant invariant) {
    switch (invariant) {
        case Invariant::NothingLost:
            return "nothing acknowledged is lost";
        case Invariant::WholePrefix:
            return "what is lost is the end";
        case Invariant::NothingResurrected:
            return "nothing removed comes back";
        case Invariant::NothingInvented:
            return "nothing is there that nobody wrote";
        case Invariant::References:
            return "no row names what is not there";
        case Invariant::Transactions:
            return "transactions are whole";
        case Invariant::RecoveryPoint:
            return "the recovery point is true";
        case Invariant::Equal:
            return "sites are equal at the end";
        case Invariant::OneWriter:
            return "one site takes writes";
        case Invariant::Recovers:
            return "it recovers without a hand";
        case Invariant::Named:
            return "damage is named and mended";
        case Invariant::NoFalseAlarm:
            return "no false alarm";
        case Invariant::Kept:
            return "what only the old one has is kept once";
        case Invariant::Stated:
            return "the stated loss is the actual one";
        case Invariant::NumbersOnce:
            return "no number is given out twice";
        case Invariant::Clean:
            return "nothing is left behind";
        case Invariant::Refused:
            return "mistakes change nothing";
        case Invariant::RefusesAlone:
            return "who sees nobody takes no writes";
    }
    return "";
}

Checker::Checker(std::vector<Operation> history, int64_t total, std::vector<Loss> losses)
    : history_(std::move(history)), total_(total), losses_(std::move(losses)) {
    for (const Operation& operation : history_) {
        if (operation.kind == Kind::Remove && operation.outcome != Outcome::Failed) {
            being_removed_.insert(key_of(operation));
        }
    }
}

/// As far as the promotion's report tells.
bool Checker::is_at_risk(const Operation& operation, const Loss& loss) {
    return operation.site == loss.old_primary && operation.invoked_us < loss.promoted_us &&
           (operation.done_us == 0 || operation.done_us > loss.unknown_since_us ||
            loss.named.contains(operation.path) || loss.named.contains(operation.repository) ||
            loss.named.contains(operation.xid));
}

/// As far as is known now.
bool Checker::may_be_lost(const Operation& operation, const Loss& loss) {
    const std::set<std::string> names = names_of(operation);
    const auto is_kept = [&](const std::string& name) { return loss.exactly->contains(name); };
    return is_at_risk(operation, loss) &&
           (!loss.exactly || std::any_of(names.begin(), names.end(), is_kept));
}

bool Checker::may_be_lost(const Operation& operation) const {
    return std::any_of(losses_.begin(), losses_.end(),
                       [&](const Loss& loss) { return may_be_lost(operation, loss); });
}

Violations Checker::check_kept(const View& view) const {
    Violations found;
    for (const Operation& operation : history_) {
        if (operation.kind == Kind::Put && operation.outcome == Outcome::Ok) {
            append(found, check_put(operation, view));
        }
        if (operation.kind == Kind::Remove && operation.outcome == Outcome::Ok) {
            append(found, check_removed(operation, view));
        }
    }
    append(found, check_known(view));
    append(found,
           check_structure(view, Invariant::NothingLost, std::numeric_limits<int64_t>::max()));
    append(found, check_prefixes(view));
    append(found, check_latest(view, Invariant::NothingLost, std::numeric_limits<int64_t>::max()));
    append(found, check_large_objects(view));
    return found;
}

Violations Checker::check_put(const Operation& put, const View& view) const {
    if (may_be_lost(put) || being_removed_.contains(key_of(put))) {
        return {};
    }
    const std::string name = text_of(key_of(put)) + " (acknowledged by " + put.site + ")";
    if (!view.rows.contains(key_of(put))) {
        return {{Invariant::NothingLost, name + " has no row"}};
    }
    if (!has_file(view, put.path, put.sha256)) {
        return {{Invariant::NothingLost, name + " has no file " + put.path}};
    }
    if (!has_commit(view, put.repository, put.commit)) {
        return {{Invariant::NothingLost, name + " has no commit " + put.commit}};
    }
    if (!has_note(view.rows.at(key_of(put)), put.note)) {
        return {{Invariant::NothingLost, name + " has no " + put.note}};
    }
    const std::string also = put.structure + " " + digits_of(key_of(put));
    if (!put.structure.empty() && !view.more.contains(also)) {
        return {{Invariant::NothingLost, name + " has no row in " + put.structure}};
    }
    return {};
}

Violations Checker::check_removed(const Operation& removal, const View& view) const {
    if (may_be_lost(removal)) {
        return {};
    }
    const std::string name = text_of(key_of(removal));
    if (view.rows.contains(key_of(removal))) {
        return {{Invariant::NothingResurrected, name + " was removed, its row is there"}};
    }
    if (view.files.contains(removal.path)) {
        return {{Invariant::NothingResurrected, name + " was removed, its file is there"}};
    }
    return {};
}

Violations Checker::check_known(const View& view) const {
    Violations found;
    std::set<View::Key> possible;
    std::set<std::string> paths;
    std::set<std::string> structure;
    for (const Operation& operation : history_) {
        paths.insert(operation.path);
        if (operation.kind == Kind::Put && operation.outcome != Outcome::Failed) {
            possible.insert(key_of(operation));
        }
        if (operation.kind == Kind::Structure && operation.outcome != Outcome::Failed) {
            structure.insert(operation.structure);
        }
    }
    for (const auto& [key, row] : view.rows) {
        if (!possible.contains(key)) {
            found.push_back({Invariant::NothingInvented, text_of(key) + " was refused, and is"});
        }
    }
    for (const auto& [path, sha256] : view.files) {
        if (!paths.contains(path)) {
            found.push_back({Invariant::NothingInvented, "nobody wrote the file " + path});
        }
    }
    for (const std::string& name : view.structure) {
        if (!structure.contains(name)) {
            found.push_back({Invariant::NothingInvented, name + " was refused, and is"});
        }
    }
    return found;
}

/// Each change of the structure that was acknowledged by then.
Violations Checker::check_structure(const View& view, Invariant invariant, int64_t point_us) const {
    Violations found;
    for (const Operation& operation : history_) {
        const bool due = operation.kind == Kind::Structure && operation.outcome == Outcome::Ok &&
                         operation.done_us <= point_us && !may_be_lost(operation);
        if (due && !view.structure.contains(operation.structure)) {
            found.push_back({invariant, operation.structure + ", which " + operation.site +
                                            " acknowledged, is not here"});
        }
    }
    return found;
}

Violations Checker::check_prefixes(const View& view) const {
    Violations found;
    for (const Loss& loss : losses_) {
        append(found, check_prefixes(view, loss));
    }
    return found;
}

/// Of a writer nothing is there that is later than what is lost.
Violations Checker::check_prefixes(const View& view, const Loss& loss) const {
    Violations found;
    std::map<int, int> first_lost;
    // What it had acknowledged when it was the primary before is the end of that time.
    int64_t since_us = 0;
    for (const Loss& other : losses_) {
        if (other.old_primary == loss.old_primary && other.promoted_us < loss.promoted_us) {
            since_us = std::max(since_us, other.promoted_us);
        }
    }
    for (const Operation& operation : history_) {
        if (operation.kind != Kind::Put || being_removed_.contains(key_of(operation)) ||
            operation.invoked_us < since_us || !is_at_risk(operation, loss)) {
            continue;
        }
        const bool here = view.rows.contains(key_of(operation));
        if (!here && operation.outcome == Outcome::Ok && may_be_lost(operation, loss)) {
            first_lost.emplace(operation.writer, operation.number);
        }
        const auto lost = first_lost.find(operation.writer);
        if (here && lost != first_lost.end()) {
            found.push_back({Invariant::WholePrefix, text_of(key_of(operation)) + " is here, " +
                                                         text_of({operation.writer, lost->second}) +
                                                         ", acknowledged before it, is lost"});
        }
    }
    return found;
}

/// Of what is written again and again (a file, a branch): the value that was the last one to be
/// acknowledged by then, or one that was tried later.
Violations Checker::check_latest(const View& view, Invariant invariant, int64_t point_us) const {
    std::map<std::string, std::set<std::string>> possible;
    for (const Operation& operation : history_) {
        // What no writer wrote is there for faults to damage.
        const bool is_damaged = invariant == Invariant::RecoveryPoint && operation.writer < 0;
        if ((operation.kind != Kind::Move && operation.kind != Kind::Overwrite) || is_damaged) {
            continue;
        }
        const bool of_file = operation.kind == Kind::Overwrite;
        std::set<std::string>& values =
            possible[of_file ? operation.path : operation.repository + " refs/heads/side"];
        if (operation.outcome == Outcome::Ok && operation.done_us <= point_us &&
            !may_be_lost(operation)) {
            values.clear();
        } else if (values.empty()) {
            values.insert("");  // it was never there
        }
        values.insert(of_file ? operation.sha256 : operation.commit);
    }
    Violations found;
    for (const auto& [name, values] : possible) {
        const auto file = view.files.find(name);
        const auto ref = view.refs.find(name);
        const std::string value = file != view.files.end() ? file->second
                                  : ref != view.refs.end() ? ref->second
                                                           : "";
        if (!values.contains(value)) {
            found.push_back({invariant, name + " is \"" + value + "\", not what was written last"});
        }
    }
    return found;
}

/// When another site than the one that acknowledged something last was asked for the last time.
int64_t Checker::last_change_of_primary_us() const {
    const Operation* last = nullptr;
    for (const Operation& operation : history_) {
        const bool is_later = last == nullptr || operation.began_us > last->began_us;
        if (operation.outcome == Outcome::Ok && is_later) {
            last = &operation;
        }
    }
    int64_t changed_us = 0;
    for (const Operation& operation : history_) {
        if (last != nullptr && operation.site != last->site) {
            changed_us = std::max(changed_us, operation.began_us);
        }
    }
    return changed_us;
}

/// A new primary has those of its last check, as a mirror does: any that there were. What it has
/// acknowledged since then it keeps.
Violations Checker::check_large_objects(const View& view) const {
    const int64_t changed_us = last_change_of_primary_us();
    std::map<int, std::set<std::string>> possible;
    for (const Operation& operation : history_) {
        if (operation.kind != Kind::LargeObject || operation.outcome == Outcome::Failed) {
            continue;
        }
        std::set<std::string>& values = possible[operation.number];
        if (operation.outcome == Outcome::Ok && operation.began_us > changed_us) {
            values.clear();
        } else if (values.empty()) {
            values.insert("");  // it was never there
        }
        values.insert(operation.sha256);
    }
    Violations found;
    for (const auto& [oid, values] : possible) {
        const auto here = view.large_objects.find(oid);
        const std::string value = here == view.large_objects.end() ? "" : here->second.sha256;
        if (!values.contains(value)) {
            found.push_back({Invariant::NothingLost, "large object " + std::to_string(oid) +
                                                         " is \"" + value +
                                                         "\", not what was written last"});
        }
    }
    for (const auto& [oid, object] : view.large_objects) {
        if (!possible.contains(oid)) {
            found.push_back({Invariant::NothingInvented,
                             "nobody made the large object " + std::to_string(oid)});
        }
    }
    return found;
}

Violations Checker::check_references(const View& view) {
    Violations found;
    for (const auto& [key, row] : view.rows) {
        if (!has_file(view, row.path, row.sha256)) {
            found.push_back(
                {Invariant::References, text_of(key) + " is visible without its file " + row.path});
        }
        if (!has_commit(view, row.repository, row.commit)) {
            found.push_back({Invariant::References, text_of(key) +
                                                        " is visible without its commit " +
                                                        row.commit + " of " + row.repository});
        }
    }
    return found;
}

Violations Checker::check_transactions(const View& view) const {
    Violations found;
    if (view.sum != total_) {
        found.push_back({Invariant::Transactions, "the accounts' sum is " +
                                                      std::to_string(view.sum) + ", not " +
                                                      std::to_string(total_)});
    }
    std::map<int, std::map<std::string, int>> versions;
    for (const auto& [key, row] : view.bulk) {
        ++versions[key.first][row.substr(0, row.find(' '))];
    }
    for (const auto& [writer, rows] : versions) {
        if (rows.size() != 1 || rows.begin()->second != View::bulk_rows) {
            found.push_back({Invariant::Transactions, "the large transaction of writer " +
                                                          std::to_string(writer) +
                                                          " is there in part"});
        }
    }
    return found;
}

Violations Checker::check_recovery_point(const View& view, int64_t point_us) const {
    Violations found;
    for (const Operation& operation : history_) {
        const bool due = operation.outcome == Outcome::Ok && operation.done_us <= point_us &&
                         !may_be_lost(operation);
        const View::Key key = key_of(operation);
        const bool here = view.rows.contains(key);
        if (due && operation.kind == Kind::Put && !here && !being_removed_.contains(key)) {
            found.push_back(
                {Invariant::RecoveryPoint, text_of(key) + " is not here, and was acknowledged " +
                                               std::to_string(point_us - operation.done_us) +
                                               " us before the recovery point"});
        }
        if (operation.kind == Kind::Put && here && !has_note(view.rows.at(key), operation.note)) {
            found.push_back(
                {Invariant::Transactions, text_of(key) + " is here without " + operation.note});
        }
        if (due && operation.kind == Kind::Remove && here) {
            found.push_back(
                {Invariant::RecoveryPoint, text_of(key) + " is still here, and was removed " +
                                               std::to_string(point_us - operation.done_us) +
                                               " us before the recovery point"});
        }
    }
    append(found, check_latest(view, Invariant::RecoveryPoint, point_us));
    append(found, check_structure(view, Invariant::RecoveryPoint, point_us));
    return found;
}

Violations Checker::check_equal(const View& one, const View& other) {
    Violations found;
    const auto add = [&](const std::string& text) { found.push_back({Invariant::Equal, text}); };
    const std::string here = "the first site";
    const std::string there = "the second site";
    if (one.dump != other.dump) {
        add("the databases differ: " + difference(one.dump, other.dump));
    }
    if (const auto file = first_difference(one.files, other.files, here, there)) {
        add("files differ: " + *file);
    }
    if (const auto ref = first_difference(one.refs, other.refs, here, there)) {
        add("repositories differ: " + *ref);
    }
    for (const View* view : {&one, &other}) {
        for (const std::string& broken : view->broken) {
            add("git fsck: " + broken);
        }
    }
    return found;
}

Violations Checker::check_large_objects(const View& one, const View& other) {
    std::set<int> oids;
    for (const View* view : {&one, &other}) {
        for (const auto& [oid, object] : view->large_objects) {
            oids.insert(oid);
        }
    }
    const auto text_in = [](const View& view, int oid) {
        const auto found = view.large_objects.find(oid);
        return found == view.large_objects.end()
                   ? std::string("not there")
                   : found->second.sha256 + " of " + found->second.owner;
    };
    Violations found;
    for (const int oid : oids) {
        const std::string here = text_in(one, oid);
        const std::string there = text_in(other, oid);
        if (here != there) {
            found.push_back({Invariant::Equal, "large object " + std::to_string(oid) + " is " +
                                                   here + ", and behind a check " + there});
        }
    }
    return found;
}

Violations Checker::check_one_writer() const {
    Violations found;
    for (const Loss& loss : losses_) {
        append(found, check_turn(loss));
    }
    return found;
}

Violations Checker::check_turn(const Loss& loss) const {
    Violations found;
    int64_t last_us = 0;  // that the old one acknowledged
    for (const Operation& operation : history_) {
        const bool has_returned = loss.returned_us != 0 && operation.began_us > loss.returned_us;
        if (operation.outcome != Outcome::Ok || operation.site != loss.old_primary ||
            has_returned) {
            continue;
        }
        last_us = std::max(last_us, operation.ended_us);
        if (operation.began_us > loss.promoted_us) {
            found.push_back({Invariant::OneWriter, operation.site + " acknowledged " +
                                                       text_of(key_of(operation)) +
                                                       " after another site was promoted"});
        }
    }
    for (const Operation& operation : history_) {
        if (operation.outcome == Outcome::Ok && operation.site != loss.old_primary &&
            operation.began_us >= loss.lost_us && operation.began_us < last_us) {
            found.push_back({Invariant::OneWriter, operation.site + " acknowledged " +
                                                       text_of(key_of(operation)) + " while " +
                                                       loss.old_primary + " took writes"});
        }
    }
    return found;
}

Violations Checker::check_numbers() const {
    Violations found;
    std::map<int64_t, const Operation*> given;
    for (const Operation& operation : history_) {
        const bool has_one = operation.outcome == Outcome::Ok && operation.ticket != 0;
        if (!has_one) {
            continue;
        }
        const auto [first, is_new] = given.emplace(operation.ticket, &operation);
        if (!is_new) {
            found.push_back(
                {Invariant::NumbersOnce, std::to_string(operation.ticket) + " was given to " +
                                             text_of(key_of(*first->second)) + " by " +
                                             first->second->site + " and to " +
                                             text_of(key_of(operation)) + " by " + operation.site});
        }
    }
    return found;
}

}  // namespace antipode::chaos
