#include <algorithm>

#include "base/limits.hpp"
#include "protocol/chunk_text.hpp"
#include "protocol/codec.hpp"
#include "protocol/contents.hpp"
#include "protocol/inventory_reader.hpp"
#include "protocol/lengths.hpp"
#include "protocol/message.hpp"
#include "protocol/rows.hpp"
#include "protocol/table_list.hpp"
#include "tests/fuzz/parser.hpp"

namespace antipode::fuzz {
namespace {

constexpr const char* cluster = "test";
constexpr uint64_t epoch = 1;
const StoreId database{StoreKind::Database, "app"};
const StoreId blobs{StoreKind::Blobs, "uploads"};

// ---- Messages ----

void read_changes(std::string_view bytes) {
    is_read([&] {
        protocol::ChangeReader reader(bytes);
        protocol::Change change;
        while (reader.next(change)) {
            for (const auto* row : {&change.old_row, &change.new_row}) {
                for (const protocol::Value& value : *row) {
                    require(value.text.empty() || (value.text.data() >= bytes.data() &&
                                                   value.text.data() + value.text.size() <=
                                                       bytes.data() + bytes.size()),
                            "a value stands in its message");
                }
            }
        }
    });
    const auto length = protocol::row_length(bytes);
    require(!length || *length <= bytes.size(), "a row ends in its message");
}

void look_at(const protocol::Event& event) {
    static_cast<void>(protocol::item_of(event.payload));
    static_cast<void>(protocol::fulfils(event.payload));
    static_cast<void>(protocol::pulled_contents(event.payload));
    static_cast<void>(protocol::is_removal(event.payload));
    require(!protocol::kind_of(event.payload).empty(), "each event has a kind");
    read_changes(event.payload.transaction().changes());
}

void assemble(const protocol::Message& message) {
    protocol::Assembler assembler;
    const auto assembled = assembler.add(message);
    if (const auto* events = std::get_if<std::vector<protocol::Event>>(&assembled)) {
        for (const protocol::Event& event : *events) {
            look_at(event);
        }
    }
}

void read_message(std::string_view bytes) {
    const auto opened = protocol::open(std::string(bytes), cluster, epoch);
    if (const auto* message = std::get_if<protocol::Message>(&opened)) {
        require(message->position().number > 0, "a message has a number");
        require(protocol::continuity({{message->position(), message->hash}}, *message) ==
                    protocol::Continuity::Repeated,
                "a message does not follow itself");
        assemble(*message);
    }
}

/// What a hash would keep a mutation from.
void read_payload(std::string_view bytes) {
    protocol::Message message;
    message.store = database;
    message.envelope.set_number(1);
    message.envelope.set_fragments(1);
    message.envelope.set_codec(v1::CODEC_NONE);
    message.envelope.set_payload(std::string(bytes));
    message.envelope.set_payload_size(bytes.size());
    assemble(message);
}

/// The first four bytes say how large it is to be.
void read_compressed(std::string_view bytes) {
    if (const auto size = protocol::read_length(bytes)) {
        const size_t wanted = *size % limits::message_payload_bytes;
        const auto decoded = protocol::decompress(bytes.substr(protocol::length_bytes), wanted);
        require(!decoded || decoded->size() == wanted, "what is decoded is as large as was said");
    }
    if (const auto compressed = protocol::compress(bytes)) {
        require(compressed->size() < bytes.size(), "it is compressed only where that helps");
        require(protocol::decompress(*compressed, bytes.size()) == bytes, "it comes back");
    }
}

std::vector<v1::Payload> payloads() {
    std::vector<v1::Payload> all(3);
    v1::Transaction& transaction = *all[0].mutable_transaction();
    transaction.set_xid(741);
    transaction.set_commit_lsn(0x16B3748);
    transaction.set_last(true);
    v1::Relation& relation = *transaction.add_relations();
    relation.set_id(1);
    relation.set_schema("public");
    relation.set_table("uploads");
    protocol::ChangeWriter changes;
    changes.insert(1, protocol::encode_row({"42", std::nullopt}));
    changes.update(1, protocol::OldRow::Key, protocol::encode_row({"42"}),
                   protocol::encode_row({"43", "x"}));
    changes.remove(1, protocol::OldRow::Whole, protocol::encode_row({"43", "x"}));
    changes.truncate({1, 2}, true, false);
    transaction.set_changes(changes.take());
    v1::BlobPut& put = *all[1].mutable_blob_put();
    put.set_path("a/b");
    put.mutable_content()->set_inline_("bytes");
    v1::Ref& ref = *all[2].mutable_ref_update()->add_refs();
    ref.set_name("refs/heads/main");
    ref.set_new_oid(std::string(20, 'x'));
    return all;
}

std::vector<std::string> message_seeds() {
    protocol::Sealer sealer(cluster, epoch, 7, std::nullopt);
    std::vector<std::string> seeds;
    for (const v1::Payload& payload : payloads()) {
        const auto sealed = sealer.seal(blobs, from_microseconds(1), payload);
        for (const protocol::Sealer::Sealed& message : sealed) {
            seeds.push_back(message.bytes);
        }
    }
    for (const v1::Payload& payload : payloads()) {
        sealer.add(blobs, from_microseconds(1), payload);
    }
    seeds.push_back(sealer.take().front().bytes);
    return seeds;
}

std::vector<std::string> payload_seeds() {
    std::vector<std::string> seeds;
    for (const v1::Payload& payload : payloads()) {
        seeds.push_back(payload.SerializeAsString());
    }
    return seeds;
}

std::vector<std::string> compressed_seeds() {
    const std::string plain(1000, 'a');
    std::string seed;
    protocol::append_length(seed, static_cast<uint32_t>(plain.size()));
    return {seed + *protocol::compress(plain)};
}

// ---- Texts of the bulk service ----

bool none_is_empty(const protocol::Words& words) {
    return std::none_of(words.begin(), words.end(), [](const auto& word) { return word.empty(); });
}

void read_words(std::string_view bytes) {
    const auto words = protocol::decode_line(bytes);
    if (words && none_is_empty(*words)) {
        const std::string line = protocol::encode_line(*words);
        require(protocol::decode_line(std::string_view(line).substr(0, line.size() - 1)) == words,
                "a line of words is read again");
    }
    const auto lines = protocol::decode_lines(bytes, 2);
    require(!lines || std::all_of(lines->begin(), lines->end(),
                                  [](const auto& line) { return line.size() == 2; }),
            "a line has as many words as were asked for");
    static_cast<void>(protocol::decode_number(bytes));
}

void read_chunks(std::string_view bytes) {
    if (const auto table = protocol::decode_chunks(bytes)) {
        require(table->plan.chunks() > 0, "a table has chunks");
        require(table->digests.empty() || table->digests.rbegin()->first < table->plan.chunks(),
                "a digest belongs to a chunk");
        static_cast<void>(table->plan.describe(table->plan.chunks() - 1));
    }
}

void read_keys(std::string_view bytes) {
    static_cast<void>(protocol::decode_keys(bytes));
    if (const auto numbers = protocol::decode_numbers(bytes)) {
        require(protocol::decode_numbers(protocol::encode_numbers(*numbers)) == numbers,
                "numbers are read again");
    }
}

std::vector<std::string> chunks_seeds() {
    ChunkedTable ranges;
    ranges.plan = {{"public", "a b"}, {"id", "v"}, {"id"}, false, "integer", {"10", "20"}, 1};
    ranges.digests[2] = {3, "-17"};
    ChunkedTable buckets;
    buckets.plan = {{"public", "t"}, {"v"}, {"v"}, true, "", {}, 16};
    buckets.digests[15] = {1, "5"};
    return {protocol::encode_chunks(ranges), protocol::encode_chunks(buckets)};
}

std::vector<std::string> keys_seeds() {
    KeyDigests keys;
    keys[-5] = {3, "(7)", {1, "99"}};
    return {protocol::encode_keys(keys), protocol::encode_numbers({1, 2, 4000000000})};
}

// ---- Bodies that come in pieces ----

/// What a reader says of them when they come in two pieces, cut anywhere.
template <typename Feed>
void read_in_pieces(std::string_view bytes, Feed feed) {
    std::vector<std::string> whole;
    const bool good = is_read([&] { whole = feed(bytes, bytes.size()); });
    const size_t middle = bytes.empty() ? 0 : static_cast<unsigned char>(bytes.back());
    std::vector<std::string> cut;
    const bool good_too = is_read([&] { cut = feed(bytes, std::min(middle, bytes.size())); });
    require(good == good_too && whole == cut, "it says the same of what comes in pieces");
}

void read_inventory(std::string_view bytes) {
    read_in_pieces(bytes, [](std::string_view all, size_t middle) {
        std::vector<std::string> items;
        protocol::InventoryReader reader([&](const std::string& item, const Digest& digest) {
            items.push_back(item + " " + digest.to_string());
        });
        reader.feed(all.substr(0, middle));
        reader.feed(all.substr(middle));
        reader.finish();
        return items;
    });
}

void read_contents(std::string_view bytes) {
    read_in_pieces(bytes, [](std::string_view all, size_t middle) {
        std::vector<std::string> contents;
        protocol::ContentsReader reader(2, [&](std::optional<std::string> content) {
            contents.push_back(content ? "=" + *content : "none");
        });
        reader.feed(all.substr(0, middle));
        reader.feed(all.substr(middle));
        reader.finish();
        return contents;
    });
    if (const auto asked = protocol::decode_contents_request(bytes)) {
        const std::string again = protocol::encode_contents_request(*asked);
        require(protocol::decode_contents_request(again) == asked, "a request is read again");
    }
}

std::vector<std::string> inventory_seeds() {
    return {protocol::encode_inventory_item("a", {"blob-1", "x"}) +
            protocol::encode_inventory_item("b/c", {"refs-1", std::string(32, 'y')})};
}

std::vector<std::string> contents_seeds() {
    std::string answer;
    protocol::append_length(answer, 3);
    answer += "abc";
    protocol::append_length(answer, protocol::no_content);
    const std::vector<std::string> references = {"one", "two"};
    return {answer, protocol::encode_contents_request(references)};
}

std::vector<std::string> changes_seeds() {
    return {payloads().front().transaction().changes(), protocol::encode_row({"a", "b"})};
}

}  // namespace

std::vector<Parser> protocol_parsers() {
    return {
        {"protocol/changes", read_changes, changes_seeds},
        {"protocol/chunks", read_chunks, chunks_seeds},
        {"protocol/compressed", read_compressed, compressed_seeds},
        {"protocol/contents", read_contents, contents_seeds},
        {"protocol/inventory", read_inventory, inventory_seeds},
        {"protocol/keys", read_keys, keys_seeds},
        {"protocol/message", read_message, message_seeds},
        {"protocol/payload", read_payload, payload_seeds},
        {"protocol/words", read_words,
         [] {
             return std::vector<std::string>{"public my%20table 17 -5",
                                             protocol::encode_line({"a", "b\n"}) + "c d\n"};
         }},
    };
}

}  // namespace antipode::fuzz
