#include "secondary/database/initial_copy.hpp"

#include <algorithm>
#include <exception>
#include <thread>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "secondary/database/copy_plan.hpp"
#include "secondary/database/snapshot.hpp"

namespace antipode::secondary {
namespace {

constexpr uint64_t report_every_bytes = 4 * limits::mib;

}  // namespace

InitialCopy::InitialCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                         const CopyOptions& options,
                         const std::function<void(CopyProgress)>& report,
                         const std::stop_token& stop)
    : store_(store),
      session_(session),
      primary_(primary),
      options_(options),
      report_(report),
      stop_(stop),
      source_(store, primary, stop) {}

void InitialCopy::run() {
    state_ = session_.load();
    if (state_.phase == CopyPhase::Finish || state_.phase == CopyPhase::Complete) {
        return;
    }
    // The confirmed position comes with the list, so before the first snapshot.
    const CopySource::Listing listing = source_.tables();
    if (state_.phase == CopyPhase::None) {
        begin_copy(listing);
    }
    copy_new_tables(listing);
    copy_parts(plan(listing));
    finish();
    advance([](CopyProgress& progress) { progress.table.clear(); });
}

void InitialCopy::begin_copy(const CopySource::Listing& listing) {
    const CopySource::Schema schema = source_.settled_schema();
    state_.after_script = schema.after;
    state_.finish_script = schema.finish;
    session_.begin();
    const auto here = session_.tables();
    for (const LocalTable& table : here) {
        if (!table.empty && !table.of_extension) {
            throw Error(Reaction::Stop,
                        "the database of " + store_.to_string() +
                            " on this site is not empty: " + printable(table.name.to_string()) +
                            " holds rows that were not copied from the primary; they are not "
                            "overwritten",
                        "give the store an empty database");
        }
        state_.schema_was_here = state_.schema_was_here || !table.of_extension;
    }
    if (state_.schema_was_here) {
        state_.after_script.clear();
        state_.finish_script.clear();
    } else {
        session_.run_script(schema.before);
    }
    state_.lsn = listing.confirmed;
    state_.phase = CopyPhase::Tables;
    session_.save(state_);
    session_.remember_copied(schema.snapshot);
    session_.commit();
    state_.tables.push_back(schema.snapshot);
}

/// Tables that were made after the schema was read.
void InitialCopy::copy_new_tables(const CopySource::Listing& listing) {
    session_.begin();
    const auto here = session_.tables();
    session_.commit();
    for (const CopySource::Table& listed : listing.tables) {
        const bool is_here = std::any_of(here.begin(), here.end(), [&](const LocalTable& table) {
            return table.name == listed.name;
        });
        if (is_here || state_.schema_was_here) {
            continue;
        }
        session_.begin();
        make_alone(listed.name);
        session_.save(state_);
        session_.commit();
    }
}

void InitialCopy::make_alone(const TableName& table) {
    const CopySource::Schema schema = source_.schema(table);
    session_.run_script(schema.before);
    auto copied = copy_rows(
        store_, session_, primary_, table, KeyRange{}, [](size_t) {}, stop_);
    if (!copied) {
        throw Error(Reaction::Retry,
                    printable(table.to_string()) + " was dropped on the primary while it was read");
    }
    session_.run_script(schema.after);
    state_.finish_script += schema.finish;
    state_.tables.push_back(std::move(copied->copied));
}

void InitialCopy::copy_alone(const TableName& table) {
    state_ = session_.load();
    // A place from before the list is looked at: what is not in it was dropped before, or is made
    // later.
    const CopiedTable gone = source_.snapshot(table);
    const CopySource::Listing listing = source_.tables();
    const bool there =
        std::any_of(listing.tables.begin(), listing.tables.end(),
                    [&](const CopySource::Table& listed) { return listed.name == table; });
    advance([&](CopyProgress& progress) {
        progress.tables = 1;
        progress.table = table.to_string();
    });
    session_.begin();
    if (!there && session_.give_up_repair(table)) {
        // Dropped there, or renamed, which the lane has yet to come to.
        session_.commit();
        return;
    }
    const bool here = session_.clear_copied(table);
    if (!there) {
        session_.remember_copied(gone);
    } else if (!here) {
        make_alone(table);
    } else if (!copy_rows(
                   store_, session_, primary_, table, KeyRange{}, [](size_t) {}, stop_)) {
        throw Error(Reaction::Retry, printable(table.to_string()) + " was dropped on the primary");
    }
    move_sequences_on();
    // Foreign keys hold once apply has passed the snapshot.
    state_.phase = CopyPhase::Finish;
    session_.save(state_);
    session_.commit();
}

void InitialCopy::copy_again(const TableName& table) {
    state_ = session_.load();
    advance([&](CopyProgress& progress) {
        progress.tables = 1;
        progress.table = table.to_string();
    });
    session_.begin();
    if (!session_.clear_copied(table) ||
        !copy_rows(
            store_, session_, primary_, table, KeyRange{}, [](size_t) {}, stop_)) {
        throw Error(Reaction::Stop,
                    printable(table.to_string()) +
                        ", which is to be copied again, has another name on the "
                        "primary by now, or is dropped",
                    "wait: that change comes, and then it is tried again");
    }
    move_sequences_on();
    state_.phase = CopyPhase::Finish;
    session_.save(state_);
    session_.commit();
}

std::vector<InitialCopy::Part> InitialCopy::plan(const CopySource::Listing& listing) {
    std::vector<Part> parts;
    progress_.tables = listing.tables.size();
    for (const CopySource::Table& table : listing.tables) {
        std::vector<KeyRange> done;
        for (const CopiedTable& copied : state_.tables) {
            if (copied.name == table.name) {
                done.push_back(copied.range);
            }
        }
        const bool is_large = table.bytes > options_.part_bytes;
        const auto ranges =
            is_large ? source_.ranges(table.name, options_.part_bytes) : std::vector{KeyRange{}};
        const auto left = still_to_copy(ranges, done);
        const uint64_t part_bytes = table.bytes / std::max(ranges.size(), left.size());
        for (const KeyRange& range : left) {
            parts.push_back({table.name, range, part_bytes});
        }
        parts_left_[table.name] = left.size();
        progress_.tables_done += left.empty() ? 1 : 0;
        progress_.source_bytes += table.bytes;
        progress_.source_bytes_before += table.bytes - part_bytes * left.size();
    }
    progress_.source_bytes_done = progress_.source_bytes_before;
    // The largest first, so that none is left alone at the end.
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part& a, const Part& b) { return a.bytes > b.bytes; });
    std::reverse(parts.begin(), parts.end());
    return parts;
}

/// The last one of `parts`.
std::optional<InitialCopy::Part> InitialCopy::next_part(std::vector<Part>& parts) {
    std::scoped_lock lock(mutex_);
    if (parts.empty()) {
        return std::nullopt;
    }
    Part part = std::move(parts.back());
    parts.pop_back();
    return part;
}

void InitialCopy::copy_parts(std::vector<Part> parts) {
    const size_t crew_size = std::min<size_t>(options_.workers, parts.size());
    if (crew_size <= 1) {
        while (const auto part = next_part(parts)) {
            copy_part(session_, *part, stop_);
        }
        return;
    }
    std::exception_ptr problem;
    std::stop_source ended;
    const std::stop_callback forward(stop_, [&] { ended.request_stop(); });
    const auto work = [&](ReplicaSession& session) {
        try {
            session.load();
            while (const auto part = next_part(parts)) {
                copy_part(session, *part, ended.get_token());
            }
        } catch (...) {
            std::scoped_lock lock(mutex_);
            problem = problem ? problem : std::current_exception();
            ended.request_stop();
        }
    };
    {
        std::vector<std::jthread> crew;
        for (size_t i = 0; i < crew_size; ++i) {
            crew.emplace_back([&work, session = session_.beside()] { work(*session); });
        }
    }
    if (problem) {
        std::rethrow_exception(problem);
    }
}

void InitialCopy::copy_part(ReplicaSession& session, const Part& part,
                            const std::stop_token& stop) {
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    const std::string name = part.table.to_string();
    advance([&](CopyProgress& progress) {
        copying_.insert(name);
        progress.table = *copying_.begin();
    });
    session.begin();
    uint64_t counted = 0;  // of the part's bytes
    auto copied = copy_rows(
        store_, session, primary_, part.table, part.range,
        [&](size_t bytes) {
            const uint64_t more = std::min<uint64_t>(bytes, part.bytes - counted);
            counted += more;
            advance(
                [&](CopyProgress& progress) {
                    progress.bytes += bytes;
                    progress.source_bytes_done += more;
                },
                false);
        },
        stop);
    if (!copied) {
        throw Error(Reaction::Retry,
                    printable(name) + " was dropped on the primary during the initial copy");
    }
    session.commit();
    advance([&](CopyProgress& progress) {
        progress.rows += copied->rows;
        progress.source_bytes_done += part.bytes - counted;
        progress.tables_done += --parts_left_[part.table] == 0 ? 1 : 0;
        copying_.erase(copying_.find(name));
        progress.table = copying_.empty() ? "" : *copying_.begin();
        state_.tables.push_back(std::move(copied->copied));
    });
}

void InitialCopy::advance(const std::function<void(CopyProgress&)>& change, bool always) {
    std::scoped_lock lock(mutex_);
    change(progress_);
    if (always || progress_.bytes - reported_bytes_ >= report_every_bytes) {
        reported_bytes_ = progress_.bytes;
        report_(progress_);
    }
}

void InitialCopy::move_sequences_on() {
    std::vector<SequenceState> states;
    for (SequenceValue& sequence : source_.sequences()) {
        states.push_back({std::move(sequence), false});
    }
    session_.follow_sequences(states);
}

void InitialCopy::finish() {
    const auto sequences = source_.sequences();
    session_.begin();
    if (!state_.after_script.empty()) {
        session_.run_script(state_.after_script);
        state_.after_script.clear();
    }
    for (const SequenceValue& sequence : sequences) {
        session_.set_sequence(sequence);
    }
    state_.phase = CopyPhase::Finish;
    session_.save(state_);
    session_.commit();
}

}  // namespace antipode::secondary
