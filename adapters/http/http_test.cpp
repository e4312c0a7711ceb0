#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "adapters/http/socket.hpp"
#include "base/error.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::http {
namespace {

using std::chrono::milliseconds;

const StoreId uploads{StoreKind::Blobs, "uploads"};

/// Content of a known or unknown size that may fail on the way.
class FakeBody final : public BulkBody {
  public:
    FakeBody(std::string bytes, bool sized, size_t fails_at)
        : bytes_(std::move(bytes)), sized_(sized), fails_at_(fails_at) {}
    std::optional<uint64_t> size() const override {
        return sized_ ? std::optional<uint64_t>(bytes_.size()) : std::nullopt;
    }
    void seek(uint64_t offset) override { place_ = offset; }
    size_t read(std::span<char> buffer) override {
        if (place_ >= fails_at_) {
            throw Error(Reaction::Retry, "the disk says no");
        }
        const size_t count = std::min({buffer.size(), bytes_.size() - place_, fails_at_ - place_});
        bytes_.copy(buffer.data(), count, place_);
        place_ += count;
        return count;
    }
    std::map<std::string, std::string> headers() const override {
        return {{"X-Snapshot", "a\r\nb"}};
    }

  private:
    std::string bytes_;
    bool sized_;
    size_t fails_at_;
    size_t place_ = 0;
};

class FakeHandler final : public BulkHandler {
  public:
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        last.with([&](BulkRequest& kept) { kept = request; });
        if (request.path.ends_with("/gone")) {
            return nullptr;
        }
        if (request.path.ends_with("/broken")) {
            throw Error(Reaction::Retry, "not now", "wait");
        }
        return std::make_unique<FakeBody>(bytes, !request.path.ends_with("/stream"), fails_at);
    }
    std::string bytes;
    std::atomic<size_t> fails_at = SIZE_MAX;
    Synchronized<BulkRequest> last;
};

class Http : public testing::Test {
  protected:
    explicit Http(HttpServer::Options options = {}) : server(std::move(options)) {
        for (int i = 0; i < 300'000; ++i) {
            handler->bytes += static_cast<char>(i * 7 + i / 256);
        }
        server.bulk(uploads, handler);
        server.start();
    }

    std::string url(const std::string& target = "") const {
        return "http://127.0.0.1:" + std::to_string(server.port()) + target;
    }
    std::string pull(const std::string& what, uint64_t offset = 0) {
        std::string got;
        answer = source().get({"blobs/uploads/" + what, {{"path", std::string("\xff&=% ", 5)}}},
                              offset, {}, [&](std::string_view chunk) { got += chunk; }, {});
        return got;
    }
    HttpBulkSource source() const {
        return HttpBulkSource({.url = url(), .token = token, .read_timeout = milliseconds(2000)});
    }
    /// What the server answers to raw bytes, until it closes.
    std::string raw(const std::string& request) const {
        Socket socket = Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {});
        socket.write(request);
        std::string got;
        std::array<char, 4096> buffer{};
        while (const size_t count = socket.read_some(buffer)) {
            got.append(buffer.data(), count);
        }
        return got;
    }

    std::shared_ptr<FakeHandler> handler = std::make_shared<FakeHandler>();
    HttpServer server;
    std::string token;
    BulkSource::Answer answer;
};

TEST_F(Http, AnswersByPath) {
    server.route("/livez", [](const HttpRequest&) { return HttpResponse{.body = "{}"}; });
    server.route("/v1/", [](const HttpRequest& request) {
        return HttpResponse{.status = 201, .body = request.path + request.query.at("q")};
    });
    EXPECT_EQ(http_get(url("/livez")).body, "{}");
    const HttpAnswer below = http_get(url("/v1/a%20b?q=1"));
    EXPECT_EQ(below.status, 201u);
    EXPECT_EQ(below.body, "/v1/a b1");
    EXPECT_EQ(http_get(url("/livez/x")).status, 404u);
    server.route("/livez", {});
    EXPECT_EQ(http_get(url("/livez")).status, 404u);
}

TEST_F(Http, TellsErrorsAsJson) {
    server.route("/retry", [](const HttpRequest&) -> HttpResponse {
        throw Error(Reaction::Retry, "no \"broker\"", "start it");
    });
    server.route("/bug", [](const HttpRequest&) -> HttpResponse { throw std::logic_error("x"); });
    const HttpAnswer retry = http_get(url("/retry"));
    EXPECT_EQ(retry.status, 503u);
    EXPECT_EQ(retry.body,
              "{\"error\":{\"message\":\"no \\\"broker\\\"\",\"next_step\":\"start it\"}}\n");
    EXPECT_EQ(http_get(url("/bug")).status, 500u);
}

TEST_F(Http, PullsWholeContent) {
    EXPECT_EQ(pull("content"), handler->bytes);
    EXPECT_EQ(answer.total_size, handler->bytes.size());
    EXPECT_EQ(handler->last.copy().path, "blobs/uploads/content");
    EXPECT_EQ(handler->last.copy().query.at("path"), std::string("\xff&=% ", 5));
    EXPECT_EQ(answer.headers.at("x-snapshot"), "a  b");
}

TEST_F(Http, ResumesAtAnOffset) {
    EXPECT_EQ(pull("content", 299'990), handler->bytes.substr(299'990));
    EXPECT_EQ(answer.total_size, handler->bytes.size());
    EXPECT_EQ(pull("content", 300'000), "");
    EXPECT_TRUE(answer.found);
    EXPECT_THROW(pull("content", 300'001), Error);
    EXPECT_EQ(pull("stream", 299'990), handler->bytes.substr(299'990));
}

TEST_F(Http, StreamsContentOfUnknownSize) {
    EXPECT_EQ(pull("stream"), handler->bytes);
    EXPECT_FALSE(answer.total_size);
}

TEST_F(Http, ServesEmptyContent) {
    handler->bytes.clear();
    EXPECT_EQ(pull("content"), "");
    EXPECT_EQ(answer.total_size, uint64_t{0});
    EXPECT_EQ(pull("stream"), "");
}

TEST_F(Http, SaysWhenContentIsGone) {
    EXPECT_EQ(pull("gone"), "");
    EXPECT_FALSE(answer.found);
}

TEST_F(Http, AStoreThatIsNotServedIsNoGoneContent) {
    server.bulk(uploads, nullptr);
    EXPECT_THROW(pull("content"), Error);
}

TEST_F(Http, NeverTakesHalfForAll) {
    EXPECT_THROW(pull("broken"), Error);
    handler->fails_at = 0;
    EXPECT_THROW(pull("content"), Error);
    handler->fails_at = 200'000;
    EXPECT_THROW(pull("content"), Error);
    EXPECT_THROW(pull("stream"), Error);
}

TEST_F(Http, StopsAPullByItsToken) {
    std::stop_source stop;
    EXPECT_THROW(source().get(
                     {"blobs/uploads/content", {}}, 0, {},
                     [&](std::string_view) { stop.request_stop(); }, stop.get_token()),
                 Stopped);
}

TEST_F(Http, SharesTheBandwidthCap) {
    const HttpBulkSource::Options options{.url = url(),
                                          .limit = std::make_shared<RateLimit>(1'000'000)};
    HttpBulkSource capped(options);
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::jthread> pulls;
    for (int i = 0; i < 2; ++i) {
        pulls.emplace_back([&] {
            capped.get({"blobs/uploads/content", {}}, 0, {}, [](std::string_view) {}, {});
        });
    }
    pulls.clear();
    EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(450));
}

TEST_F(Http, RefusesWhatIsNoRequest) {
    EXPECT_TRUE(raw("hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE(raw("DELETE / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    EXPECT_TRUE(raw("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").starts_with("HTTP/1.1 413 "));
    EXPECT_TRUE(raw("GET %zz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE(raw("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")
                    .starts_with("HTTP/1.1 431 "));
}

TEST_F(Http, TakesWhatIsPostedFromWhoMayPost) {
    HttpServer closed({.token = "secret"});
    std::string taken;
    closed.post("/v1/notify/x", [&](const HttpRequest& request, const std::stop_token&) {
        taken += request.method + " " + request.body + ";";
        return HttpResponse{};
    });
    closed.start();
    const std::string place = "http://127.0.0.1:" + std::to_string(closed.port()) + "/v1/notify/x";
    const auto post = [&](const std::string& to, const std::string& body,
                          const std::string& bearer) {
        return test::must_run(
            {"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", "-H",
             "Expect:", "-H", "Authorization: Bearer " + bearer, to},
            body);
    };
    EXPECT_EQ(post(place, "hello", "secret"), "200");
    EXPECT_EQ(post(place, std::string(1'000'000, 'x'), "secret"), "200");
    EXPECT_EQ(taken, "POST hello;POST " + std::string(1'000'000, 'x') + ";");
    EXPECT_EQ(post(place, "hello", "wrong"), "401");
    EXPECT_EQ(post(place, std::string(2'000'000, 'x'), "secret"), "413");
    EXPECT_EQ(post(place + "y", "hello", "secret"), "405");
    EXPECT_EQ(taken.size(), 1'000'017u);
    closed.post("/v1/notify/x", {});
    EXPECT_EQ(post(place, "hello", "secret"), "405");
    EXPECT_TRUE(raw("POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                    .starts_with("HTTP/1.1 405 "));
}

TEST_F(Http, ManyPostsShareAConnection) {
    server.post("/x", [](const HttpRequest& request, const std::stop_token&) {
        return HttpResponse{.body = request.body};
    });
    const std::string answers =
        raw("POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nabPOST /x HTTP/1.1\r\n"
            "Transfer-Encoding: chunked\r\n\r\n3\r\ncde\r\n0\r\n\r\n"
            "POST /x HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    EXPECT_NE(answers.find("\r\n\r\nabHTTP/1.1 200"), std::string::npos);
    EXPECT_NE(answers.find("\r\n\r\ncdeHTTP/1.1 200"), std::string::npos);
    EXPECT_TRUE(answers.ends_with("\r\n\r\n"));
}

TEST_F(Http, KeepsConnectionsAliveAndAnswersPipelinedRequests) {
    server.route("/livez", [](const HttpRequest&) { return HttpResponse{.body = "yes"}; });
    const std::string answers =
        raw("GET /livez HTTP/1.1\r\n\r\nHEAD /livez HTTP/1.1\r\n\r\n"
            "GET /v1/bulk/blobs/uploads/content HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n"
            "HEAD /v1/bulk/blobs/uploads/content HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_NE(answers.find("\r\n\r\nyesHTTP/1.1 200 OK"), std::string::npos);
    EXPECT_NE(answers.find("Content-Range: bytes 2-4/300000\r\n"), std::string::npos);
    EXPECT_NE(answers.find("\r\n\r\n" + handler->bytes.substr(2, 3) + "HTTP/1.1 200 OK"),
              std::string::npos);
    EXPECT_TRUE(answers.ends_with("\r\n\r\n"));
}

TEST_F(Http, WorksWithCurl) {
    const std::string place = url("/v1/bulk/blobs/uploads/");
    EXPECT_EQ(test::must_run({"curl", "-sSf", place + "content"}), handler->bytes);
    EXPECT_EQ(test::must_run({"curl", "-sSf", place + "stream"}), handler->bytes);
    EXPECT_EQ(test::must_run({"curl", "-sSf", "-r", "5-9", place + "content"}),
              handler->bytes.substr(5, 5));
    handler->fails_at = 200'000;
    EXPECT_EQ(test::run({"curl", "-sSf", place + "content"}).status, 18);
    EXPECT_EQ(test::run({"curl", "-sSf", place + "stream"}).status, 18);
}

TEST_F(Http, ClientRefusesHttps) {
    EXPECT_THROW(http_get("https://127.0.0.1/"), Error);
    EXPECT_THROW(HttpBulkSource({.url = "https://london"}), Error);
}

TEST_F(Http, ClientGivesUpOnAServerThatSaysNothing) {
    const Listener silent("127.0.0.1", 0);
    const std::string address = "http://127.0.0.1:" + std::to_string(silent.port());
    EXPECT_THROW(http_get(address, milliseconds(50)), Error);
    HttpBulkSource source({.url = address, .read_timeout = milliseconds(50)});
    EXPECT_THROW(source.get({"a/b/c", {}}, 0, {}, [](std::string_view) {}, {}), Error);
}

TEST_F(Http, ServerEndsWithinASecondWhileClientsHang) {
    auto ending = std::make_unique<HttpServer>(HttpServer::Options{});
    ending->bulk(uploads, handler);
    ending->start();
    handler->bytes.resize(64 << 20);
    Socket idle = Socket::connect("127.0.0.1", ending->port(), milliseconds(1000), {});
    Socket stuck = Socket::connect("127.0.0.1", ending->port(), milliseconds(1000), {});
    stuck.write("GET /v1/bulk/blobs/uploads/content HTTP/1.1\r\n\r\n");
    std::array<char, 10> some{};
    EXPECT_GT(stuck.read_some(some), 0u);
    const auto start = std::chrono::steady_clock::now();
    ending.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1000));
}

TEST_F(Http, FeedsEachWatcherUntilItLeaves) {
    std::atomic<int> open = 0;
    server.feed("/watch", [&](const HttpRequest& request) -> HttpServer::Feed {
        const auto watcher = std::shared_ptr<void>(nullptr, [&](void*) { --open; });
        ++open;
        return [watcher, left = std::stoi(request.query.at("n"))](const std::stop_token&) mutable {
            return left-- > 0 ? "data: " + std::to_string(left) + "\n\n" : std::string();
        };
    });
    {
        Socket socket = Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {});
        socket.write("GET /watch?n=2 HTTP/1.1\r\n\r\n");
        std::string got;
        std::array<char, 4096> buffer{};
        while (got.find("\n\n:\n\n") == std::string::npos) {
            got.append(buffer.data(), socket.read_some(buffer));
        }
        EXPECT_TRUE(got.starts_with("HTTP/1.1 200 ")) << got;
        EXPECT_NE(got.find("Content-Type: text/event-stream\r\n"), std::string::npos) << got;
        EXPECT_NE(got.find("\r\n\r\ndata: 1\n\ndata: 0\n\n:\n\n"), std::string::npos) << got;
    }
    EXPECT_TRUE(test::eventually([&] { return open == 0; }));
    const std::string head = raw("HEAD /watch?n=1 HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
}

TEST_F(Http, AFeedThatCannotBeginSaysWhy) {
    server.feed("/watch", [](const HttpRequest&) -> HttpServer::Feed {
        throw Error(Reaction::Retry, "not now", "wait");
    });
    EXPECT_EQ(http_get(url("/watch")).status, 503u);
}

TEST_F(Http, StopEndsWatchersAndCallsNoHandlerAfterwards) {
    std::atomic<int> called = 0;
    server.feed("/watch", [&](const HttpRequest&) -> HttpServer::Feed {
        return [&](const std::stop_token& stop) -> std::string {
            ++called;
            sleep_unless_stopped(std::chrono::seconds(60), stop);
            return {};
        };
    });
    Socket watcher = Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {});
    watcher.write("GET /watch HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(test::eventually([&] { return called == 1; }));
    const auto start = std::chrono::steady_clock::now();
    server.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1000));
    EXPECT_EQ(called, 1);
}

class LocalHttp : public testing::Test {
  protected:
    HttpServer::Options options(size_t body_bytes = 100) const {
        return {.socket = file, .socket_mode = 0660, .body_bytes = body_bytes};
    }
    /// Answers with what it got.
    static void echo(HttpServer& server) {
        server.post("/echo", [](const HttpRequest& request, const std::stop_token&) {
            return HttpResponse{.body = request.query.at("q") + request.body};
        });
        server.start();
    }
    HttpAnswer post(const std::string& body) const {
        return http_post(file, "/echo?q=%00", body, milliseconds(2000));
    }

    test::TemporaryDirectory directory;
    const std::filesystem::path file = directory / "a.sock";
};

TEST_F(LocalHttp, ProgramsOfThisMachinePostToASocket) {
    HttpServer server(options());
    echo(server);
    EXPECT_EQ(post("a\xff").body, std::string("\0a\xff", 3));
    EXPECT_EQ(test::must_run({"curl", "-sSf", "--unix-socket", file.string(), "-d", "b",
                              "http://localhost/echo?q=a"}),
              "ab");
    EXPECT_EQ(post(std::string(100, 'x')).status, 200u);
    EXPECT_EQ(post(std::string(101, 'x')).status, 413u);
    EXPECT_EQ(test::must_run({"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
                              "--unix-socket", file.string(), "http://localhost/echo?q=a"}),
              "405");
}

TEST_F(LocalHttp, TheSocketsModeIsThatOfTheOptions) {
    const HttpServer server(options());
    struct stat there {};
    ASSERT_EQ(stat(file.c_str(), &there), 0);
    EXPECT_EQ(there.st_mode & 07777, 0660u);
}

TEST_F(LocalHttp, WhatAKilledServerLeftIsReplacedAndNothingElse) {
    const pid_t child = fork();
    if (child == 0) {
        const auto left = Listener::local(file, 0600);
        _exit(std::filesystem::exists(file) ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(std::filesystem::is_socket(file));
    EXPECT_THROW(post("a"), Error);
    {
        HttpServer server(options());
        echo(server);
        EXPECT_EQ(post("a").status, 200u);
    }
    EXPECT_FALSE(std::filesystem::exists(file));
    test::write_file(file, "somebody's");
    EXPECT_THROW(HttpServer{options()}, Error);
    EXPECT_EQ(test::read_file(file), "somebody's");
}

TEST_F(LocalHttp, ANameThatTheKernelRefusesIsAnError) {
    const std::filesystem::path far = directory / std::string(120, 'x');
    EXPECT_THROW(Listener::local(far, 0600), Error);
    EXPECT_THROW(Socket::connect(far, {}), Error);
}

TEST_F(LocalHttp, AHandlerThatWaitsEndsWithTheServer) {
    auto server = std::make_unique<HttpServer>(options());
    std::atomic<bool> waits = false;
    server->post("/echo", [&](const HttpRequest&, const std::stop_token& stop) {
        std::mutex mutex;
        std::unique_lock lock(mutex);
        waits = true;
        std::condition_variable_any().wait(lock, stop, [] { return false; });
        return HttpResponse{};
    });
    server->start();
    std::atomic<bool> failed = false;
    const std::jthread caller([&] {
        try {
            http_post(file, "/echo", "", std::chrono::seconds(60));
        } catch (const Error&) {
            failed = true;
        }
    });
    ASSERT_TRUE(test::eventually([&] { return waits.load(); }));
    server.reset();
    EXPECT_TRUE(test::eventually([&] { return failed.load(); }));
}

class GuardedHttp : public Http {
  protected:
    GuardedHttp() : Http({.token = "sesame"}) {}
};

class LimitedHttp : public Http {
  protected:
    LimitedHttp()
        : Http({.token = {},
                .connections = 3,
                .watchers = 1,
                .idle = milliseconds(200),
                .header_time = milliseconds(200)}) {}
};

TEST_F(GuardedHttp, AsksForTheToken) {
    server.route("/open", [](const HttpRequest&) { return HttpResponse(); });
    server.route(
        "/closed", [](const HttpRequest&) { return HttpResponse(); }, HttpServer::Access::Token);
    EXPECT_EQ(http_get(url("/open")).status, 200u);
    EXPECT_EQ(http_get(url("/closed")).status, 401u);
    EXPECT_EQ(http_get(url("/closed"), milliseconds(2000), "sesam").status, 401u);
    EXPECT_EQ(http_get(url("/closed"), milliseconds(2000), "sesame").status, 200u);
    EXPECT_THROW(pull("content"), Error);
    token = "sesame";
    EXPECT_EQ(pull("content"), handler->bytes);
}

TEST_F(LimitedHttp, RefusesConnectionsBeyondTheLimitAndDropsIdleOnes) {
    server.route("/open", [](const HttpRequest&) { return HttpResponse(); });
    std::vector<Socket> idle;
    for (int i = 0; i < 3; ++i) {
        idle.push_back(Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {}));
    }
    EXPECT_TRUE(raw("GET /open HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 503 "));
    EXPECT_TRUE(test::eventually(
        [&] { return raw("GET /open HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "); }));
}

TEST_F(LimitedHttp, RefusesWatchersBeyondTheLimit) {
    server.feed("/watch", [](const HttpRequest&) -> HttpServer::Feed {
        return [](const std::stop_token& stop) -> std::string {
            sleep_unless_stopped(milliseconds(10), stop);
            return "data: x\n\n";
        };
    });
    {
        Socket first = Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {});
        first.write("GET /watch HTTP/1.1\r\n\r\n");
        std::array<char, 10> some{};
        EXPECT_GT(first.read_some(some), 0u);
        EXPECT_TRUE(raw("GET /watch HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 503 "));
    }
    EXPECT_TRUE(test::eventually(
        [&] { return raw("HEAD /watch HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "); }));
}

TEST_F(LimitedHttp, DropsAClientThatSendsItsHeaderDripByDrip) {
    Socket slow = Socket::connect("127.0.0.1", server.port(), milliseconds(2000), {});
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(
        {
            while (std::chrono::steady_clock::now() - start < std::chrono::seconds(10)) {
                slow.write("G");
                sched_yield();
            }
        },
        Error);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace antipode::http
