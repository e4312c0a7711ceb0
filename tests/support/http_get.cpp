#include "tests/support/http_get.hpp"

#include <memory>

#include <curl/curl.h>

namespace antipode::test {
namespace {

size_t keep(char* bytes, size_t size, size_t count, void* body) {
    static_cast<std::string*>(body)->append(bytes, size * count);
    return size * count;
}

}  // namespace

std::optional<std::string> http_get(const std::string& url, std::chrono::milliseconds timeout) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> exchange(curl_easy_init(),
                                                                       &curl_easy_cleanup);
    std::string body;
    curl_easy_setopt(exchange.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(exchange.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(exchange.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(exchange.get(), CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(exchange.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
    curl_easy_setopt(exchange.get(), CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(exchange.get(), CURLOPT_WRITEDATA, &body);
    if (ready != CURLE_OK || curl_easy_perform(exchange.get()) != CURLE_OK) {
        return std::nullopt;
    }
    return body;
}

}  // namespace antipode::test
