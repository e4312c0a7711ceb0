#pragma once

#include <map>
#include <set>
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

/// What a repository says besides its refs is kept and travels like them, under names that no ref
/// can have:
///
///     description     its description, as a target: see encode_description()
///     pool            the repository of the same root whose objects it borrows: its name, as a
///                     target, as escape_line() has it
///     shallow/<hex>   the commit of that id has no parents here, on purpose (the file "shallow" of
///                     gitrepository-layout(5)); its value is the id
inline constexpr std::string_view description_name = "description";
inline constexpr std::string_view pool_name = "pool";
inline constexpr std::string_view shallow_prefix = "shallow/";
inline constexpr size_t description_bytes = 4096;
/// HEAD, or below refs/.
bool is_ref(std::string_view name);
/// What refs point to: raw ids.
std::set<std::string> oids_of(const RefMap& refs);
/// Where history ends on purpose, in order: raw ids.
std::vector<std::string> shallow_commits(const RefMap& refs);
RefMap shallow_part(const RefMap& refs);

/// The name of the repository whose objects are borrowed; empty: none are.
std::string pool_in(const RefMap& refs);

/// In one line: control characters and '%' as %XX.
std::string escape_line(std::string_view text);
std::string unescape_line(std::string_view line);
/// One line: what `text` says without white space at its end and behind description_bytes. Empty:
/// it says nothing, or only what git puts into every new repository.
std::string encode_description(std::string_view text);

/// Whether this may be what the name holds, an object id of `oid_size` bytes or a target; an absent
/// value always may. `name` is a ref's, or one of the above.
bool is_valid_value(std::string_view name, const RefValue& value, size_t oid_size);

/// Whether git would accept `name` as a full ref name (git-check-ref-format(1)), it is HEAD or
/// below refs/, and it is short enough for a file system.
bool is_valid_ref_name(std::string_view name);

/// Raw bytes of an object id in this format: 20 or 32; 0: no such format.
size_t oid_bytes(std::string_view object_format);

}  // namespace antipode
