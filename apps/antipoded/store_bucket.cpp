#include "apps/antipoded/store_bucket.hpp"

namespace antipode {
namespace {

std::filesystem::path made(const std::filesystem::path& directory) {
    std::filesystem::create_directories(directory);
    return directory;
}

}  // namespace

s3::Client::Options bucket_options(const Config::Bucket& bucket) {
    return {.endpoint = bucket.endpoint,
            .bucket = bucket.bucket,
            .region = bucket.region,
            .path_style = bucket.path_style,
            .credentials_file = bucket.credentials_file};
}

StoreBucket::StoreBucket(const Config& config, const Config::Blobs& store, const Clock& clock)
    : client_(bucket_options(*store.bucket), clock),
      local_(made(config.state_dir / "buckets" / store.name)),
      tree_(s3::Bucket(client_), store.bucket->prefix, local_) {}

}  // namespace antipode
