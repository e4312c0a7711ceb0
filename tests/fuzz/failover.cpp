#include "apps/antipode/nats_greeting.hpp"
#include "failover/epoch.hpp"
#include "failover/loss.hpp"
#include "failover/machine.hpp"
#include "tests/fuzz/parser.hpp"
#include "tests/support/memory_bucket.hpp"

namespace antipode::fuzz {
namespace {

void read_state(std::string_view bytes) {
    const auto state = failover::parse_state(bytes);
    require(!state || failover::to_string(*state) == bytes, "a state has one name");
}

void read_epoch(std::string_view bytes) {
    test::MemoryBucket::Server server;
    test::MemoryBucket bucket(server);
    bucket.put("epoch", std::string(bytes));
    std::optional<failover::Epoch> epoch;
    if (is_read([&] { epoch = failover::read_epoch(bucket, "test"); })) {
        require(epoch && epoch->record.epoch() > 0 && !epoch->record.primary().empty(),
                "a record names the epoch and its primary");
        const auto next = failover::successor(epoch->record, "test", from_microseconds(1));
        require(epoch->record.sequence() == UINT64_MAX || failover::is_later(next, epoch->record),
                "its successor is later");
    }
}

/// Another site gives it.
void read_report(std::string_view bytes) {
    failover::FinalLoss loss;
    loss.site = "london";
    std::string report;
    if (is_read([&] { report = failover::complete_report(std::string(bytes), loss); })) {
        require(is_read([&] { failover::complete_report(report, loss); }),
                "a report is completed a second time");
    }
    static_cast<void>(failover::rejoined_report(std::string(bytes), from_microseconds(1)));
}

void read_nats_info(std::string_view bytes) {
    is_read([&] { cli::parse_nats_info(std::string(bytes)); });
    cli::NatsAddress address;
    require(!is_read([&] { address = cli::NatsAddress::parse(std::string(bytes)); }) ||
                (!address.host.empty() && address.port != 0),
            "an address has a host and a port");
}

std::vector<std::string> epoch_seeds() {
    v1::EpochRecord record;
    record.set_cluster("test");
    record.set_epoch(3);
    record.set_primary("london");
    record.set_state(failover::record_state::handoff);
    v1::LaneCut& cut = *record.add_cuts();
    cut.set_store("database/app");
    cut.set_lsn(17);
    return {record.SerializeAsString()};
}

std::vector<std::string> report_seeds() {
    failover::LossReport report;
    report.cluster = "test";
    report.operation = "promote-1";
    report.old_primary = "london";
    report.lanes.push_back({{StoreKind::Database, "app"}, {1, 2, 3}, Lsn{5}, std::nullopt});
    failover::Loss loss;
    loss.store = {StoreKind::Blobs, "uploads"};
    loss.item = "a";
    report.losses.push_back(loss);
    const std::string preliminary = report.to_json();
    return {preliminary, failover::complete_report(preliminary, {})};
}

}  // namespace

std::vector<Parser> failover_parsers() {
    return {
        {"apps/nats-info", read_nats_info,
         [] {
             return std::vector<std::string>{R"(INFO {"version":"2.9.10","jetstream":true})",
                                             "nats://user:password@[::1]:4222"};
         }},
        {"failover/epoch", read_epoch, epoch_seeds},
        {"failover/report", read_report, report_seeds},
        {"failover/state", read_state,
         [] {
             return std::vector<std::string>{"serving", "quarantined", "rolling-back"};
         }},
    };
}

}  // namespace antipode::fuzz
