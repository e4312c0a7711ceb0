#include "secondary/small_contents.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "protocol/contents.hpp"

namespace antipode::secondary {

std::vector<std::shared_ptr<const std::string>> pull_together(const StoreId& store,
                                                              std::span<const v1::Content> contents,
                                                              BulkSource& primary,
                                                              const std::stop_token& stop) {
    std::vector<std::string> references;
    for (const v1::Content& content : contents) {
        references.push_back(content.pull());
    }
    std::vector<std::shared_ptr<const std::string>> pulled;
    protocol::ContentsReader reader(contents.size(), [&](std::optional<std::string> bytes) {
        const v1::Content& content = contents[pulled.size()];
        const auto wanted = sha256_from_bytes(content.sha256());
        const bool right =
            bytes && wanted && bytes->size() == content.size() && sha256(*bytes) == *wanted;
        pulled.push_back(right ? std::make_shared<const std::string>(std::move(*bytes)) : nullptr);
    });
    const BulkRequest request{
        store.to_string() + "/contents", {}, protocol::encode_contents_request(references)};
    const auto answer = primary.get(
        request, 0, {}, [&](std::string_view chunk) { reader.feed(chunk); }, stop);
    if (!answer.found) {
        return std::vector<std::shared_ptr<const std::string>>(contents.size());
    }
    reader.finish();
    return pulled;
}

}  // namespace antipode::secondary
