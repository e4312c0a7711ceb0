#pragma once

#include "adapters/files/posix_tree.hpp"
#include "adapters/s3/bucket_tree.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"

namespace antipode {

/// How a configured bucket is reached.
s3::Client::Options bucket_options(const Config::Bucket& bucket);

/// The bucket of a store of files, with everything that its tree is wired of. What is not to be in
/// the bucket stands in the state directory.
class StoreBucket {
  public:
    /// `store` has a bucket. Does not connect.
    StoreBucket(const Config& config, const Config::Blobs& store, const Clock& clock);

    s3::BucketTree& tree() { return tree_; }
    /// Ends what waits for the bucket's server, and refuses what comes. Any thread.
    void interrupt() { client_.interrupt(); }

  private:
    s3::Client client_;
    files::PosixTree local_;
    s3::BucketTree tree_;
};

}  // namespace antipode
