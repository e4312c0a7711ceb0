#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/git/program.hpp"
#include "base/limits.hpp"

/// Keeps a mirror fast to read: few packs, bitmaps, a commit-graph, packed refs. No object and no
/// ref is ever lost by it, and readers go on: what takes the place of a pack is there, synced,
/// before that is deleted. A mirror has no loose objects but those of its time as a primary.
namespace antipode::git {

struct HeldPack {
    std::string name;  ///< without its extension
    uint64_t bytes = 0;
    bool operator==(const HeldPack&) const = default;
};

/// Below a repository: how large it was when it was last freed of what it could borrow.
inline constexpr const char* own_bytes_file = "objects/info/antipode-own-bytes";

/// What a cheap look at a repository's files tells.
struct House {
    std::vector<HeldPack> indexed;  ///< in the multi-pack index, as far as counts tell
    std::vector<HeldPack> added;    ///< since that was written, the smallest first
    bool has_bitmap = false;
    bool has_graph = false;
    bool is_shallow = false;
    bool borrows = false;      ///< objects of another repository (objects/info/alternates)
    uint64_t own_bytes = 0;    ///< of one that borrows, when it was last freed of what it could
    size_t loose_objects = 0;  ///< about
    size_t loose_refs = 0;
    std::vector<std::filesystem::path>
        leftovers;  ///< half-written files that nobody writes any more
};
House look_at_house(const std::filesystem::path& git_dir);
size_t count_packs(const std::filesystem::path& git_dir);

/// How many of the smallest packs are to be one, so that each is at least twice as large as the one
/// before it: then there are never more than about log2 of the repository's size.
size_t packs_to_join(const std::vector<HeldPack>& smallest_first);

/// Makes one pack of the packs that came since the index was written, as far as packs_to_join()
/// says: what is cheap. True: it did.
bool join_added_packs(const Program& program, const std::filesystem::path& git_dir,
                      const House& house, const std::stop_token& stop);

/// All that is due, the cheap things often, the dear ones once enough has changed. True: something
/// was. Throws Error{Retry} when git fails, Stopped.
bool keep_house(const Program& program, const std::filesystem::path& git_dir,
                const std::stop_token& stop);

/// A repository below this size is read whole about as fast as by its bitmaps, and making them anew
/// would cost more than the pushes that make that due. In bytes of packs.
inline constexpr uint64_t small_repository = 8 * limits::mib;

/// From so many added packs on they are joined in the background; and from so many on at once,
/// because that is not fast enough.
inline constexpr size_t some_packs = 32;
inline constexpr size_t too_many_packs = 60;

}  // namespace antipode::git
