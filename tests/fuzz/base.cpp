#include "base/address.hpp"
#include "base/config.hpp"
#include "base/digest.hpp"
#include "base/duration.hpp"
#include "base/file_owner.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"
#include "base/refs.hpp"
#include "tests/fuzz/parser.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::fuzz {
namespace {

/// Read, written and read again it is the same.
template <typename Value>
void read_twice(std::string_view bytes) {
    if (const auto value = Value::parse(bytes)) {
        require(Value::parse(value->to_string()) == value, "what is written is read again");
    }
}

void read_store(std::string_view bytes) {
    const auto store = StoreId::parse(bytes);
    require(!store || store->to_string() == bytes, "a store has one spelling");
}

void read_address(std::string_view bytes) {
    if (const auto address = HostPort::parse(bytes)) {
        require(!address->host.empty(), "an address has a host");
        static_cast<void>(is_loopback(address->host));
    }
    const bool url = !why_no_daemon_url(bytes);
    require(!url || bytes.starts_with("http://"), "a daemon's URL is one of http");
    static_cast<void>(why_no_nats_url(bytes));
    static_cast<void>(why_no_bucket_endpoint(bytes));
    static_cast<void>(why_no_bucket_name(bytes));
    const bool listens = !why_no_listen_address(bytes);
    require(!listens || HostPort::parse(bytes), "what is listened on is an address");
}

void read_duration(std::string_view bytes) {
    const auto duration = parse_duration(std::string(bytes));
    require(!duration || duration->count() >= 0, "no duration is negative");
}

void read_mode(std::string_view bytes) {
    const auto mode = parse_mode(bytes);
    require(!mode || *mode <= 0777, "a mode has permission bits only");
}

void read_path(std::string_view bytes) {
    if (!why_no_path(bytes)) {
        const std::string path(bytes);
        require(path.front() != '/' && path.find('\0') == std::string::npos &&
                    ("/" + path + "/").find("/../") == std::string::npos,
                "a path stays below its root");
        require(parent_of(path).size() < path.size(), "a path ends above");
    }
}

void read_hexadecimal(std::string_view bytes) {
    require(from_hex(to_hex(bytes)) == bytes, "hexadecimal digits give the bytes back");
    if (const auto decoded = from_hex(bytes)) {
        require(decoded->size() * 2 == bytes.size(), "two digits are a byte");
    }
    const std::string shown = printable(bytes);
    require(printable(shown).size() >= shown.size(), "what is printable can be shown");
    for (const char c : shown) {
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "no control is shown");
    }
}

void read_ref(std::string_view bytes) {
    require(unescape_line(escape_line(bytes)) == bytes, "a line gives the text back");
    const std::string description = encode_description(bytes);
    require(is_valid_value(description_name, {{}, description}, 20),
            "what is captured as a description is accepted");
    require(is_valid_value(pool_name, {{}, escape_line(bytes)}, 20),
            "what is captured as a pool is accepted");
    if (is_valid_ref_name(bytes)) {
        require(is_ref(bytes), "a ref's name is below refs/, or HEAD");
    }
}

void read_config(std::string_view bytes) {
    is_read([&] { Config::parse(bytes, "antipode.toml"); });
}

std::vector<std::string> config_seeds() {
    return {R"(cluster = "test"
site = "london"
state_dir = "/var/lib/antipode"
[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://127.0.0.1:8840"
[nats]
stream_max_bytes = 1000000000
store_dir = "/var/lib/nats"
[http]
listen = "127.0.0.1:8840"
[[database]]
name = "app"
url = "host=/run/postgresql dbname=app"
[[repositories]]
name = "git"
root = "/srv/git"
[[blobs]]
name = "uploads"
root = "/srv/files"
exclude = ["*.tmp"]
check_every = "7d"
[failover]
fence_command = ["/bin/true"]
switchover_timeout = "20s"
)"};
}

}  // namespace

std::vector<Parser> base_parsers() {
    return {
        {"base/address", read_address,
         [] {
             return std::vector<std::string>{"host:4222", "[::1]:8840", "nats://u:p@host:4222",
                                             "http://host:8840/path", "https://host:9000"};
         }},
        {"base/config", read_config, config_seeds},
        {"base/duration", read_duration,
         [] {
             return std::vector<std::string>{"500ms", "12h", "999999999d"};
         }},
        {"base/hexadecimal", read_hexadecimal,
         [] {
             return std::vector<std::string>{"00ffA0", "text \xc3\xa9\xf0\x9f\x98\x80\\\x01"};
         }},
        {"base/lsn", read_twice<Lsn>,
         [] {
             return std::vector<std::string>{"16/B374D848", "FFFFFFFF/FFFFFFFF"};
         }},
        {"base/mode", read_mode,
         [] {
             return std::vector<std::string>{"0660", "777"};
         }},
        {"base/path", read_path,
         [] {
             return std::vector<std::string>{"a/b", "a/..b/.c", ".antipode/x"};
         }},
        {"base/position", read_twice<Position>,
         [] {
             return std::vector<std::string>{"1.2.3", "18446744073709551615.0.7"};
         }},
        {"base/ref", read_ref,
         [] {
             return std::vector<std::string>{"refs/heads/main", "50% of\na line \t\n", "HEAD"};
         }},
        {"base/store", read_store,
         [] {
             return std::vector<std::string>{"database/app", "repositories/git", "blobs/a-b_1"};
         }},
    };
}

}  // namespace antipode::fuzz
