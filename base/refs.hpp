#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace antipode {

/// What a ref holds: an object id, or the name of another ref. Neither: the ref does not exist.
struct RefValue {
    std::string oid;     ///< raw, 20 or 32 bytes
    std::string target;  ///< of a symbolic ref

    static RefValue direct(std::string oid) { return {std::move(oid), {}}; }
    static RefValue symbolic(std::string target) { return {{}, std::move(target)}; }
    bool absent() const { return oid.empty() && target.empty(); }
    bool is_symbolic() const { return !target.empty(); }
    bool operator==(const RefValue&) const = default;
};

/// By full name, in byte order. HEAD is a ref like any other.
using RefMap = std::map<std::string, RefValue>;

/// All that a repository's refs say.
struct RepositoryRefs {
    std::string object_format = "sha1";  ///< or "sha256"
    RefMap refs;

    bool operator==(const RepositoryRefs&) const = default;
};

struct RefChange {
    std::string name;
    RefValue before;
    RefValue after;

    bool operator==(const RefChange&) const = default;
};

/// What leads from `before` to `after`, in name order.
std::vector<RefChange> difference(const RefMap& before, const RefMap& after);

/// Whether git would accept `name` as a full ref name (git-check-ref-format(1)), it is HEAD or
/// below refs/, and it is short enough for a file system.
bool is_valid_ref_name(std::string_view name);

/// Raw bytes of an object id in this format: 20 or 32; 0: no such format.
size_t oid_bytes(std::string_view object_format);

}  // namespace antipode
