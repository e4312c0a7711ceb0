#include "apps/antipoded/pull_places.hpp"

#include <atomic>

#include <gtest/gtest.h>

#include "adapters/files/posix_tree.hpp"
#include "adapters/http/server.hpp"
#include "base/error.hpp"
#include "secondary/content.hpp"
#include "tests/support/bytes_body.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode {
namespace {

using namespace std::chrono_literals;

const StoreId uploads{StoreKind::Blobs, "uploads"};
const std::string large(300'000, 'l');
const std::string other(300'000, 'o');

/// A site that has one content, or none: 404. Or it fails.
class Place {
  public:
    explicit Place(const std::optional<std::string>& bytes, bool fails = false) {
        server_.bulk(uploads, std::make_shared<Handler>(bytes, fails, asked_));
        server_.start();
    }
    http::HttpBulkSource::Options options() const {
        return {.url = "http://127.0.0.1:" + std::to_string(server_.port())};
    }
    int asked() const { return *asked_; }

  private:
    struct Handler final : BulkHandler {
        Handler(std::optional<std::string> all, bool broken,
                std::shared_ptr<std::atomic<int>> count)
            : bytes(std::move(all)), fails(broken), asked(std::move(count)) {}
        std::unique_ptr<BulkBody> open(const BulkRequest&) override {
            ++*asked;
            if (fails) {
                throw Error(Reaction::Retry, "the disk fails");
            }
            return bytes ? std::make_unique<test::BytesBody>(*bytes) : nullptr;
        }
        const std::optional<std::string> bytes;
        const bool fails;
        const std::shared_ptr<std::atomic<int>> asked;
    };
    std::shared_ptr<std::atomic<int>> asked_ = std::make_shared<std::atomic<int>>(0);
    http::HttpServer server_{{}};
};

class PullPlacesTest : public testing::Test {
  protected:
    PullPlacesTest() {
        content_.set_size(large.size());
        content_.set_sha256(std::string(view(sha256(large))));
        content_.set_pull("a reference");
    }
    /// Until it is here, or gone; nullopt: it comes from nowhere.
    std::optional<bool> fetch(PullPlaces& places) {
        for (int i = 0; i < 9; ++i) {
            try {
                const auto outcome = contents_.fetch(content_, places, {});
                const auto* here = std::get_if<secondary::ContentStore::Here>(&outcome);
                EXPECT_TRUE(here == nullptr || test::read_file(here->path) == large);
                return here != nullptr;
            } catch (const Error& error) {
                EXPECT_EQ(error.reaction(), Reaction::Retry);
            }
        }
        return std::nullopt;
    }

    ManualClock clock_;
    test::TemporaryDirectory temporary_;
    files::PosixTree tree_{temporary_.path()};
    secondary::ContentStore contents_{uploads, tree_, "incoming"};
    v1::Content content_;
    const http::HttpBulkSource::Options nobody_{.url = "http://127.0.0.1:1"};
    http::HttpBulkSource dead_{nobody_};
};

TEST_F(PullPlacesTest, AsksOnlyThePrimaryUntilItIsToldOtherwise) {
    Place with(large);
    PullPlaces places(dead_, {with.options()}, nobody_, clock_);
    EXPECT_EQ(fetch(places), std::nullopt);
    EXPECT_TRUE(places.ask_others());
    EXPECT_FALSE(places.ask_others());
    EXPECT_EQ(fetch(places), true);
    clock_.advance(61s);
    contents_.discard(sha256(large), [] { return true; });
    EXPECT_EQ(fetch(places), std::nullopt) << "the promotion was given up";
}

TEST_F(PullPlacesTest, AsksTheNextOneWhenOneHasItNotOrOtherwiseOrIsAway) {
    Place without(std::nullopt);
    Place otherwise(other);
    Place with(large);
    const auto away = http::HttpBulkSource::Options{.url = "http://127.0.0.1:1"};
    PullPlaces places(dead_, {away, without.options(), otherwise.options(), with.options()},
                      nobody_, clock_);
    places.ask_others();
    EXPECT_EQ(fetch(places), true);
    EXPECT_EQ(otherwise.asked(), 1);
}

TEST_F(PullPlacesTest, NeverTakesTheWordOfASecondaryForAnEnd) {
    Place without(std::nullopt);
    Place otherwise(other);
    PullPlaces places(dead_, {without.options(), otherwise.options()}, nobody_, clock_);
    places.ask_others();
    EXPECT_EQ(fetch(places), std::nullopt);
    EXPECT_EQ(otherwise.asked(), 1) << "it would bring the same again";
}

TEST_F(PullPlacesTest, BelievesAPrimaryThatLives) {
    Place without(std::nullopt);
    Place primary(std::nullopt);
    http::HttpBulkSource source(primary.options());
    PullPlaces places(source, {without.options()}, primary.options(), clock_);
    places.ask_others();
    EXPECT_EQ(fetch(places), false);
}

TEST_F(PullPlacesTest, AsksALostPrimaryOnceInAWhile) {
    Place without(std::nullopt);
    Place primary(std::nullopt, true);
    PullPlaces places(dead_, {without.options()}, primary.options(), clock_);
    places.ask_others();
    EXPECT_EQ(fetch(places), std::nullopt);
    EXPECT_EQ(primary.asked(), 1);
    EXPECT_GT(without.asked(), 1);
    clock_.advance(31s);
    EXPECT_EQ(fetch(places), std::nullopt);
    EXPECT_EQ(primary.asked(), 2);
}

TEST_F(PullPlacesTest, PullsWhatComesTogetherAlone) {
    Place with(large);
    PullPlaces places(dead_, {with.options()}, nobody_, clock_);
    places.ask_others();
    std::string bytes;
    const auto answer = places.get({"blobs/uploads/contents", {}, "6161\n6262\n"}, 0, {},
                                   [&](std::string_view chunk) { bytes += chunk; }, {});
    EXPECT_TRUE(answer.found);
    EXPECT_EQ(bytes, std::string(8, '\xff'));
}

}  // namespace
}  // namespace antipode
