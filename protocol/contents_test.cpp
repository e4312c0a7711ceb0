#include "protocol/contents.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/lengths.hpp"

namespace antipode::protocol {
namespace {

using Contents = std::vector<std::optional<std::string>>;

std::string encode(const Contents& contents) {
    std::string bytes;
    for (const auto& content : contents) {
        append_length(bytes, content ? static_cast<uint32_t>(content->size()) : no_content);
        bytes += content.value_or("");
    }
    return bytes;
}

Contents read(const std::string& bytes, size_t expected, size_t chunk) {
    Contents contents;
    ContentsReader reader(expected, [&](auto content) { contents.push_back(std::move(content)); });
    for (size_t at = 0; at < bytes.size(); at += chunk) {
        reader.feed(std::string_view(bytes).substr(at, chunk));
    }
    reader.finish();
    return contents;
}

TEST(Contents, AreReadHoweverTheyAreCut) {
    const Contents contents = {"one", std::nullopt, "", std::string(300, 'x'), std::nullopt, ""};
    const std::string bytes = encode(contents);
    for (size_t chunk = 1; chunk <= bytes.size(); ++chunk) {
        EXPECT_EQ(read(bytes, contents.size(), chunk), contents) << chunk;
    }
}

TEST(Contents, AreNotTakenForWholeWhenTheyAreCutOff) {
    const std::string bytes = encode({"one", "two"});
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(read(bytes.substr(0, size), 2, 7), Error) << size;
    }
    EXPECT_THROW(read(bytes, 1, 7), Error) << "more than was asked for";
    std::string large;
    append_length(large, limits::content_in_memory_bytes + 1);
    EXPECT_THROW(read(large, 1, 7), Error);
}

TEST(ContentsRequest, NamesReferencesOfAnyBytes) {
    const std::vector<std::string> references = {std::string("\0\n\xff", 3), "a", "a"};
    EXPECT_EQ(decode_contents_request(encode_contents_request(references)), references);
    EXPECT_FALSE(decode_contents_request(""));
    EXPECT_FALSE(decode_contents_request("61"));
    EXPECT_FALSE(decode_contents_request("61\n\n"));
    EXPECT_FALSE(decode_contents_request("6\n"));
    EXPECT_FALSE(decode_contents_request("zz\n"));
    const std::vector<std::string> many(limits::contents_at_once, "a");
    EXPECT_EQ(decode_contents_request(encode_contents_request(many)), many);
    EXPECT_FALSE(decode_contents_request(encode_contents_request(many) + "61\n"));
}

}  // namespace
}  // namespace antipode::protocol
