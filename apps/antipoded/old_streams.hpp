#pragma once

#include <vector>

#include "base/config.hpp"
#include "base/ids.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// Whose stream of the epoch that has ended this site reads to its end: the next primary's, or,
/// where that does not hold what comes next here, another one's that does. Never that of a primary
/// which was lost: it may go on. Throws Error{Retry} when this site's own server is away.
std::string find_stream_to_finish(const Config& config, uint64_t epoch,
                                  const v1::EpochStart& ended);

/// The newest message that this site's own stream has of the epoch. Throws Error{Retry} when its
/// server is away.
Position newest_of_own_stream(const Config& config, uint64_t epoch);

/// A stream of the epoch, of any site but `except`, that goes on behind this site's own, and how
/// far. Empty: there is none, as far as the sites answer; `newest` is this site's then. Throws
/// Error{Retry} when this site's own server is away.
struct FurtherStream {
    std::string site;
    Position newest;
};
FurtherStream find_further_stream(const Config& config, uint64_t epoch, const std::string& except);

/// Every site of the configuration follows `epoch`, or leads it, as these reports say: nobody comes
/// over from the one before any more.
bool all_are_in(const Config& config, uint64_t epoch, const std::vector<v1::SiteReport>& reports);

/// Streams of epochs that have ended, on this site's nats-server, which has room for few. The one
/// of the epoch before is kept until every other site has followed: what one lacks of it comes from
/// there, and an old primary finds there what was set aside. One thread.
class OldStreams {
  public:
    explicit OldStreams(const Config& config) : config_(config) {}

    /// Removes the stream of the epoch before `epoch`, and what was kept of this site's promotion
    /// to it (cut.hpp), once all sites are in that.
    void look(uint64_t epoch, const std::vector<v1::SiteReport>& reports);

    /// A new stream needs room: of those from before `epoch` only the last one stays, for whoever
    /// has not followed yet.
    static void make_room(const Config& config, uint64_t epoch);
    /// The same of `record`'s. Where nothing of the epoch before was taken over, what stays is that
    /// of the last epoch of which something was.
    static void make_room(const Config& config, const v1::EpochRecord& record);
    static void remove(const Config& config, uint64_t epoch);

  private:
    const Config& config_;
    uint64_t done_ = 1;  ///< nothing from before this epoch is left
};

}  // namespace antipode
