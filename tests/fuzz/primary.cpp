#include "base/files.hpp"
#include "primary/blobs/state.hpp"
#include "primary/repositories/capture.hpp"
#include "secondary/database/snapshot.hpp"
#include "tests/fuzz/parser.hpp"

namespace antipode::fuzz {
namespace {

void read_blob_state(std::string_view bytes) {
    if (const auto state = primary::BlobState::decode(bytes)) {
        const std::string again = state->encode();
        const auto same = primary::BlobState::decode(again);
        require(again.size() == bytes.size() && same && same->encode() == again,
                "what is remembered of a file is read again");
    }
}

void read_blob_reference(std::string_view bytes) {
    if (const auto reference = primary::BlobReference::decode(bytes)) {
        require(reference->encode() == bytes, "a reference has one spelling");
        require(!why_no_path(reference->path), "a reference names a path below the root");
    }
}

void read_repository_state(std::string_view bytes) {
    primary::RepositoryState state;
    if (is_read([&] { state = primary::decode_state(std::string(bytes)); })) {
        const auto same = primary::decode_state(primary::encode_state(state));
        require(same.fingerprint == state.fingerprint && same.refs == state.refs,
                "what is remembered of a repository is read again");
    }
}

void read_snapshot(std::string_view bytes) {
    if (const auto snapshot = secondary::Snapshot::parse(bytes)) {
        for (const uint32_t xid : {0U, 3U, 1000U, 0x7fffffffU, 0xffffffffU}) {
            static_cast<void>(snapshot->sees(xid));
        }
    }
}

std::vector<std::string> state_seeds() {
    primary::BlobState state;
    state.stat.size = 17;
    state.stat.mtime_ns = 1;
    state.settled = true;
    return {state.encode()};
}

}  // namespace

std::vector<Parser> primary_parsers() {
    return {
        {"primary/blob-reference", read_blob_reference,
         [] {
             return std::vector<std::string>{primary::BlobReference{"a/b", 17, 5}.encode()};
         }},
        {"primary/blob-state", read_blob_state, state_seeds},
        {"primary/repository-state", read_repository_state,
         [] {
             RepositoryRefs refs;
             refs.refs["HEAD"] = RefValue::symbolic("refs/heads/main");
             return std::vector<std::string>{primary::encode_state({"print", refs})};
         }},
        {"secondary/snapshot", read_snapshot,
         [] {
             return std::vector<std::string>{"10:20:11,15", "4294967296:4294967300:"};
         }},
    };
}

}  // namespace antipode::fuzz
