#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/s3/answers.hpp"
#include "adapters/s3/client.hpp"

namespace antipode::s3 {

/// The operations of S3 on one bucket. A key is raw bytes. Mode and time of a mirrored file are
/// metadata of its object: "x-amz-meta-antipode-mode" (octal), "x-amz-meta-antipode-mtime-ns".
/// Thread-safe. Throws Error{Retry} for everything but "not there".
class Bucket {
  public:
    explicit Bucket(Client& client) : client_(client) {}

    struct Version {
        Object object;
        std::optional<FileMetadata> metadata{};  ///< when it is one that we wrote
        std::string upload{};                    ///< by which upload; empty: another program's
    };
    /// nullopt: there is no such object; throws when there is no bucket.
    std::optional<Version> head(const std::string& key);

    struct Piece {
        Version version;
        std::string bytes;  ///< less than asked for when the connection broke, or at the end
    };
    /// `size` bytes (at least 1) from `offset` on. `etag` not empty: of just this version; throws
    /// when it was replaced or removed. nullopt: there is no such object.
    std::optional<Piece> read(const std::string& key, const std::string& etag, uint64_t offset,
                              uint64_t size);

    /// One page of the keys that begin with `prefix`, in their order. `delimiter`: what follows it
    /// behind the prefix is folded into one entry; empty: nothing is.
    Page list(const std::string& prefix, const std::string& delimiter, const std::string& from);

    /// Makes the object of `size` bytes of `file`, whole or not at all. A large one is uploaded in
    /// parts; when that fails, parts may be left behind: see abort_uploads().
    void put(const std::string& key, FileReader& file, uint64_t size, const FileMetadata& metadata);
    /// Whether put() would upload it in parts.
    static bool is_large(uint64_t size);
    /// Ends all uploads in parts of just this key.
    void abort_uploads(const std::string& key);

    /// Sets what put() was given, of this version; the content stays.
    void set_metadata(const std::string& key, const Version& version, const FileMetadata& metadata);
    /// The server can for objects up to a size.
    static bool can_set_metadata(uint64_t size);
    void remove(const std::string& key);

    /// Throws when the bucket is not there or may not be looked at.
    void require();

    std::string name() const { return client_.name(); }

  private:
    void put_whole(const std::string& key, FileReader& file, uint64_t size,
                   const std::map<std::string, std::string>& headers);
    void put_in_parts(const std::string& key, FileReader& file, uint64_t size,
                      const std::map<std::string, std::string>& headers);
    std::string put_parts(const std::string& key, const std::string& id, FileReader& file,
                          uint64_t size);
    void complete(const std::string& key, const std::string& id, const std::string& parts,
                  const std::string& upload);

    Client& client_;
};

}  // namespace antipode::s3
