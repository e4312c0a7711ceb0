#pragma once

#include <string>

#include "adapters/nats/jetstream.hpp"
#include "base/config.hpp"

namespace antipode {

/// This site's own nats-server.
nats::Endpoint own_endpoint(const Config& config, const std::string& purpose);
/// Another site's. Throws Error{Stop} when the configuration does not name it.
nats::Endpoint endpoint_of(const Config& config, const std::string& site,
                           const std::string& purpose);
/// The witness', when the configuration names one.
nats::Endpoint witness_endpoint(const Config& config, const std::string& purpose);

/// This site's stream of `epoch`, as its one writer or as a reader.
nats::JetStream::Options own_stream(const Config& config, uint64_t epoch, bool primary,
                                    const std::string& purpose);
/// The stream of `epoch` on another site, to read.
nats::JetStream::Options stream_of(const Config& config, const std::string& site, uint64_t epoch,
                                   const std::string& purpose);

/// The secret that the bulk service asks for; empty: none is configured. Throws Error{Stop} when
/// the file cannot be read or others may read it.
std::string read_token(const Config& config);

/// Where a site is asked over HTTP. Throws Error{Stop}: the configuration does not know it.
std::string url_of(const Config& config, const std::string& site);

}  // namespace antipode
