#include "apps/antipoded/held_contents.hpp"

#include <gtest/gtest.h>

#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "apps/antipoded/pull_places.hpp"
#include "base/error.hpp"
#include "secondary/content.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"
#include "verify/blob_digest.hpp"

namespace antipode {
namespace {

const StoreId uploads{StoreKind::Blobs, "uploads"};
const std::string large(300'000, 'l');

/// A secondary, as others reach it.
class Held {
  public:
    explicit Held(const std::string& token = {}) : server_({.token = token}) {
        store_.name = uploads.name;
        store_.root = temporary_.path() / "root";
        std::filesystem::create_directory(store_.root);
        server_.bulk(uploads, std::make_shared<HeldContents>(store_, registry_));
        server_.start();
    }
    /// A file that was applied as `announced`.
    void put(const std::string& file, const std::string& bytes, const std::string& announced) {
        test::write_file(store_.root / file, bytes);
        secondary::Registry::Outcome outcome;
        outcome.item = file;
        outcome.position = {1, 1, ++number_};
        outcome.applied = verify::blob_digest(sha256(announced), announced.size());
        registry_->record(uploads, {&outcome, 1}, outcome.position);
    }
    std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }

  private:
    test::TemporaryDirectory temporary_;
    SystemClock clock_;
    Config::Blobs store_;
    std::shared_ptr<secondary::Registry> registry_ =
        std::make_shared<secondary::Registry>("", clock_);
    uint64_t number_ = 0;
    http::HttpServer server_;
};

BulkRequest request_for(const std::string& file, const std::string& bytes) {
    const primary::BlobReference reference{file, bytes.size(), 77};
    return {"blobs/uploads/content",
            {{"ref", to_hex(reference.encode())}, {"sha256", to_hex(sha256(bytes))}}};
}

BulkRequest held(BulkRequest request) {
    request.query[of_secondary] = "1";
    return request;
}

/// nullopt: 404.
std::optional<std::string> get(BulkSource& source, const BulkRequest& request) {
    std::string bytes;
    const auto answer =
        source.get(request, 0, {}, [&](std::string_view chunk) { bytes += chunk; }, {});
    return answer.found ? std::optional(bytes) : std::nullopt;
}

TEST(HeldContents, ServesWhatWasAppliedWithTheHashAndNothingElse) {
    Held site;
    site.put("a", large, large);
    http::HttpBulkSource source({.url = site.url()});
    EXPECT_EQ(get(source, held(request_for("a", large))), large);
    EXPECT_EQ(get(source, held(request_for("renamed", large))), large);
    const std::string other(large.size(), 'o');
    EXPECT_EQ(get(source, held(request_for("a", other))), std::nullopt);
    site.put("b", "short", large);
    EXPECT_EQ(get(source, held(request_for("b", other))), std::nullopt);
    site.put("small", "small", "small");
    EXPECT_EQ(get(source, held(request_for("small", "small"))), "small");
    BulkRequest malformed = held(request_for("a", large));
    malformed.query["sha256"] = "nothing";
    EXPECT_EQ(get(source, malformed), std::nullopt);
}

TEST(HeldContents, SaysNothingIsGoneToWhoTakesItForThePrimary) {
    Held site;
    site.put("a", large, large);
    http::HttpBulkSource source({.url = site.url()});
    EXPECT_THROW(get(source, request_for("a", large)), Error);
    EXPECT_THROW(get(source, request_for("b", large)), Error);
    EXPECT_THROW(get(source, {"blobs/uploads/inventory", {}}), Error);
}

TEST(HeldContents, AsksForTheToken) {
    Held site("secret");
    site.put("a", large, large);
    http::HttpBulkSource stranger({.url = site.url()});
    EXPECT_THROW(get(stranger, held(request_for("a", large))), Error);
    http::HttpBulkSource known({.url = site.url(), .token = "secret"});
    EXPECT_EQ(get(known, held(request_for("a", large))), large);
}

}  // namespace
}  // namespace antipode
