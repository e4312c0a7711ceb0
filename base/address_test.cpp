#include "base/address.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

TEST(Address, IsAHostAndAPort) {
    EXPECT_EQ(HostPort::parse("host")->host, "host");
    EXPECT_EQ(HostPort::parse("host")->port, std::nullopt);
    EXPECT_EQ(HostPort::parse("host:8840")->port, 8840);
    EXPECT_EQ(HostPort::parse("[::1]:0")->host, "::1");
    EXPECT_EQ(HostPort::parse("[::1]:0")->port, 0);
    for (const char* text : {"", ":1", "host:", "host:x", "host:65536", "::1:8840", "[::1", "[]:1",
                             "a b:1", "a@b:1", "a/b:1"}) {
        EXPECT_EQ(HostPort::parse(text), std::nullopt) << text;
    }
}

TEST(Address, IsLoopbackOrNot) {
    for (const char* host : {"127.0.0.1", "127.9.9.9", "::1", "localhost"}) {
        EXPECT_TRUE(is_loopback(host)) << host;
    }
    for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "london.example", "128.0.0.1"}) {
        EXPECT_FALSE(is_loopback(host)) << host;
    }
}

TEST(Address, OfAServerHasAScheme) {
    for (const char* url : {"nats://host:4222", "nats://host", "tls://a:b@host:4222",
                            "nats://[::1]:4222", "nats://token@host"}) {
        EXPECT_EQ(why_no_nats_url(url), std::nullopt) << url;
    }
    for (const char* url : {"", "foo bar", "host:4222", "nats://", "nats://host:0", "nats://a b",
                            "http://host", "nats://host:4222/", "nats://a:1,nats://b:1"}) {
        EXPECT_EQ(why_no_nats_url(url), "must be nats://host:4222") << url;
    }
}

TEST(Address, OfADaemonIsPlainHttp) {
    for (const char* url : {"http://host:8840", "http://host", "http://[::1]:1/behind/a/proxy"}) {
        EXPECT_EQ(why_no_daemon_url(url), std::nullopt) << url;
    }
    for (const char* url : {"", "host:8840", "http://", "http://host:0", "http://ho st", "ftp://x",
                            "http://host?x=1"}) {
        EXPECT_EQ(why_no_daemon_url(url), "must be http://host:8840") << url;
    }
    EXPECT_NE(why_no_daemon_url("https://host:8840")->find("speaks no https"), std::string::npos);
    EXPECT_EQ(why_no_daemon_url("http://host:8840/"), "must not end with a slash");
}

TEST(Address, ToListenOnHasAPort) {
    for (const char* text : {"127.0.0.1:8840", "[::]:8840", "localhost:0"}) {
        EXPECT_EQ(why_no_listen_address(text), std::nullopt) << text;
    }
    for (const char* text : {"", "foo", "8840", ":8840", "::1:8840", "host:99999"}) {
        EXPECT_NE(why_no_listen_address(text), std::nullopt) << text;
    }
}

TEST(Address, KnowsWhereABucketCanBe) {
    for (const char* good : {"https://s3.example.org", "http://127.0.0.1:9000", "http://[::1]:9"}) {
        EXPECT_EQ(why_no_bucket_endpoint(good), std::nullopt) << good;
    }
    for (const char* bad : {"", "s3.example.org", "s3://bucket", "https://", "https://host/",
                            "https://host/bucket", "https://user@host", "http://host:0",
                            "http://host:port", "https://host?x", "https://ho st"}) {
        EXPECT_NE(why_no_bucket_endpoint(bad), std::nullopt) << bad;
    }
    EXPECT_EQ(why_no_bucket_name("my.uploads-1_X"), std::nullopt);
    for (const std::string& bad : {std::string(), std::string("a/b"), std::string(".."),
                                   std::string("a b"), std::string(64, 'a')}) {
        EXPECT_NE(why_no_bucket_name(bad), std::nullopt) << bad;
    }
}

TEST(Address, IsShownWithoutUserAndPassword) {
    EXPECT_EQ(without_user("nats://a:secret@host:4222"), "nats://host:4222");
    EXPECT_EQ(without_user("nats://host:4222"), "nats://host:4222");
    EXPECT_EQ(without_user("tls://token@host"), "tls://host");
}

}  // namespace
}  // namespace antipode
