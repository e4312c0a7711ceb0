#include "protocol/inventory_reader.hpp"

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/antipode.pb.h"
#include "protocol/lengths.hpp"

namespace antipode::protocol {
namespace {

constexpr size_t record_bytes = limits::item_name_bytes + 256;

[[noreturn]] void malformed(const char* how) {
    throw Error(Reaction::Retry, std::string("the primary's inventory is ") + how);
}

}  // namespace

std::string encode_inventory_item(const std::string& item, const Digest& digest) {
    v1::InventoryItem record;
    record.set_item(item);
    record.set_digest_algorithm(digest.algorithm);
    record.set_digest(digest.value);
    const std::string bytes = record.SerializeAsString();
    std::string encoded;
    append_length(encoded, static_cast<uint32_t>(bytes.size()));
    return encoded + bytes;
}

void InventoryReader::feed(std::string_view chunk) {
    rest_ += chunk;
    std::string_view rest = rest_;
    while (const auto length = read_length(rest)) {
        if (*length > record_bytes) {
            malformed("malformed");
        }
        if (rest.size() < length_bytes + *length) {
            break;
        }
        v1::InventoryItem record;
        if (!record.ParseFromArray(rest.data() + length_bytes, static_cast<int>(*length))) {
            malformed("malformed");
        }
        use_(record.item(), Digest{record.digest_algorithm(), record.digest()});
        rest.remove_prefix(length_bytes + *length);
    }
    rest_.erase(0, rest_.size() - rest.size());
}

void InventoryReader::finish() const {
    if (!rest_.empty()) {
        malformed("cut off");
    }
}

}  // namespace antipode::protocol
