#include "apps/antipode/epoch_view.hpp"

#include "base/error.hpp"

namespace antipode::cli {
namespace {

std::optional<failover::Epoch> read_or_say_who(KeyValue& bucket, const Config& config,
                                               const std::string& site) {
    try {
        return failover::read_epoch(bucket, config.cluster);
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Retry) {
            throw;
        }
        throw CommandError(ExitCode::Unreachable,
                           "the nats-server of " + site + " does not answer: " + error.what(),
                           "start it; the epoch record that says who is the primary is in it");
    }
}

}  // namespace

failover::Epoch read_record(KeyValue& bucket, const Config& config, const std::string& site) {
    const auto epoch = read_or_say_who(bucket, config, site);
    if (!epoch) {
        throw CommandError(ExitCode::Failed, "there is no epoch record on " + site,
                           "antipode sites init --primary NAME");
    }
    return *epoch;
}

std::optional<failover::Epoch> try_read_record(KeyValue& bucket, const Config& config) {
    try {
        return failover::read_epoch(bucket, config.cluster);
    } catch (const Error&) {
        return std::nullopt;
    }
}

v1::EpochRecord newest_record(const Config& config, const OpenBucket& open) {
    std::optional<v1::EpochRecord> newest;
    for (const Config::Site& site : config.sites) {
        try {
            const auto bucket = open(site, false);
            const auto epoch = failover::read_epoch(*bucket, config.cluster);
            if (epoch && (!newest || failover::is_later(epoch->record, *newest))) {
                newest = epoch->record;
            }
        } catch (const Error&) {
            // The others say it.
        }
    }
    if (!newest) {
        throw CommandError(ExitCode::Unreachable, "no site's nats-server says who is the primary",
                           "antipode doctor");
    }
    return *newest;
}

std::optional<failover::Epoch> change_record(KeyValue& bucket, const failover::Epoch& seen,
                                             const v1::EpochRecord& record) {
    try {
        return failover::change_epoch(bucket, seen, record);
    } catch (const Error& error) {
        throw CommandError(
            ExitCode::Unknown,
            "it is not known whether " + record.operation_id() + " was asked for: " + error.what(),
            "the same command again: it goes on with one that runs");
    }
}

}  // namespace antipode::cli
