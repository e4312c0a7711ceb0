#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "adapters/s3/signature.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/seams/files.hpp"

namespace antipode::s3 {

/// What is sent. Read again from its front when the request is tried again.
struct Body {
    uint64_t size = 0;
    std::string sha256;  ///< in hex
    std::function<size_t(uint64_t offset, std::span<char> buffer)> read{};

    static Body of(std::string text);
    /// `size` bytes of a file from `offset` on, which are hashed first. Throws Error{Retry} when
    /// they are not there. `file` must outlive the result.
    static Body of(FileReader& file, uint64_t offset, uint64_t size);
};

/// Signed requests to one bucket of an S3-compatible server, over libcurl. Each is tried again,
/// with growing delays, when the server cannot be reached, says that it is too busy or broken for
/// now, or stalls. Redirects are not followed, proxies not used. Thread-safe; blocks.
class Client {
  public:
    struct Options {
        std::string endpoint;  ///< "https://host[:port]"
        std::string bucket;
        std::string region = "us-east-1";
        bool path_style = true;
        /// Read when it is needed, and again after the server refused what it held.
        std::filesystem::path credentials_file{};
        unsigned tries = 5;
        /// A transfer that stands nearly still (less than 4 KiB a second) for so long has failed.
        std::chrono::seconds stall{20};
    };
    struct Request {
        std::string method;
        std::string key{};  ///< as it is; empty: the bucket itself
        std::map<std::string, std::string> query{};
        std::map<std::string, std::string> headers{};  ///< names in lower case
        const Body* body = nullptr;
        size_t most_bytes = 16 * limits::mib;  ///< of the answer
        /// What came before the connection broke is an answer: the caller asks for the rest.
        bool part_suffices = false;
        /// The server may work for minutes before it answers.
        bool takes_long = false;
    };
    struct Response {
        unsigned status = 0;
        std::map<std::string, std::string> headers{};  ///< names in lower case
        std::string body{};
        bool whole = true;

        std::string header(const std::string& name) const;
    };

    /// Does not connect. `clock` must outlive the object.
    Client(Options options, const Clock& clock);
    ~Client();

    /// The answer, unless it is one to try again for. Throws Error{Retry} when no try succeeds,
    /// Stopped after interrupt().
    Response send(const Request& request);
    /// Like send(), but throws error_of() for an answer that is no success.
    Response demand(const Request& request);
    /// What an answer that is no success means, with the remedy.
    Error error_of(const Request& request, const Response& response) const;

    /// Ends what runs, and refuses what comes. Any thread.
    void interrupt();

    /// Where a copy of the object comes from, as the header x-amz-copy-source names it.
    std::string source_of(const std::string& key) const;

    /// "the bucket lfs at https://s3.example.org", for people.
    std::string name() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::s3
