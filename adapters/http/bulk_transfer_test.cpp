// Ranges, compression, kept connections and caps of bulk transfers, over real sockets.
#include <array>
#include <atomic>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <zstd.h>

#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "adapters/http/socket.hpp"
#include "adapters/http/zstd_stream.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"
#include "tests/support/bytes_body.hpp"
#include "tests/support/process.hpp"

namespace antipode::http {
namespace {

using std::chrono::milliseconds;

const StoreId uploads{StoreKind::Blobs, "uploads"};

std::string random_bytes(size_t size) {
    std::minstd_rand random(5);
    std::string bytes(size, '\0');
    for (char& byte : bytes) {
        byte = static_cast<char>(random() >> 8);
    }
    return bytes;
}

std::string text_of(size_t size) {
    std::string text;
    for (int line = 0; text.size() < size; ++line) {
        text += "this is line " + std::to_string(line) + " of a text\n";
    }
    text.resize(size);
    return text;
}

class Text final : public BulkHandler {
  public:
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        posted = request.posted;
        return std::make_unique<test::BytesBody>(bytes, knows_size);
    }
    std::string bytes;
    bool knows_size = true;
    std::string posted;  ///< with the last request
};

/// A server, and a client of it.
struct Transfer {
    explicit Transfer(std::string bytes, HttpServer::Options options = {}, uint64_t cap = 0)
        : server(std::move(options)),
          source({.url = "http://127.0.0.1:" + std::to_string(server.port()),
                  .limit = std::make_shared<RateLimit>(cap)}) {
        handler->bytes = std::move(bytes);
        server.bulk(uploads, handler);
        server.start();
    }
    std::string pull(BulkSource::Range range, const std::string& posted = {}) {
        std::string got;
        answer = source.get({"blobs/uploads/content", {}, posted}, range, {},
                            [&](std::string_view chunk) { got += chunk; }, {});
        return got;
    }
    std::string curl(std::vector<std::string> options) const {
        options.insert(options.begin(), {"curl", "-sSf"});
        options.push_back("http://127.0.0.1:" + std::to_string(server.port()) +
                          "/v1/bulk/blobs/uploads/content");
        return test::must_run(options);
    }

    std::shared_ptr<Text> handler = std::make_shared<Text>();
    HttpServer server;
    HttpBulkSource source;
    BulkSource::Answer answer;
};

/// Answers each connection with the same bytes, whatever is asked.
class Parrot {
  public:
    explicit Parrot(std::string answer)
        : listener_("127.0.0.1", 0), thread_([this, answer](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  if (auto accepted = listener_.accept(milliseconds(50))) {
                      speak(Socket(std::move(*accepted), {}), answer);
                  }
              }
          }) {}
    std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_.port()); }

  private:
    static void speak(Socket socket, const std::string& answer) {
        socket.set_timeout(milliseconds(2000));
        try {
            std::array<char, 4096> request{};
            socket.read_some(request);
            socket.write(answer);
            socket.close_gently();
        } catch (const Error&) {
            // The client had heard enough.
        }
    }
    Listener listener_;
    std::jthread thread_;
};

std::string decoded(ZstdDecoder& decoder, std::string_view bytes) {
    std::string got;
    decoder.decode(bytes, [&](std::string_view part) { got += part; });
    return got;
}

std::string encoded(std::string_view bytes) {
    return ZstdEncoder().encode(bytes, true);
}

TEST(BulkTransfer, PullsOneRange) {
    Transfer transfer(random_bytes(300'000));
    const std::string& bytes = transfer.handler->bytes;
    EXPECT_EQ(transfer.pull({0, 10}), bytes.substr(0, 10));
    EXPECT_EQ(transfer.answer.total_size, bytes.size());
    EXPECT_EQ(transfer.pull({200'000, 50'000}), bytes.substr(200'000, 50'000));
    EXPECT_EQ(transfer.pull({299'999, 1}), bytes.substr(299'999));
    EXPECT_EQ(transfer.pull({290'000, 20'000}), bytes.substr(290'000)) << "up to its end";
    EXPECT_EQ(transfer.pull(290'000), bytes.substr(290'000));
}

TEST(BulkTransfer, CompressesWhatIsWorthIt) {
    Transfer transfer(text_of(3'000'000));
    const std::string& text = transfer.handler->bytes;
    EXPECT_EQ(transfer.pull({0, text.size()}), text);
    EXPECT_EQ(transfer.pull({1'234'567, 1'000'000}), text.substr(1'234'567, 1'000'000));
    const auto traffic = transfer.source.traffic();
    EXPECT_EQ(traffic.content_bytes, 4'000'000u);
    EXPECT_LT(traffic.received_bytes, 1'000'000u);
}

TEST(BulkTransfer, DoesNotCompressWhatIsCompressedAlready) {
    Transfer transfer(random_bytes(1'000'000));
    EXPECT_EQ(transfer.pull({0, 1'000'000}), transfer.handler->bytes);
    EXPECT_FALSE(transfer.answer.headers.contains("content-encoding"));
    EXPECT_EQ(transfer.source.traffic().received_bytes, 1'000'000u);
}

TEST(BulkTransfer, IsPlainForWhoeverDoesNotAskForMore) {
    const Transfer transfer(text_of(500'000));
    const std::string& text = transfer.handler->bytes;
    EXPECT_EQ(transfer.curl({}), text);
    EXPECT_EQ(transfer.curl({"-r", "100-299999"}), text.substr(100, 299'900));
    EXPECT_EQ(transfer.curl({"-r", "0-9", "-H", "Accept-Encoding: gzip, zstd;q=0"}),
              text.substr(0, 10));
    const std::string range =
        transfer.curl({"-r", "100-299999", "-H", "Accept-Encoding: gzip;q=0.5, zstd"});
    EXPECT_LT(range.size(), 100'000u);
    ZstdDecoder decoder(299'900);
    EXPECT_EQ(decoded(decoder, range), text.substr(100, 299'900));
    decoder.finish();
}

TEST(BulkTransfer, ReadsWhatTheHeaderAccepts) {
    EXPECT_TRUE(accepts_zstd("zstd"));
    EXPECT_TRUE(accepts_zstd("gzip, zstd;q=0.1"));
    EXPECT_TRUE(accepts_zstd("br ,\tzstd ; q=1"));
    EXPECT_FALSE(accepts_zstd("zstd;q=0"));
    EXPECT_FALSE(accepts_zstd("zstd; q=0.000, gzip"));
    EXPECT_FALSE(accepts_zstd("zstdx, gzip, *"));
    EXPECT_FALSE(accepts_zstd(""));
}

TEST(BulkTransfer, BelievesNoCodingThatIsNotJustTheRange) {
    const std::string text = text_of(1'000'000);
    const std::string good = encoded(text);
    ZstdDecoder right(text.size());
    EXPECT_EQ(decoded(right, good), text);
    right.finish();
    ZstdDecoder longer(text.size() - 1);
    EXPECT_THROW(decoded(longer, good), Error);
    ZstdDecoder shorter(text.size() + 1);
    decoded(shorter, good);
    EXPECT_THROW(shorter.finish(), Error);
    ZstdDecoder cut(text.size());
    decoded(cut, std::string_view(good).substr(0, good.size() - 1));
    EXPECT_THROW(cut.finish(), Error);
    ZstdDecoder twice(text.size());
    EXPECT_THROW(decoded(twice, good + good), Error);
    ZstdDecoder garbage(text.size());
    EXPECT_THROW(decoded(garbage, text), Error);
    // A bomb: it is stopped at the size that was said.
    ZstdDecoder bomb(1000);
    EXPECT_THROW(decoded(bomb, encoded(std::string(50'000'000, '\0'))), Error);
}

TEST(BulkTransfer, ACodingCannotAskForMuchMemory) {
    const Handle<ZSTD_CCtx, ZSTD_freeCCtx> context(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, 27);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 0);
    std::string frame(1000, '\0');
    ZSTD_outBuffer out{frame.data(), frame.size(), 0};
    ZSTD_inBuffer in{"abc", 3, 0};
    ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_flush);
    frame.resize(out.pos);
    ZstdDecoder decoder(100'000'000);
    EXPECT_THROW(decoded(decoder, frame), Error);
}

TEST(BulkTransfer, RefusesAnswersThatAreNotWhatWasAskedFor) {
    const auto ask = [](const std::string& answer, BulkSource::Range range) {
        const Parrot parrot(answer);
        HttpBulkSource source({.url = parrot.url(), .read_timeout = milliseconds(2000)});
        std::string got;
        source.get({"blobs/uploads/content", {}}, range, {},
                   [&](std::string_view chunk) { got += chunk; }, {});
        return got;
    };
    const auto part = [](const std::string& more, const std::string& body) {
        return "HTTP/1.1 206 Partial Content\r\n" + more +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    };
    EXPECT_EQ(ask(part("Content-Range: bytes 5-9/20\r\n", "56789"), {5, 5}), "56789");
    EXPECT_THROW(ask(part("Content-Range: bytes 4-8/20\r\n", "45678"), {5, 5}), Error);
    EXPECT_THROW(ask(part("", "56789"), {5, 5}), Error);
    EXPECT_EQ(ask("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789", {5, 5}),
              "56789")
        << "a server without ranges";
    const std::string zstd = "Content-Encoding: zstd\r\nContent-Range: bytes 5-9/20\r\n";
    EXPECT_EQ(ask(part(zstd, encoded("56789")), {5, 5}), "56789");
    EXPECT_THROW(ask(part(zstd, encoded("567890")), {5, 5}), Error);
    EXPECT_THROW(ask(part(zstd, encoded("5678")), {5, 5}), Error);
    EXPECT_THROW(ask(part("Content-Encoding: br\r\nContent-Range: bytes 5-9/20\r\n", "x"), {5, 5}),
                 Error);
}

TEST(BulkTransfer, GoesOnWhenTheServerClosedTheConnectionThatWasKept) {
    const std::string bytes = random_bytes(1000);
    auto first = std::make_unique<Transfer>(bytes);
    const std::string address = "127.0.0.1:" + std::to_string(first->server.port());
    HttpBulkSource source({.url = "http://" + address});
    const auto pull = [&] {
        std::string got;
        source.get({"blobs/uploads/content", {}}, {0, 1000}, {},
                   [&](std::string_view chunk) { got += chunk; }, {});
        return got;
    };
    EXPECT_EQ(pull(), bytes);
    EXPECT_EQ(pull(), bytes);
    first.reset();
    const Transfer second(bytes, {.listen = address});
    EXPECT_EQ(pull(), bytes);
}

TEST(BulkTransfer, ManyRangesUseFewConnections) {
    // With room for no more than these, each further connection would be refused.
    Transfer transfer(random_bytes(100'000), {.connections = 2});
    for (uint64_t offset = 0; offset < 100'000; offset += 1000) {
        EXPECT_EQ(transfer.pull({offset, 1000}), transfer.handler->bytes.substr(offset, 1000));
    }
}

TEST(BulkTransfer, WhatIsTooLongForAQueryIsPosted) {
    // With room for no more than these, each further connection would be refused.
    Transfer transfer(random_bytes(100'000), {.connections = 2});
    transfer.handler->knows_size = false;
    for (size_t size = 1; size < 4'000'000; size *= 7) {
        const std::string posted = random_bytes(size);
        EXPECT_EQ(transfer.pull(0, posted), transfer.handler->bytes);
        EXPECT_EQ(transfer.handler->posted, posted);
        EXPECT_EQ(transfer.pull(0), transfer.handler->bytes);
        EXPECT_EQ(transfer.handler->posted, "");
    }
    EXPECT_THROW(transfer.pull(0, std::string(9'000'000, 'x')), Error);
}

TEST(BulkTransfer, OnlyWhoHasTheTokenMayPost) {
    Transfer transfer("content", {.token = "sesame"});
    EXPECT_THROW(transfer.pull(0, "posted"), Error);
    EXPECT_EQ(transfer.handler->posted, "");
}

/// How long four threads need for so many bytes each.
milliseconds time_of(Transfer& transfer, uint64_t each) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> pulls;
    for (uint64_t i = 0; i < 4; ++i) {
        pulls.emplace_back([&transfer, i, each] {
            transfer.source.get({"blobs/uploads/content", {}}, {i * each, each}, {},
                                [](std::string_view) {}, {});
        });
    }
    pulls.clear();
    return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start);
}

TEST(BulkTransfer, AllRangesTogetherKeepTheCap) {
    Transfer transfer(random_bytes(1'000'000), {}, 500'000);
    EXPECT_GE(time_of(transfer, 250'000), milliseconds(1850));
}

TEST(BulkTransfer, TheCapCountsWhatPassesTheWire) {
    Transfer transfer(text_of(8'000'000), {}, 500'000);
    const auto time = time_of(transfer, 2'000'000);
    const auto received = transfer.source.traffic().received_bytes;
    EXPECT_EQ(transfer.source.traffic().content_bytes, 8'000'000u);
    EXPECT_LT(received, 4'000'000u);
    EXPECT_GE(time.count(), static_cast<int64_t>(received / 500) - 150);
}

TEST(BulkTransfer, TheServerKeepsItsOwnCap) {
    Transfer transfer(random_bytes(1'000'000),
                      {.bulk_limit = std::make_shared<RateLimit>(500'000)});
    EXPECT_GE(time_of(transfer, 250'000), milliseconds(1300));
}

TEST(BulkTransfer, AChangedCapCountsForTransfersThatRun) {
    const auto limit = std::make_shared<RateLimit>(10'000);
    Transfer transfer(random_bytes(4'000'000), {.bulk_limit = limit});
    const auto start = std::chrono::steady_clock::now();
    std::jthread operator_of_it([&] {
        while (transfer.source.traffic().content_bytes == 0) {
            std::this_thread::yield();
        }
        limit->set(0);
    });
    EXPECT_EQ(transfer.pull(0).size(), 4'000'000u);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60))
        << "at 10 kB/s it takes 400 s";
}

}  // namespace
}  // namespace antipode::http
