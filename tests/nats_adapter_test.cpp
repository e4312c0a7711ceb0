#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "adapters/nats/jetstream.hpp"
#include "adapters/nats/key_value.hpp"
#include "adapters/nats/requests.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::nats {
namespace {

using namespace std::chrono_literals;

class NatsAdapter : public testing::Test {
  protected:
    JetStream::Options options(const std::filesystem::path& store_dir = {}) {
        return {.endpoint = {server.url(), {}, "test"},
                .name = "S",
                .subjects = "s.>",
                .create = true,
                .max_bytes = 1 << 26,
                .drop_oldest_when_full = false,
                .store_dir = store_dir};
    }
    static std::vector<OutgoingMessage> batch(size_t first, size_t count) {
        std::vector<OutgoingMessage> messages;
        for (size_t i = 0; i < count; ++i) {
            messages.push_back({"s.x", "m" + std::to_string(first + i)});
        }
        return messages;
    }
    static std::vector<std::string> read_all(Stream& stream, size_t count) {
        std::vector<std::string> bytes;
        uint64_t next = 1;
        const bool complete = test::eventually([&] {
            for (const StoredMessage& message : stream.read(next, 50ms)) {
                bytes.push_back(message.bytes);
                next = message.sequence + 1;
            }
            return bytes.size() >= count;
        });
        EXPECT_TRUE(complete);
        return bytes;
    }

    test::TemporaryDirectory directory;
    test::NatsServer server{directory / "nats"};
};

TEST_F(NatsAdapter, AStreamThatDoesNotFitIsRefusedWithTheRemedy) {
    JetStream::Options large = options();
    large.max_bytes = uint64_t{1} << 60;
    try {
        JetStream(large).info();
        FAIL() << "an exabyte fits";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("insufficient storage"), std::string::npos)
            << error.what();
        EXPECT_NE(error.next_step().find("max_file_store"), std::string::npos);
    }
}

TEST_F(NatsAdapter, AServerThatIsAwayIsNamedOnce) {
    server.kill();
    try {
        JetStream(options()).info();
        FAIL() << "it answers";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(),
                  "connecting to " + server.url() + ": No server available for connection");
    }
}

TEST_F(NatsAdapter, AppendsInOrderAndReadsBack) {
    JetStream writer(options(server.store_directory()));
    EXPECT_EQ(writer.append(0, batch(0, 300)), 300U);
    EXPECT_EQ(writer.append(300, batch(300, 5)), 305U);
    JetStream reader(options());
    const auto bytes = read_all(reader, 305);
    ASSERT_EQ(bytes.size(), 305U);
    for (size_t i = 0; i < bytes.size(); ++i) {
        EXPECT_EQ(bytes[i], "m" + std::to_string(i));
    }
    EXPECT_EQ(writer.get(305)->bytes, "m304");
    EXPECT_FALSE(writer.get(306));
}

TEST_F(NatsAdapter, ASecondWriterIsRefused) {
    JetStream first(options());
    JetStream second(options());
    EXPECT_EQ(first.append(0, batch(0, 10)), 10U);
    EXPECT_THROW(second.append(5, batch(0, 3)), Error);
    EXPECT_EQ(first.info().last_sequence, 10U);
    EXPECT_EQ(first.append(10, batch(10, 1)), 11U);
}

TEST_F(NatsAdapter, KeepsWhatWasAcknowledgedWhenTheServerIsKilled) {
    JetStream stream(options(server.store_directory()));
    stream.append(0, batch(0, 200));
    server.kill();
    EXPECT_THROW(stream.append(200, batch(200, 1)), Error);
    server.start();
    EXPECT_EQ(stream.info().last_sequence, 200U);
    EXPECT_EQ(stream.append(200, batch(200, 1)), 201U);
    EXPECT_EQ(read_all(stream, 201).size(), 201U);
}

/// Whether a server that stands still has something to read.
bool has_unread(int port) {
    std::ifstream table("/proc/net/tcp");
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        unsigned local = 0;
        unsigned state = 0;
        unsigned unread = 0;
        const int count =
            std::sscanf(line.c_str(), " %*d: %*x:%x %*x:%*x %x %*x:%x", &local, &state, &unread);
        if (count == 3 && local == static_cast<unsigned>(port) && state == 1 && unread > 0) {
            return true;
        }
    }
    return false;
}

TEST_F(NatsAdapter, WhoWaitsForAServerThatDiesIsToldAtOnce) {
    JetStream stream(options());
    stream.append(0, batch(0, 1));
    server.process().signal(SIGSTOP);
    std::string reason;
    std::jthread appending([&] {
        try {
            stream.append(1, batch(1, 1));
        } catch (const Error& error) {
            reason = error.what();
        }
    });
    EXPECT_TRUE(test::eventually([&] { return has_unread(server.port()); }));
    server.kill();
    appending.join();
    EXPECT_NE(reason.find("Connection Closed"), std::string::npos) << reason;
}

/// What is acknowledged then is nowhere: the server goes on with files that have no name any more.
TEST_F(NatsAdapter, BlocksThatAreTakenAwayMakeADamagedStream) {
    JetStream stream(options(server.store_directory()));
    EXPECT_EQ(stream.append(0, batch(0, 10)), 10U);
    const auto blocks = server.store_directory() / "$G/streams/S/msgs";
    ASSERT_GT(std::filesystem::remove_all(blocks), 0U);
    const auto append = [&] {
        const uint64_t last = stream.info().last_sequence;
        stream.append(last, batch(last, 10));
    };
    bool damaged = false;
    EXPECT_THROW(append(), Error) << "it may be a purge";
    EXPECT_TRUE(test::eventually([&] {
        try {
            append();
        } catch (const DamagedStream&) {
            damaged = true;
        } catch (const Error&) {
        }
        return damaged;
    }));
    stream.make_anew();
    EXPECT_EQ(stream.append(0, batch(0, 10)), 10U);
}

/// The server counts its files from 1 again then.
TEST_F(NatsAdapter, AStreamOfSeveralFilesGoesOnBehindAPurgeOfEverything) {
    const auto blocks = server.store_directory() / "$G/streams/S/msgs";
    JetStream stream(options(server.store_directory()));
    const OutgoingMessage large{"s.x", std::string(512 << 10, 'x')};
    uint64_t last = 0;
    while (!std::filesystem::exists(blocks / "3.blk")) {
        ASSERT_LT(last, 1000U);
        last = stream.append(last, std::span(&large, 1));
    }
    stream.purge_below(last + 1);
    ASSERT_FALSE(std::filesystem::exists(blocks / "3.blk"));
    EXPECT_EQ(stream.append(last, batch(0, 10)), last + 10);
}

TEST_F(NatsAdapter, AnEmptyReadReturnsAfterItsWait) {
    JetStream stream(options());
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(stream.read(1, 100ms).empty());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(NatsAdapter, AReadWakesUpWhenAMessageComes) {
    JetStream reader(options());
    EXPECT_TRUE(reader.read(1, 10ms).empty());
    std::vector<StoredMessage> got;
    std::jthread thread([&] { got = reader.read(1, 10s); });
    JetStream writer(options());
    writer.append(0, batch(0, 1));
    thread.join();
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].bytes, "m0");
}

TEST_F(NatsAdapter, PurgeRemovesOnlyWhatIsBelow) {
    JetStream stream(options());
    stream.append(0, batch(0, 10));
    stream.purge_below(6);
    EXPECT_EQ(stream.info().first_sequence, 6U);
    EXPECT_EQ(stream.read(1, 100ms).front().sequence, 6U);
}

TEST_F(NatsAdapter, AFullStreamRefusesInsteadOfDropping) {
    JetStream::Options small = options();
    small.max_bytes = 2 << 20;
    JetStream stream(small);
    const OutgoingMessage large{"s.x", std::string(limits::message_payload_bytes, 'x')};
    uint64_t last = 0;
    EXPECT_THROW(
        {
            for (int i = 0; i < 10; ++i) {
                last = stream.append(last, {&large, 1});
            }
        },
        Error);
    EXPECT_EQ(stream.info().first_sequence, 1U);
    EXPECT_EQ(stream.info().last_sequence, last);
}

TEST_F(NatsAdapter, CompareAndSetHasOneWinner) {
    Bucket one({server.url(), {}, "one"}, "B", true);
    Bucket two({server.url(), {}, "two"}, "B", true);
    EXPECT_FALSE(one.get("epoch"));
    const auto created = one.update("epoch", "1", 0);
    ASSERT_TRUE(created);
    EXPECT_FALSE(two.update("epoch", "2", 0)) << "it exists";
    const auto updated = two.update("epoch", "2", *created);
    ASSERT_TRUE(updated);
    EXPECT_FALSE(one.update("epoch", "3", *created)) << "somebody was faster";
    EXPECT_EQ(one.get("epoch")->value, "2");
    one.put("site.a", std::string("\0x", 2));
    EXPECT_EQ(two.get("site.a")->value.size(), 2U);
    EXPECT_EQ(two.keys().size(), 2U);
    two.remove("site.a");
    EXPECT_FALSE(one.get("site.a"));
}

TEST_F(NatsAdapter, WhoListensToAKeyIsToldOfItsChangesAlsoByTheNextServer) {
    std::atomic<int> told = 0;
    Bucket writer({server.url(), {}, "writer"}, "B", true);
    Bucket listener({server.url(), {}, "listener"}, "B", true);
    listener.listen("epoch", [&told] { ++told; });
    EXPECT_FALSE(listener.get("epoch"));
    writer.put("epoch", "1");
    EXPECT_TRUE(test::eventually([&] { return told == 1; }));
    server.kill();
    EXPECT_TRUE(test::eventually([&] { return told == 2; })) << "the server is gone";
    EXPECT_THROW(listener.get("epoch"), Error);
    EXPECT_THROW(writer.get("epoch"), Error);
    server.start();
    EXPECT_EQ(listener.get("epoch")->value, "1");
    writer.put("epoch", "2");
    EXPECT_TRUE(test::eventually([&] { return told == 3; }));
}

TEST_F(NatsAdapter, WhoListensToAKeyIsNotToldOfOthersNorWhenItIsGone) {
    std::atomic<int> told = 0;
    Bucket writer({server.url(), {}, "writer"}, "B", true);
    {
        Bucket listener({server.url(), {}, "listener"}, "B", true);
        listener.listen("epoch", [&told] { ++told; });
        listener.get("epoch");
        writer.put("site.london", "report");
        writer.put("epoch", "1");
        EXPECT_TRUE(test::eventually([&] { return told == 1; }));
        writer.remove("epoch");
        EXPECT_TRUE(test::eventually([&] { return told == 2; })) << "removing changes it, too";
    }
    Bucket other({server.url(), {}, "other"}, "B", true);
    std::atomic<int> others = 0;
    other.listen("epoch", [&others] { ++others; });
    other.get("epoch");
    writer.put("epoch", "2");
    EXPECT_TRUE(test::eventually([&] { return others == 1; }));
    EXPECT_EQ(told, 2);
}

TEST_F(NatsAdapter, ABucketOfAnotherSiteIsNotMadeByAReader) {
    Bucket reader({server.url(), {}, "reader"}, "MISSING", false);
    EXPECT_THROW(reader.get("epoch"), Error);
}

TEST_F(NatsAdapter, RequestsAreAnswered) {
    std::jthread responder([&](const std::stop_token& stop) {
        Responder answers({server.url(), {}, "primary"}, "want");
        while (!stop.stop_requested()) {
            if (const auto request = answers.next(50ms)) {
                answers.answer(*request, request->bytes + "!");
            }
        }
    });
    Requester requester({server.url(), {}, "secondary"});
    std::string answer;
    EXPECT_TRUE(test::eventually([&] {
        try {
            answer = requester.request("want", "a");
            return true;
        } catch (const Error&) {
            return false;  // nobody listens yet
        }
    }));
    EXPECT_EQ(answer, "a!");
}

}  // namespace
}  // namespace antipode::nats
