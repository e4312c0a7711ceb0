#include "base/refs.hpp"
#include "tests/fuzz/parser.hpp"
#include "verify/inventory_sums.hpp"
#include "verify/refs.hpp"

namespace antipode::fuzz {
namespace {

void read_sum(std::string_view bytes) {
    if (const auto sum = verify::InventorySum::parse(bytes)) {
        require(verify::InventorySum::parse(sum->to_string()) == sum, "a sum is read again");
    }
}

void read_sums(std::string_view bytes) {
    verify::SumsAnswer answer;
    if (is_read([&] { answer = verify::decode_sums(std::string(bytes)); })) {
        const verify::SumsAnswer again = verify::decode_sums(verify::encode(answer));
        require(again.position == answer.position && again.equal == answer.equal &&
                    again.buckets == answer.buckets && again.unsure == answer.unsure,
                "an answer of sums is read again");
        require(
            answer.buckets.empty() || answer.buckets.rbegin()->first < verify::inventory_buckets,
            "there are no more buckets");
    }
}

void read_refs(std::string_view bytes) {
    const auto refs = verify::parse_canonical_refs(bytes);
    require(!refs || verify::canonical_refs(*refs) == bytes, "refs have one spelling");
}

std::vector<std::string> sums_seeds() {
    verify::SumsAnswer answer;
    answer.position = {1, 2, 3};
    answer.buckets[0] = verify::sum_of("a", {"blob-1", "x"});
    answer.buckets[1023] = verify::sum_of("b", {"blob-1", "y"});
    answer.unsure = {17};
    verify::SumsAnswer equal;
    equal.position = {1, 2, 4};
    equal.equal = true;
    return {verify::encode(answer), verify::encode(equal)};
}

std::vector<std::string> refs_seeds() {
    RepositoryRefs refs;
    refs.refs["HEAD"] = RefValue::symbolic("refs/heads/main");
    refs.refs["refs/heads/main"] = RefValue::direct(std::string(20, 'x'));
    refs.refs["description"] = RefValue::symbolic("of a repository");
    RepositoryRefs long_ones{"sha256", {{"refs/tags/v1", RefValue::direct(std::string(32, 'y'))}}};
    return {verify::canonical_refs(refs), verify::canonical_refs(long_ones)};
}

}  // namespace

std::vector<Parser> verify_parsers() {
    return {
        {"verify/refs", read_refs, refs_seeds},
        {"verify/sum", read_sum,
         [] {
             return std::vector<std::string>{verify::sum_of("a", {"blob-1", "x"}).to_string()};
         }},
        {"verify/sums", read_sums, sums_seeds},
    };
}

}  // namespace antipode::fuzz
