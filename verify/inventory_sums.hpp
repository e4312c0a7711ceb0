#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"
#include "base/ids.hpp"

/// A store's inventory as sums that change with each item at constant cost: what is equal on two
/// sites is known by comparing numbers, and what differs by comparing few items.
namespace antipode::verify {

/// Items are spread over so many buckets, by the hash of their names.
inline constexpr uint32_t inventory_buckets = 1024;
uint32_t bucket_of(std::string_view item);

/// Of any number of items with their digests, in whatever order: "inventory-sum-1", two sums modulo
/// 2^64 of the halves of the first 16 bytes of SHA-256(length of the name, 8 bytes big-endian; the
/// name; the digest as text). It finds accidents; who may write to a site needs no collision.
struct InventorySum {
    uint64_t high = 0;
    uint64_t low = 0;
    uint64_t items = 0;

    bool operator==(const InventorySum&) const = default;
    InventorySum& operator+=(const InventorySum& other);
    InventorySum& operator-=(const InventorySum& other);
    /// 48 hexadecimal digits.
    std::string to_string() const;
    static std::optional<InventorySum> parse(std::string_view text);
};
/// Of one item; of none when the digest is empty.
InventorySum sum_of(const std::string& item, const Digest& digest);

/// The primary's answer when a secondary asks for its sums.
struct SumsAnswer {
    /// Everything that was published of any item up to here is in the sums, and nothing later.
    Position position;
    /// All items together are as the asking site has them: there are no buckets in the answer.
    bool equal = false;
    std::map<uint32_t, InventorySum> buckets;  ///< without empty ones
    /// The primary itself does not know (yet) what it has published of some items in these.
    std::vector<uint32_t> unsure;
};
/// Text: "inventory-sum-1 POSITION [equal]", then lines of "BUCKET SUM" or "BUCKET ?".
std::string encode(const SumsAnswer& answer);
/// Throws Error{Retry} when it is none.
SumsAnswer decode_sums(const std::string& text);

}  // namespace antipode::verify
