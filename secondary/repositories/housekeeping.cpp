#include "secondary/repositories/housekeeping.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/background.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::hours walk_interval(24);
/// Less is due at the next walk at the latest.
constexpr size_t few_changes = 8;
constexpr uint64_t few_bytes = limits::mib;
/// Whoever asks what changed something asks soon.
constexpr std::chrono::minutes remembered(10);

}  // namespace

Housekeeping::Housekeeping(Repositories& repositories, const Clock& clock,
                           std::function<bool(const std::string& name)> waits)
    : repositories_(repositories),
      clock_(clock),
      waits_(std::move(waits)),
      walk_due_(clock.steady_now()) {}

void Housekeeping::note(const std::string& name, uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    Small& small = small_[name];
    ++small.changes;
    small.bytes += std::min(bytes, few_bytes);
    if (small.changes >= few_changes || small.bytes >= few_bytes) {
        small_.erase(name);
        names_.insert(name);
        noted_.notify_one();
    }
}

bool Housekeeping::kept_since(const std::string& name, TimePoint time) const {
    const std::scoped_lock lock(mutex_);
    const auto kept = kept_.find(name);
    return name == kept_now_ || (kept != kept_.end() && kept->second >= time);
}

void Housekeeping::note_end(const std::string& name, bool worked) {
    const std::scoped_lock lock(mutex_);
    const TimePoint now = clock_.now();
    kept_now_.clear();
    if (!worked) {
        return;
    }
    std::erase_if(kept_, [&](const auto& kept) { return kept.second < now - remembered; });
    kept_[name] = now;
}

void Housekeeping::step(const std::stop_token& stop) {
    if (clock_.steady_now() >= walk_due_) {
        const auto found = repositories_.discover(stop).found;
        {
            const std::scoped_lock lock(mutex_);
            small_.clear();  // of some that are no more, too
        }
        for (const std::string& name : found) {
            note(name);
        }
        walk_due_ = clock_.steady_now() + walk_interval;
        return;  // soon: the caller says that it gets on
    }
    const std::string name = next(stop);
    if (name.empty()) {
        return;
    }
    const SteadyTime began = clock_.steady_now();
    const bool worked = keep(name, stop);
    note_end(name, worked);
    if (worked) {
        const auto took = clock_.steady_now() - began;
        sleep_unless_stopped(std::chrono::duration_cast<std::chrono::milliseconds>(took), stop);
    }
}

/// Empty: there was none for a while.
std::string Housekeeping::next(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!noted_.wait_for(lock, stop, limits::wait, [&] { return !names_.empty(); })) {
        return {};
    }
    auto found = names_.upper_bound(last_);
    found = found == names_.end() ? names_.begin() : found;
    last_ = *found;
    kept_now_ = last_;
    names_.erase(found);
    return last_;
}

bool Housekeeping::keep(const std::string& name, const std::stop_token& stop) {
    if (waits_ && waits_(name)) {
        return false;
    }
    be_nice();
    const IdleDisk idle;
    try {
        return repositories_.keep_house(name, stop);
    } catch (const Error& error) {
        if (last_problem_ != error.what()) {
            spdlog::warn("housekeeping of {}: {}", printable(name), error.what());
        }
        last_problem_ = error.what();
        return true;
    }
}

}  // namespace antipode::secondary
