#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::bench {

/// Two PostgreSQL servers with equal settings (fsync on), one following the other.
class Pair {
  public:
    virtual ~Pair() = default;
    virtual std::string name() const = 0;
    virtual test::PostgresServer& source() = 0;
    virtual test::PostgresServer& mirror() = 0;
    /// Begins to copy and follow the database "app" as it is on the source now.
    virtual void connect() = 0;
    /// Nothing is decoded or applied until resume().
    virtual void halt() = 0;
    virtual void resume() = 0;
    struct Daemon {
        std::string name;
        pid_t pid;
    };
    /// Whose memory is measured; as long as nothing is halted.
    virtual std::vector<Daemon> daemons() { return {}; }
};

/// PostgreSQL's own logical replication: CREATE PUBLICATION, CREATE SUBSCRIPTION.
std::unique_ptr<Pair> native_pair();
/// Antipode: two sites with a nats-server each.
std::unique_ptr<Pair> antipode_pair();

}  // namespace antipode::bench
