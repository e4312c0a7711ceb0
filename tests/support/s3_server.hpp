#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "tests/support/process.hpp"

namespace antipode::test {

/// A strict S3-compatible server on loopback with one bucket, "lfs" (tests/support/s3_stub, where
/// its faults are explained). Keeps everything in memory.
class S3Server {
  public:
    struct Options {
        int page = 1000;  ///< objects in one page of a listing
        std::string region = "us-east-1";
        bool tls = false;  ///< with a certificate that nobody trusts
    };
    /// `directory` gets its log and the credentials.
    S3Server(const std::filesystem::path& directory, Options options);

    std::string endpoint() const {
        return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_);
    }
    static std::string bucket() { return "lfs"; }
    const std::filesystem::path& credentials_file() const { return credentials_; }
    void kill() { process_.kill(); }

    /// What another program does.
    void put(const std::string& key, const std::string& bytes,
             std::optional<int64_t> modified_seconds = {});
    void remove(const std::string& key);
    void remove_all();
    void set_exists(bool exists);

    /// "sha256 size" of each object.
    std::map<std::string, std::string> objects() const;
    /// A jq expression on {key: {size, sha256, etag, metadata}}.
    std::string object(const std::string& filter) const;
    /// How many uploads in parts are open, and how many parts they have.
    std::pair<int, int> uploads() const;

    /// `fault`: the fields of the stub's faults, as JSON.
    void add_fault(const std::string& fault);
    int faults_left() const;
    /// What a fault "hold" holds back.
    void set_hold(bool hold);
    int held() const;  ///< ever
    /// How many requests of one kind there were since the last call.
    std::map<std::string, int> requests();
    void set_webhook(const std::string& url, const std::string& token);

  private:
    std::string control(const std::string& method, const std::string& path,
                        const std::string& body = {}) const;
    std::filesystem::path credentials_;
    bool tls_;
    int port_;
    Process process_;
};

/// The configuration's lines of a store of blobs in the server's bucket, below `prefix`.
std::string bucket_store(const S3Server& server, const std::string& name,
                         const std::string& prefix = {});

}  // namespace antipode::test
