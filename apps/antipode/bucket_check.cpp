// The part of `antipode doctor` that looks at buckets.
#include "adapters/s3/bucket.hpp"
#include "apps/antipode/doctor.hpp"
#include "base/error.hpp"

namespace antipode::cli {
namespace {

Finding look_at(const Config::Blobs& store, const Clock& clock) {
    const std::string subject = "blobs/" + store.name;
    s3::Client client({.endpoint = store.bucket->endpoint,
                       .bucket = store.bucket->bucket,
                       .region = store.bucket->region,
                       .path_style = store.bucket->path_style,
                       .credentials_file = store.bucket->credentials_file,
                       .tries = 1},
                      clock);
    try {
        const s3::Page page = s3::Bucket(client).list(store.bucket->prefix, "", "");
        return good("bucket", subject,
                    client.name() + " can be listed" + (page.objects.empty() ? ", empty" : ""));
    } catch (const Error& error) {
        return bad("bucket", subject, error.what(), error.next_step());
    }
}

}  // namespace

Check bucket_check(const Clock& clock) {
    return {"bucket", [&clock](const Config& config) {
                Findings findings;
                for (const Config::Blobs& store : config.blobs) {
                    if (store.bucket) {
                        findings.push_back(look_at(store, clock));
                    }
                }
                return findings;
            }};
}

}  // namespace antipode::cli
