#include "secondary/database/barriers.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"
#include "secondary/database/touched_rows.hpp"

namespace antipode::secondary {
namespace {

/// How many transactions can be applied here between the moment when one is in the primary's log
/// and the moment when a snapshot there sees it. It is the time that ending a transaction takes
/// after its flush; commits that wait for a standby are waited for.
constexpr size_t most_before = 65'536;
constexpr size_t most_since_bytes = 64 * limits::mib;
constexpr size_t relation_bytes = 256;  // in memory, roughly

}  // namespace

void Barriers::expect(const std::string& check, Action action, Session session) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return state_ != State::Running; });
    check_ = check;
    action_ = std::move(action);
    session_ = session;
    problem_.clear();
    forget_since();
    state_ = State::Expected;
}

bool Barriers::wait(std::chrono::milliseconds timeout, const std::stop_token& stop,
                    std::string& problem) {
    std::unique_lock lock(mutex_);
    const auto ended = [&] { return state_ == State::Done || state_ == State::Failed; };
    changed_.wait_for(lock, stop, timeout, ended);
    // What runs uses things of the one who waits.
    changed_.wait(lock, [&] { return state_ != State::Running; });
    const bool done = state_ == State::Done;
    const bool late = !ended();
    problem = problem_;
    state_ = State::Nothing;
    action_ = nullptr;
    forget_since();
    if (!done && stop.stop_requested()) {
        throw Stopped{};
    }
    if (late) {
        throw Error(Reaction::Retry, "apply has not reached the barriers of the check",
                    "wait until the lag is small (antipode status)");
    }
    return done;
}

void Barriers::forget() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return state_ != State::Running; });
    state_ = State::Nothing;
    action_ = nullptr;
    forget_since();
}

void Barriers::fail(const std::string& problem) {
    problem_ = problem;
    state_ = State::Failed;
    changed_.notify_all();
}

void Barriers::applied(const v1::Transaction& message, uint32_t xid, std::string_view changes) {
    std::scoped_lock lock(mutex_);
    if (state_ != State::Begun) {
        before_.push_back(xid);
        if (before_.size() > most_before) {
            before_.pop_front();
        }
        return;
    }
    since_.push_back(
        {xid, message.statements_size() > 0, message.relations(), std::string(changes)});
    since_bytes_ += bytes_of(since_.back());
    if (since_bytes_ > most_since_bytes) {
        fail("too much was written between the check's barriers");
        forget_since();
    }
}

size_t Barriers::bytes_of(const Applied& applied) {
    return applied.changes.size() + static_cast<size_t>(applied.relations.size()) * relation_bytes;
}

void Barriers::broken_off(uint32_t xid) {
    std::scoped_lock lock(mutex_);
    std::erase(before_, xid);
    for (const Applied& applied : since_) {
        since_bytes_ -= applied.xid == xid ? bytes_of(applied) : 0;
    }
    std::erase_if(since_, [&](const Applied& applied) { return applied.xid == xid; });
}

/// Those that came behind the first barrier came before the next one.
void Barriers::forget_since() {
    for (const Applied& applied : since_) {
        before_.push_back(applied.xid);
    }
    while (before_.size() > most_before) {
        before_.pop_front();
    }
    since_.clear();
    since_bytes_ = 0;
}

bool Barriers::reached(const v1::Barrier& barrier, ReplicaSession& session, bool whole) {
    std::unique_lock lock(mutex_);
    if (barrier.check() != check_ || (state_ != State::Expected && state_ != State::Begun)) {
        return false;  // another site's
    }
    if (barrier.snapshot().empty()) {
        forget_since();
        state_ = State::Begun;
        return false;
    }
    const auto snapshot = Snapshot::parse(barrier.snapshot());
    if (state_ == State::Expected || !snapshot || !whole) {
        fail(whole ? "the first barrier of the check was not seen"
                   : "the initial copy is not passed yet");
        return false;
    }
    std::string problem;
    const auto touched = touched_beyond(*snapshot, problem);
    forget_since();
    if (!touched) {
        fail(problem);
        return false;
    }
    state_ = State::Running;
    lock.unlock();
    try {
        action_(*touched, session);
    } catch (const Error& error) {
        problem = error.describe();
    } catch (const Stopped&) {
        problem = "stopped";  // the one who waits; apply goes on
    } catch (...) {
        lock.lock();
        fail("it failed");
        throw;
    }
    lock.lock();
    if (problem.empty()) {
        state_ = State::Done;
        changed_.notify_all();
        return session_ == Session::Restructured;
    }
    fail(problem);
    if (session_ != Session::LeftAlone) {
        throw Error(Reaction::Retry, "a repair failed: " + problem);
    }
    return false;
}

std::optional<Touched> Barriers::touched_beyond(const Snapshot& snapshot,
                                                std::string& problem) const {
    const auto unseen = [&](uint32_t xid) { return xid != 0 && !snapshot.sees(xid); };
    if (std::any_of(before_.begin(), before_.end(), unseen)) {
        problem = "a transaction from before the first barrier was not visible on the primary yet";
        return std::nullopt;
    }
    Touched touched;
    for (const Applied& applied : since_) {
        if (!unseen(applied.xid)) {
            continue;
        }
        if (applied.structure) {
            problem = "the structure was changed between the check's barriers";
            return std::nullopt;
        }
        add_touched_rows(applied.relations, applied.changes, touched);
    }
    return touched;
}

}  // namespace antipode::secondary
