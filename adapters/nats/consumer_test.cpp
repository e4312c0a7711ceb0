// A server forgets a consumer that did not ask for so long as a machine was suspended, and does not
// answer to its name any more.
#include <filesystem>

#include <gtest/gtest.h>

#include "adapters/nats/jetstream.hpp"
#include "adapters/nats/session.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::nats {
namespace {

using namespace std::chrono_literals;

JetStream::Options options_at(const test::NatsServer& server) {
    return {.endpoint = {server.url(), {}, "test"},
            .name = "S",
            .subjects = "s.>",
            .create = true,
            .max_bytes = 1 << 26,
            .drop_oldest_when_full = false,
            .store_dir = {}};
}

std::vector<std::string> consumers_of(jsCtx* context) {
    jsConsumerNamesList* raw = nullptr;
    EXPECT_EQ(js_ConsumerNames(&raw, context, "S", nullptr, nullptr), NATS_OK);
    const Handle<jsConsumerNamesList, jsConsumerNamesList_Destroy> names(raw);
    return {names->List, names->List + names->Count};
}

void delete_consumers(const Endpoint& endpoint) {
    const Connection connection = connect(endpoint);
    const Context context = jetstream(connection.get());
    const auto consumers = consumers_of(context.get());
    EXPECT_FALSE(consumers.empty());
    for (const std::string& name : consumers) {
        EXPECT_EQ(js_DeleteConsumer(context.get(), "S", name.c_str(), nullptr, nullptr), NATS_OK);
    }
}

TEST(Consumer, AReaderWhoseConsumerTheServerForgotReadsOn) {
    const test::TemporaryDirectory directory;
    const test::NatsServer server{directory / "nats"};
    const JetStream::Options options = options_at(server);
    const std::vector<OutgoingMessage> one = {{"s.x", "content"}};
    JetStream writer(options);
    writer.append(0, one);
    JetStream reader(options);
    ASSERT_TRUE(test::eventually([&] { return !reader.read(1, 50ms).empty(); }));
    delete_consumers(options.endpoint);
    writer.append(1, one);
    EXPECT_TRUE(test::eventually([&] { return !reader.read(2, 50ms).empty(); }));
}

/// The library's thread delivers into the old subscription at that moment.
TEST(Consumer, AReaderGoesElsewhereWhileMessagesCome) {
    const test::TemporaryDirectory directory;
    const test::NatsServer server{directory / "nats"};
    const JetStream::Options options = options_at(server);
    JetStream writer(options);
    const std::vector<OutgoingMessage> many(500, {"s.x", std::string(100, 'c')});
    for (uint64_t written = 0; written < 5000; written += many.size()) {
        writer.append(written, many);
    }
    JetStream reader(options);
    for (uint64_t i = 0; i < 500; ++i) {
        const uint64_t first = 1 + i * 7 % 100;
        std::vector<StoredMessage> messages;
        ASSERT_TRUE(test::eventually([&] { return !(messages = reader.read(first, 1s)).empty(); }));
        EXPECT_EQ(messages.front().sequence, first);
    }
    const Connection connection = connect(options.endpoint);
    EXPECT_EQ(consumers_of(jetstream(connection.get()).get()).size(), 1U);
}

/// The byte in the middle of all that it keeps.
void damage(const test::NatsServer& server) {
    int damaged = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(server.store_directory())) {
        if (entry.path().extension() == ".blk") {
            std::string bytes = test::read_file(entry.path());
            bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
            test::write_file(entry.path(), bytes);
            ++damaged;
        }
    }
    ASSERT_GT(damaged, 0);
}

/// Whatever nats-server makes of a damaged stream: who reads is not left to wait without a word.
TEST(Consumer, AReaderOfADamagedStreamGetsMessagesOrIsTold) {
    const test::TemporaryDirectory directory;
    test::NatsServer server{directory / "nats"};
    const JetStream::Options options = options_at(server);
    {
        JetStream writer(options);
        const std::vector<OutgoingMessage> many(100, {"s.x", std::string(100, 'c')});
        writer.append(0, many);
    }
    server.kill();
    damage(server);
    server.start();
    JetStream reader(options);
    const uint64_t last = reader.info().last_sequence;
    for (const uint64_t first : {last / 4, last / 2, last - last / 4, last}) {
        std::string told;
        const auto gets_any = [&] {
            try {
                return !reader.read(std::max<uint64_t>(first, 1), 50ms).empty();
            } catch (const Error& error) {
                told = error.next_step();
                return true;
            }
        };
        EXPECT_TRUE(test::eventually(gets_any, 20s)) << "message " << first << " of " << last;
        EXPECT_TRUE(told.empty() || told.find("move the stream's directory") != std::string::npos)
            << told;
    }
}

TEST(Consumer, AStreamThatIsMadeAnewHoldsNothingAndTakesMessages) {
    const test::TemporaryDirectory directory;
    test::NatsServer server{directory / "nats"};
    const JetStream::Options options = options_at(server);
    JetStream stream(options);
    const std::vector<OutgoingMessage> many(100, {"s.x", std::string(100, 'c')});
    stream.append(0, many);
    server.kill();
    damage(server);
    server.start();
    const uint64_t last = stream.info().last_sequence;
    // 2.9 acknowledges what it does not keep; a server that keeps it may do so, too.
    try {
        stream.append(last, many);
        EXPECT_TRUE(stream.get(last + many.size()));
    } catch (const DamagedStream& damaged) {
        EXPECT_NE(damaged.next_step().find("move the stream's directory"), std::string::npos);
    }
    stream.make_anew();
    EXPECT_EQ(stream.info().messages, 0U);
    EXPECT_EQ(stream.append(0, many), 100U);
    EXPECT_TRUE(test::eventually([&] { return !stream.read(1, 50ms).empty(); }));
}

}  // namespace
}  // namespace antipode::nats
