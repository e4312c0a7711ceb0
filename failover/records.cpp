#include "failover/records.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::failover {
namespace {

/// A site that does not answer takes seconds to say so.
constexpr std::chrono::seconds ask_again(3);

}  // namespace

Records::Records(Options options, const OpenBucket& open, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      journal_(options_.journal),
      bucket_(open(options_.site)) {
    listen_to_epoch(*bucket_, options_.changed);
    for (const std::string& site : options_.others) {
        others_[site].bucket = open(site);
        listen_to_epoch(*others_[site].bucket, options_.changed);
    }
}

void Records::refresh() {
    read_own();
    for (auto& [site, other] : others_) {
        read(site, other);
        if (!other.record) {
            continue;
        }
        const bool same_epoch = own_ && own_->record.epoch() == other.record->epoch();
        const bool authority = !same_epoch || own_->record.primary() == site;
        if (!own_ || (authority && is_later(*other.record, own_->record))) {
            adopt(*other.record);
        }
    }
    if (own_) {
        journal_.note(own_->record);
    }
}

/// A server that lost its tail must not take this site back in time.
void Records::read_own() {
    own_ = read_epoch(*bucket_, options_.cluster);
    const auto known = journal_.last();
    if (known && (!own_ || is_later(*known, own_->record))) {
        spdlog::warn("this site's nats-server has lost the epoch record; it is written again");
        adopt(*known);
    }
}

void Records::adopt(const v1::EpochRecord& record) {
    journal_.note(record);
    adopt_epoch(*bucket_, options_.cluster, record);
    own_ = read_epoch(*bucket_, options_.cluster);
}

void Records::read(const std::string& site, Other& other) {
    if (clock_.steady_now() < other.ask_at) {
        return;
    }
    other.record.reset();
    try {
        if (const auto epoch = read_epoch(*other.bucket, options_.cluster)) {
            other.record = epoch->record;
        }
    } catch (const Error& error) {
        other.ask_at = clock_.steady_now() + ask_again;
        spdlog::debug("epoch: {} does not say: {}", site, error.what());
    }
}

std::optional<v1::EpochRecord> Records::of(const std::string& site) const {
    const auto found = others_.find(site);
    return found == others_.end() ? std::nullopt : found->second.record;
}

bool Records::are_complete() const {
    return own_ && std::all_of(others_.begin(), others_.end(),
                               [](const auto& other) { return other.second.record.has_value(); });
}

std::optional<v1::EpochRecord> Records::contradiction() const {
    for (const auto& [site, other] : others_) {
        if (own_ && other.record && other.record->epoch() == own_->record.epoch() &&
            other.record->primary() != own_->record.primary()) {
            return other.record;
        }
    }
    return std::nullopt;
}

std::optional<v1::EpochRecord> Records::rival() const {
    std::optional<v1::EpochRecord> first;
    for (const auto& [site, other] : others_) {
        const bool is_one = own_ && other.record && other.record->epoch() == own_->record.epoch() &&
                            other.record->state() == record_state::promoting &&
                            other.record->target() == site;
        if (is_one && (!first || was_asked_first(*other.record, *first))) {
            first = other.record;
        }
    }
    return first;
}

bool Records::change(const v1::EpochRecord& record) {
    const auto changed = change_epoch(*bucket_, *own_, record);
    if (!changed) {
        return false;
    }
    own_ = changed;
    journal_.note(record);
    return true;
}

bool Records::is_asked(const char* key, uint64_t epoch) {
    const auto entry = bucket_->get(key);
    return entry && entry->value == std::to_string(epoch);
}

std::string Records::asked_for(const char* key, uint64_t epoch) {
    const auto entry = bucket_->get(key);
    const std::string begin = std::to_string(epoch) + " ";
    return entry && entry->value.starts_with(begin) ? entry->value.substr(begin.size())
                                                    : std::string();
}

std::optional<v1::SiteReport> Records::report_of(const std::string& site) {
    const auto entry = bucket_->get("site." + site);
    v1::SiteReport report;
    return entry && report.ParseFromString(entry->value) ? std::optional(report) : std::nullopt;
}

}  // namespace antipode::failover
