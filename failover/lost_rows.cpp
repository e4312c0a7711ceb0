#include "failover/lost_rows.hpp"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "failover/epoch.hpp"
#include "failover/handover.hpp"
#include "failover/quarantine.hpp"
#include "primary/database/transaction_cutter.hpp"
#include "protocol/message.hpp"
#include "protocol/rows.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::failover {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds wait(100);
/// Where the log ends at the start of a page, decoding gets there only once more is written.
constexpr unsigned write_again = 20;

std::string name_of(const v1::Relation& relation) {
    return TableName{relation.schema(), relation.table()}.to_string();
}

/// The columns of a row by name; what was not sent is left out.
Json columns_of(const v1::Relation& relation, const protocol::Row& row, bool key_only) {
    Json columns = Json::object();
    for (size_t i = 0; i < row.size() && i < static_cast<size_t>(relation.columns_size()); ++i) {
        const v1::Column& column = relation.columns(static_cast<int>(i));
        if ((key_only && !column.key()) || row[i].kind == protocol::Value::Kind::Unchanged) {
            continue;
        }
        columns[column.name()] =
            row[i].kind == protocol::Value::Kind::Null ? Json() : Json(std::string(row[i].text));
    }
    return columns;
}

Json unsent_columns(const v1::Relation& relation, const protocol::Row& row) {
    Json names = Json::array();
    for (size_t i = 0; i < row.size() && i < static_cast<size_t>(relation.columns_size()); ++i) {
        if (row[i].kind == protocol::Value::Kind::Unchanged) {
            names.push_back(relation.columns(static_cast<int>(i)).name());
        }
    }
    return names;
}

const char* name_of(protocol::Op op) {
    switch (op) {
        case protocol::Op::Insert:
            return "insert";
        case protocol::Op::Update:
            return "update";
        case protocol::Op::Delete:
            return "delete";
        case protocol::Op::Truncate:
            return "truncate";
    }
    return "?";
}

void write(std::ostream& out, const Json& line) {
    out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

/// A message may hold transactions from both sides of the place. False: it is behind it.
bool add_before(Lsn before, v1::Transaction message, LostRows& rows) {
    size_t bytes = 0;
    int members = 0;
    for (const v1::Transaction::Member& member : message.members()) {
        if (Lsn{member.commit_lsn()} < before) {
            bytes += member.change_bytes();
            ++members;
        }
    }
    if (message.members_size() > 0) {
        message.mutable_members()->DeleteSubrange(members, message.members_size() - members);
        message.mutable_changes()->resize(std::min(bytes, message.changes().size()));
    }
    const bool any = members > 0 || Lsn{message.commit_lsn()} < before;
    if (any) {
        rows.add(message);
    }
    return any;
}

}  // namespace

LostRows::LostRows(StoreId store, Lsn cut, std::ostream& out,
                   std::function<void(const Loss&)> found)
    : store_(std::move(store)), out_(out), found_(std::move(found)), through_(cut) {}

void LostRows::add(const v1::Transaction& message) {
    if (message.part() == 0) {
        break_off();
    }
    if (message.members_size() == 0) {
        const Place place{message.xid(), Lsn{message.commit_lsn()}, message.commit_time_us()};
        if (place.commit < through_) {
            return;
        }
        open_ = place;
        add_statements(message, place);
        add_changes(message, place, message.changes());
        if (message.last()) {
            end(place, Lsn{message.end_lsn()});
        }
        return;
    }
    std::string_view changes = message.changes();
    for (const v1::Transaction::Member& member : message.members()) {
        const size_t bytes = std::min<size_t>(member.change_bytes(), changes.size());
        const Place place{member.xid(), Lsn{member.commit_lsn()}, member.commit_time_us()};
        if (place.commit >= through_) {
            add_changes(message, place, changes.substr(0, bytes));
            end(place, Lsn{member.end_lsn()});
        }
        changes.remove_prefix(bytes);
    }
}

void LostRows::add_statements(const v1::Transaction& message, const Place& place) {
    for (const v1::Ddl& statement : message.statements()) {
        write(out_, {{"xid", place.xid},
                     {"commit_lsn", place.commit.to_string()},
                     {"committed_at_us", place.commit_time_us},
                     {"operation", "statement"},
                     {"role", statement.role()},
                     {"sql", statement.sql()}});
        ++changes_;
    }
}

void LostRows::add_changes(const v1::Transaction& message, const Place& place,
                           std::string_view changes) {
    std::map<uint32_t, const v1::Relation*> relations;
    for (const v1::Relation& relation : message.relations()) {
        relations[relation.id()] = &relation;
    }
    protocol::ChangeReader reader(changes);
    protocol::Change change;
    while (reader.next(change)) {
        const auto found = relations.find(change.relation);
        if (found == relations.end()) {
            throw Error(Reaction::Stop, "a transaction does not say which table it changed",
                        "compare the versions of Antipode on both sites (antipode version)");
        }
        const v1::Relation& relation = *found->second;
        Json line = {{"xid", place.xid},
                     {"commit_lsn", place.commit.to_string()},
                     {"committed_at_us", place.commit_time_us},
                     {"operation", name_of(change.op)},
                     {"table", name_of(relation)}};
        if (change.op == protocol::Op::Truncate) {
            for (const uint32_t id : change.truncated) {
                line["tables"].push_back(relations.contains(id) ? name_of(*relations[id]) : "?");
            }
        }
        if (change.old_kind != protocol::OldRow::None) {
            line["old"] =
                columns_of(relation, change.old_row, change.old_kind == protocol::OldRow::Key);
        }
        if (!change.new_row.empty()) {
            line["key"] = columns_of(relation, change.new_row, true);
            line["new"] = columns_of(relation, change.new_row, false);
            if (Json unsent = unsent_columns(relation, change.new_row); !unsent.empty()) {
                line["unchanged"] = std::move(unsent);
            }
        }
        write(out_, line);
        ++changes_;
    }
}

void LostRows::break_off() {
    if (open_ && changes_ > 0) {
        write(out_, {{"xid", open_->xid},
                     {"commit_lsn", open_->commit.to_string()},
                     {"committed_at_us", open_->commit_time_us},
                     {"operation", "again"}});
    }
    open_.reset();
    changes_ = 0;
}

void LostRows::end(const Place& place, Lsn end) {
    through_ = std::max(through_, end);
    open_.reset();
    if (changes_ == 0) {
        return;
    }
    Loss loss;
    loss.kind = Loss::Kind::Quarantined;
    loss.store = store_;
    loss.item = "xid " + std::to_string(place.xid) + " at " + place.commit.to_string();
    loss.captured_at = from_microseconds(place.commit_time_us);
    loss.reason = "it never came to the new primary";
    loss.changes = std::exchange(changes_, 0);
    loss.kept = kept_path(store_, loss.item);
    found_(loss);
}

void add_from_slot(ChangeSource& source, const std::function<Lsn()>& end,
                   const std::function<void(Lsn from)>& begins, LostRows& rows,
                   const std::stop_token& stop) {
    const Lsn from = source.start();
    begins(from);
    primary::TransactionCutter cutter(limits::transaction_part_bytes);
    cutter.start(from);
    Lsn decoded = from;
    const Lsn wanted = end();
    unsigned idle = 0;
    std::vector<primary::DatabaseEvent> events;
    const auto take = [&] {
        for (const primary::DatabaseEvent& event : events) {
            if (const auto* captured = std::get_if<primary::CapturedTransaction>(&event)) {
                rows.add(captured->transaction);
            }
        }
        events.clear();
    };
    while (decoded < wanted || cutter.in_transaction()) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const auto next = source.next(wait);
        if (!next) {
            source.send_status(from, true);
            if (++idle % write_again == 0) {
                end();
            }
        } else if (const auto* progress = std::get_if<DecodedProgress>(&*next)) {
            decoded = std::max(decoded, progress->lsn);
            if (progress->wants_status) {
                source.send_status(from, false);
            }
        } else {
            cutter.add(*next, events);
            if (const auto* commit = std::get_if<DecodedCommit>(&*next)) {
                decoded = std::max(decoded, commit->end_lsn);
            }
        }
        take();
    }
    cutter.flush(events);
    take();
    source.stop();
}

std::vector<LostPart> lost_parts(const v1::EpochRecord& record, const StoreId& store,
                                 const Position& here) {
    const auto start = [&](uint64_t epoch) -> const v1::LaneCut& {
        const v1::EpochStart* const begun = start_of(record, epoch);
        const v1::LaneCut* const cut =
            epoch == record.epoch() ? find_cut(record.cuts(), store)
                                    : (begun == nullptr ? nullptr : find_cut(begun->cuts(), store));
        if (cut == nullptr) {
            throw Error(Reaction::Stop,
                        record.primary() + " does not say where " + store.to_string() +
                            " ended before epoch " + std::to_string(epoch),
                        "configure the same stores on all sites; else keep a copy of what you need "
                        "and empty this site (docs/runbooks/old-primary.md)");
        }
        return *cut;
    };
    // Of equal places the first: only its LSN is certain to be of that epoch's log.
    const v1::LaneCut* least = &start(std::min(here.epoch + 1, record.epoch()));
    for (uint64_t epoch = here.epoch + 2; epoch <= record.epoch(); ++epoch) {
        const v1::LaneCut& next = start(epoch);
        least = position_of(next) < position_of(*least) ? &next : least;
    }
    const Position end = position_of(*least);
    const auto part_to = [&](const Position& through) {
        return LostPart{std::max(end, Position{through.epoch, 0, 0}),
                        Lsn{end.epoch == through.epoch ? least->lsn() : 0}, through};
    };
    std::vector<LostPart> parts = {part_to(here)};
    // What this site had when the epoch of the last part began, as far as the primary has it not.
    for (uint64_t epoch = here.epoch; epoch > std::max<uint64_t>(end.epoch, 1);) {
        const Position before = position_of(start(epoch));
        if (before <= end || before.epoch >= epoch) {
            break;
        }
        parts.push_back(part_to(before));
        epoch = before.epoch;
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
}

bool has_part(Stream& stream, const std::string& cluster, const LostPart& part) {
    const uint64_t epoch = part.after.epoch;
    const Stream::Info info = stream.info();
    const auto newest = protocol::find_newest(stream, cluster, epoch, info);
    return std::max(newest ? newest->position : Position{}, part.after) >= part.through &&
           (info.first_sequence <= 1 ||
            protocol::find_behind(stream, cluster, epoch, part.after).last);
}

void add_from_stream(Stream& stream, const std::string& cluster, const Position& after, Lsn before,
                     const StoreId& store, LostRows& rows, const std::stop_token& stop) {
    const uint64_t epoch = after.epoch;
    uint64_t next = protocol::find_behind(stream, cluster, epoch, after).after;
    bool there = false;  // what comes now, the slot has
    const auto see_damaged = [&](const StoredMessage& message, protocol::Refusal why) {
        const auto loss = damaged_message(message, protocol::to_string(why));
        if (!there && loss && loss->store == store) {
            rows.add_damaged(*loss);
        }
    };
    const uint64_t end = stream.info().last_sequence;
    protocol::Assembler assembler;
    while (next <= end) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const auto messages = stream.read(next, limits::wait);
        if (messages.empty()) {
            if (stream.info().first_sequence > end) {
                return;  // all of it was purged
            }
            // What is not read would be kept by nobody.
            throw Error(Reaction::Retry,
                        "the stream of " + store.to_string() + " is not read to its end in time");
        }
        for (const StoredMessage& stored : messages) {
            auto opened = protocol::open(stored.bytes, cluster, epoch);
            const auto* message = std::get_if<protocol::Message>(&opened);
            if (message == nullptr) {
                see_damaged(stored, std::get<protocol::Refusal>(opened));
                continue;
            }
            if (message->store && *message->store != store) {
                continue;
            }
            auto assembled = assembler.add(*message);
            if (const auto* refusal = std::get_if<protocol::Refusal>(&assembled)) {
                see_damaged(stored, *refusal);
                continue;
            }
            for (const auto& event : std::get<std::vector<protocol::Event>>(assembled)) {
                if (event.payload.has_transaction()) {
                    there = !add_before(before, event.payload.transaction(), rows);
                }
            }
        }
        next = messages.back().sequence + 1;
    }
}

}  // namespace antipode::failover
