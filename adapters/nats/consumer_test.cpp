// A server forgets a consumer that did not ask for so long as a machine was suspended, and does not
// answer to its name any more.
#include <gtest/gtest.h>

#include "adapters/nats/jetstream.hpp"
#include "adapters/nats/session.hpp"
#include "tests/support/nats_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::nats {
namespace {

using namespace std::chrono_literals;

void delete_consumers(const Endpoint& endpoint) {
    const Connection connection = connect(endpoint);
    const Context context = jetstream(connection.get());
    jsConsumerNamesList* raw = nullptr;
    ASSERT_EQ(js_ConsumerNames(&raw, context.get(), "S", nullptr, nullptr), NATS_OK);
    const Handle<jsConsumerNamesList, jsConsumerNamesList_Destroy> names(raw);
    EXPECT_GT(names->Count, 0);
    for (int i = 0; i < names->Count; ++i) {
        EXPECT_EQ(js_DeleteConsumer(context.get(), "S", names->List[i], nullptr, nullptr), NATS_OK);
    }
}

TEST(Consumer, AReaderWhoseConsumerTheServerForgotReadsOn) {
    const test::TemporaryDirectory directory;
    const test::NatsServer server{directory / "nats"};
    const JetStream::Options options{.endpoint = {server.url(), {}, "test"},
                                     .name = "S",
                                     .subjects = "s.>",
                                     .create = true,
                                     .max_bytes = 1 << 26,
                                     .drop_oldest_when_full = false,
                                     .store_dir = {}};
    const std::vector<OutgoingMessage> one = {{"s.x", "content"}};
    JetStream writer(options);
    writer.append(0, one);
    JetStream reader(options);
    ASSERT_TRUE(test::eventually([&] { return !reader.read(1, 50ms).empty(); }));
    delete_consumers(options.endpoint);
    writer.append(1, one);
    EXPECT_TRUE(test::eventually([&] { return !reader.read(2, 50ms).empty(); }));
}

}  // namespace
}  // namespace antipode::nats
