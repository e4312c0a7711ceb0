#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What packs and their indexes say of themselves: gitformat-pack(5).
namespace antipode::git {

/// As packs number them.
enum class ObjectType : uint8_t { Commit = 1, Tree = 2, Blob = 3, Tag = 4 };

/// As packs and their indexes write numbers: the highest byte first.
void append_number(std::string& bytes, uint32_t number);

/// "pack-<its checksum>", as git names it; `oid_bytes`: of the repository's object format. Throws
/// Error{Retry} when it cannot be read; of a file that is no pack the name is as good as any.
std::string name_of_pack(const std::filesystem::path& file, size_t oid_bytes);

/// Why an index that somebody else wrote cannot be that of `pack`, as far as that shows without
/// looking at objects: its own checksum, the pack's checksum and number of objects, names and
/// offsets that are in no order, or outside of the pack. Empty: it may be. Throws Error{Retry}.
std::string refuse_index(const std::filesystem::path& index, const std::filesystem::path& pack,
                         size_t oid_bytes);

/// Those of `oids` (raw, of one size) that an index which git wrote here does not name. All of them
/// when its layout is not known.
std::vector<std::string> not_named(const std::filesystem::path& index,
                                   const std::vector<std::string>& oids);

struct HoldingPack {
    std::filesystem::path file;
    std::vector<std::string> others;  ///< objects that nobody asked for
};
/// A pack in `directory` with these objects (raw, SHA-1; each once), and behind them at most
/// `most_else` bytes of others, which they may build on; nullopt: there is none, or it is not among
/// the newest.
std::optional<HoldingPack> pack_of(const std::filesystem::path& directory,
                                   std::vector<std::string> oids, uint64_t most_else);

/// As the head of a pack says; 0: it is none.
size_t objects_in_pack(std::string_view pack);

}  // namespace antipode::git
