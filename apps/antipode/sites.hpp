#pragma once

#include <functional>
#include <memory>
#include <string>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "base/clock.hpp"
#include "base/seams/key_value.hpp"

/// `antipode sites`: the cluster's sites and their epoch record, which says who is primary. Without
/// a witness each site keeps the record on its own nats-server.
namespace antipode::cli {

/// A site's bucket, on its own nats-server. `create`: make it when it is missing.
using OpenBucket = std::function<std::unique_ptr<KeyValue>(const Config::Site& site, bool create)>;
OpenBucket nats_buckets(const Config& config);

ExitCode list_sites(const Config& config, const OpenBucket& open, const Output& output);
ExitCode show_site(const Config& config, const OpenBucket& open, const Fetch& fetch,
                   const Output& output, const std::string& name);
/// Names the primary, once in a cluster's life: creates the record there and copies it to the other
/// sites. Can be repeated: it writes what is still missing.
ExitCode init_sites(const Config& config, const OpenBucket& open, const Clock& clock,
                    const Output& output, const std::string& primary);

}  // namespace antipode::cli
