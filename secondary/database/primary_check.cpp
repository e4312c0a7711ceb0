#include "secondary/database/primary_check.hpp"

#include <random>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"
#include "protocol/chunk_text.hpp"
#include "protocol/table_list.hpp"
#include "secondary/database/table_copy.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t text_most_bytes = 256 * limits::mib;
/// The primary gives up what nobody wants for five times as long.
constexpr std::chrono::minutes keep_every(1);

[[noreturn]] void malformed(const BulkRequest& request) {
    throw Error(Reaction::Stop, "the primary's answer to " + request.path + " is malformed",
                "compare the versions of Antipode on both sites (antipode version)");
}

std::string new_check_id() {
    std::random_device random;
    std::string bytes;
    for (int i = 0; i < 16; ++i) {
        bytes += static_cast<char>(random() & 0xff);
    }
    return to_hex(bytes);
}

/// The answer behind the primary's signs that it is working on it.
void take_signs_of_life(std::string& text) {
    text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
}

void throw_if_unreadable(std::string_view text) {
    if (text.starts_with(protocol::unreadable)) {
        text.remove_prefix(protocol::unreadable.size());
        throw Unreadable("on the primary: " + std::string(text.substr(0, text.find('\n'))));
    }
}

}  // namespace

PrimaryCheck::PrimaryCheck(StoreId store, BulkSource& primary, std::stop_token stop)
    : store_(std::move(store)), primary_(primary), stop_(std::move(stop)), id_(new_check_id()) {}

PrimaryCheck::~PrimaryCheck() {
    keeping_.request_stop();
    if (!asked_) {
        return;
    }
    try {
        get(request("close"), stop_);
    } catch (...) {
        // It ends by itself.
    }
}

BulkRequest PrimaryCheck::request(const std::string& what) const {
    return {store_.to_string() + "/check/" + what, {{"id", id_}}};
}

BulkRequest PrimaryCheck::request(const std::string& what, const TableName& table,
                                  const std::set<uint32_t>& chunks) const {
    BulkRequest wanted = request(what);
    wanted.query["schema"] = table.schema;
    wanted.query["table"] = table.table;
    if (!chunks.empty()) {
        wanted.query["chunks"] = protocol::encode_numbers(chunks);
    }
    return wanted;
}

PrimaryCheck::Text PrimaryCheck::get(const BulkRequest& request,
                                     const std::stop_token& stop) const {
    Text result;
    result.answer = primary_.get(
        request, 0, {},
        [&](std::string_view piece) {
            if (result.text.size() + piece.size() > text_most_bytes) {
                malformed(request);
            }
            result.text += piece;
        },
        stop);
    take_signs_of_life(result.text);
    return result;
}

PrimaryCheck::Text PrimaryCheck::get_known(const BulkRequest& request) const {
    Text result = get(request, stop_);
    if (!result.answer.found) {
        throw Error(Reaction::Retry,
                    "the primary does not know " + request.path + ", or not any more",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    return result;
}

std::optional<std::vector<protocol::Words>> PrimaryCheck::get_lines(const BulkRequest& request,
                                                                    size_t width) const {
    const Text result = get(request, stop_);
    if (!result.answer.found) {
        return std::nullopt;
    }
    throw_if_unreadable(result.text);
    auto lines = protocol::decode_lines(result.text, width);
    if (!lines) {
        malformed(request);
    }
    return lines;
}

void PrimaryCheck::open(Of what, const std::string& cut_as) {
    BulkRequest wanted = request("open");
    if (what != Of::Rows) {
        wanted.query["structure"] = "1";
    }
    if (what == Of::Recipes) {
        wanted.query["recipes"] = "1";
    }
    if (!cut_as.empty()) {
        wanted.query["cut_as"] = cut_as;
    }
    asked_ = true;
    const Text result = get_known(wanted);
    const auto lines = protocol::decode_lines(result.text, 2);
    if (!lines) {
        malformed(wanted);
    }
    for (const protocol::Words& words : *lines) {
        tables_.push_back({words[0], words[1]});
    }
    snapshot_ = header(result.answer, protocol::snapshot_header, wanted.path);
    wal_end_ = lsn_header(result.answer, protocol::wal_end_header, wanted.path);
    keeping_ = std::jthread([this](const std::stop_token& done) { keep(done); });
}

void PrimaryCheck::keep(const std::stop_token& done) const {
    while (!sleep_unless_stopped(keep_every, done)) {
        try {
            if (!get(request("keep"), done).answer.found) {
                return;  // it is not there any more
            }
        } catch (...) {
            // Whoever uses the check is told.
        }
    }
}

std::optional<Structure> PrimaryCheck::structure() const {
    const auto lines = get_lines(request("structure"), 2);
    if (!lines) {
        return std::nullopt;
    }
    Structure structure;
    for (const protocol::Words& words : *lines) {
        structure[words[0]] = words[1].substr(1);
    }
    return structure;
}

std::optional<Recipes> PrimaryCheck::recipes() const {
    const auto lines = get_lines(request("recipes"), 4);
    if (!lines) {
        return std::nullopt;
    }
    Recipes recipes;
    for (const protocol::Words& words : *lines) {
        recipes[words[0]][words[1].substr(1)] = {words[2].substr(1), words[3].substr(1)};
    }
    return recipes;
}

std::optional<std::vector<LargeObject>> PrimaryCheck::large_objects() const {
    const BulkRequest wanted = request("large_objects");
    const auto lines = get_lines(wanted, 3);
    if (!lines) {
        return std::nullopt;
    }
    std::vector<LargeObject> objects;
    for (const protocol::Words& words : *lines) {
        const auto oid = protocol::decode_number(words[0]);
        if (!oid || *oid <= 0 || *oid > UINT32_MAX) {
            malformed(wanted);
        }
        objects.push_back({static_cast<uint32_t>(*oid), words[1], words[2]});
    }
    return objects;
}

void PrimaryCheck::large_object(uint32_t oid,
                                const std::function<void(std::string_view)>& sink) const {
    BulkRequest wanted = request("large_object");
    wanted.query["oid"] = std::to_string(oid);
    if (!primary_.get(wanted, 0, {}, sink, stop_).found) {
        throw Error(Reaction::Retry, "the primary does not know the check any more");
    }
}

std::optional<std::string> PrimaryCheck::get_table(const BulkRequest& request) const {
    std::string text = get_known(request).text;
    throw_if_unreadable(text);
    return text == protocol::not_readable ? std::nullopt : std::optional(std::move(text));
}

std::optional<ChunkedTable> PrimaryCheck::digests(const TableName& table,
                                                  const std::set<uint32_t>& chunks) const {
    const BulkRequest wanted = request("digests", table, chunks);
    const auto answer = get_table(wanted);
    if (!answer) {
        return std::nullopt;
    }
    auto chunked = protocol::decode_chunks(*answer);
    if (!chunked || chunked->plan.table != table) {
        malformed(wanted);
    }
    return chunked;
}

std::optional<KeyDigests> PrimaryCheck::keys(const TableName& table,
                                             const std::set<uint32_t>& chunks) const {
    const BulkRequest wanted = request("keys", table, chunks);
    const auto answer = get_table(wanted);
    if (!answer) {
        return std::nullopt;
    }
    auto keys = protocol::decode_keys(*answer);
    if (!keys) {
        malformed(wanted);
    }
    return keys;
}

bool PrimaryCheck::copy(const TableName& table, const std::set<uint32_t>& chunks,
                        const std::function<void(std::string_view)>& sink) const {
    return primary_.get(request("copy", table, chunks), 0, {}, sink, stop_).found;
}

std::set<uint32_t> take_chunks(std::set<uint32_t>& chunks) {
    auto end = chunks.begin();
    std::advance(end, static_cast<ptrdiff_t>(std::min(chunks.size(), chunks_per_request)));
    std::set<uint32_t> taken(chunks.begin(), end);
    chunks.erase(chunks.begin(), end);
    return taken;
}

}  // namespace antipode::secondary
