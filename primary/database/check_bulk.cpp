#include "primary/database/check_bulk.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "primary/database/bodies.hpp"
#include "protocol/chunk_text.hpp"
#include "protocol/table_list.hpp"

namespace antipode::primary {
namespace {

/// Each holds a connection, and back what vacuum would remove.
constexpr size_t most_checks = 8;
/// The server has ended what was not used for that long.
constexpr std::chrono::minutes used_within(5);
constexpr size_t most_id_bytes = 64;

bool is_valid_id(const std::string& id) {
    return !id.empty() && id.size() <= most_id_bytes &&
           id.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string list(const std::vector<TableName>& tables) {
    std::string text;
    for (const TableName& table : tables) {
        text += protocol::encode_line({table.schema, table.table});
    }
    return text;
}

std::string list(const Structure& structure) {
    std::string text;
    for (const auto& [object, definition] : structure) {
        text += protocol::encode_line({object, "=" + definition});  // no word is empty
    }
    return text;
}

std::string list(const Recipes& recipes) {
    std::string text;
    for (const auto& [object, facets] : recipes) {
        for (const auto& [facet, recipe] : facets) {
            text +=
                protocol::encode_line({object, "=" + facet, "=" + recipe.make, "=" + recipe.drop});
        }
    }
    return text;
}

std::string list(const std::vector<LargeObject>& objects) {
    std::string text;
    for (const LargeObject& object : objects) {
        text += protocol::encode_line({std::to_string(object.oid), object.owner, object.digest});
    }
    return text;
}

std::string unreadable(const Unreadable& error) {
    std::string line = std::string(protocol::unreadable) + error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line + "\n";
}

/// What `make` gives for `check`, or why it cannot be read.
template <typename Make>
std::unique_ptr<BulkBody> later(std::shared_ptr<SourceCheck> check, Make make) {
    return std::make_unique<LaterBody>([check = std::move(check), make = std::move(make)](
                                           const std::stop_token& stop) -> std::string {
        try {
            return make(*check, stop);
        } catch (const Unreadable& error) {
            return unreadable(error);
        }
    });
}

template <typename Read>
std::unique_ptr<BulkBody> known_of(Read read) {
    try {
        const auto* const known = read();
        return known == nullptr ? nullptr : std::make_unique<TextBody>(list(*known), Headers{});
    } catch (const Unreadable& error) {
        return std::make_unique<TextBody>(unreadable(error), Headers{});
    }
}

}  // namespace

std::unique_ptr<BulkBody> CheckBulk::open(const std::string& what, const BulkRequest& request) {
    const auto id = request.parameter("id");
    if (!id || !is_valid_id(*id)) {
        return nullptr;
    }
    if (what == "open") {
        return begin(*id, request);
    }
    const auto check = find(*id);
    if (!check) {
        return nullptr;
    }
    if (what == "close") {
        checks_.with([&](auto& checks) { checks.erase(*id); });
        return std::make_unique<TextBody>("", Headers{});
    }
    if (what == "keep") {
        check->keep();
        return std::make_unique<TextBody>("", Headers{});
    }
    if (what == "structure") {
        return known_of([&] { return check->structure(); });
    }
    if (what == "recipes") {
        return known_of([&] { return check->recipes(); });
    }
    if (what == "large_objects") {
        return later(check, [](SourceCheck& source, const std::stop_token& stop) {
            return list(source.large_objects(stop));
        });
    }
    if (what == "large_object") {
        const auto oid = protocol::decode_number(request.parameter("oid").value_or(""));
        return !oid || *oid <= 0 || *oid > UINT32_MAX
                   ? nullptr
                   : std::make_unique<StreamBody>(
                         "", check->large_object(static_cast<uint32_t>(*oid)), Headers{});
    }
    return open_table(what, request, check);
}

std::unique_ptr<BulkBody> CheckBulk::open_table(const std::string& what, const BulkRequest& request,
                                                const std::shared_ptr<SourceCheck>& check) {
    const auto schema = request.parameter("schema");
    const auto name = request.parameter("table");
    const auto chunks = protocol::decode_numbers(request.parameter("chunks").value_or(""));
    if (!schema || !name || !chunks) {
        return nullptr;
    }
    const TableName table{*schema, *name};
    if (what == "digests") {
        return later(check, [=](SourceCheck& source, const std::stop_token& stop) {
            const auto chunked = source.digests(table, *chunks, stop);
            return chunked ? protocol::encode_chunks(*chunked) : protocol::not_readable;
        });
    }
    if (what == "keys") {
        return later(check, [=](SourceCheck& source, const std::stop_token& stop) {
            const auto keys = source.keys(table, *chunks, stop);
            return keys ? protocol::encode_keys(*keys) : protocol::not_readable;
        });
    }
    auto reader = what == "copy" ? check->copy(table, *chunks) : nullptr;
    return reader ? std::make_unique<StreamBody>("", std::move(reader), Headers{}) : nullptr;
}

std::unique_ptr<BulkBody> CheckBulk::begin(const std::string& id, const BulkRequest& request) {
    const auto cut_as = request.parameter("cut_as");
    const auto other = cut_as ? find(*cut_as) : nullptr;
    if (cut_as && !other) {
        return nullptr;
    }
    reserve(id);
    try {
        auto check = source_.open(id, request.parameter("recipes")     ? CheckReads::AlsoRecipes
                                      : request.parameter("structure") ? CheckReads::Definitions
                                                                       : CheckReads::Rows);
        if (other) {
            check->cut_as(*other);
        }
        std::string tables = list(check->tables());
        const Headers headers = {{protocol::snapshot_header, check->snapshot()},
                                 {protocol::wal_end_header, check->wal_end().to_string()}};
        checks_.with([&](auto& checks) { checks[id] = {std::move(check), clock_.steady_now()}; });
        return std::make_unique<TextBody>(std::move(tables), headers);
    } catch (...) {
        checks_.with([&](auto& checks) { checks.erase(id); });
        throw;
    }
}

/// A place for one that is about to be opened.
void CheckBulk::reserve(const std::string& id) {
    const SteadyTime now = clock_.steady_now();
    checks_.with([&](auto& checks) {
        std::erase_if(checks,
                      [&](const auto& open) { return open.second.used < now - used_within; });
        if (checks.size() >= most_checks) {
            throw Error(Reaction::Retry,
                        std::to_string(checks.size()) + " checks of this database are open",
                        "wait until one has ended (antipode status -o json tells of them)");
        }
        checks[id] = {nullptr, now};
    });
}

std::shared_ptr<SourceCheck> CheckBulk::find(const std::string& id) {
    return checks_.with([&](auto& checks) -> std::shared_ptr<SourceCheck> {
        const auto found = checks.find(id);
        if (found == checks.end()) {
            return nullptr;
        }
        found->second.used = clock_.steady_now();
        return found->second.check;
    });
}

}  // namespace antipode::primary
