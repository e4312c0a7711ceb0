#include "tests/fuzz/parser.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <google/protobuf/stubs/logging.h>

namespace antipode::fuzz {

void require(bool holds, const char* property) {
    if (!holds) {
        std::fprintf(stderr, "it does not hold that %s\n", property);
        std::abort();
    }
}

const std::vector<Parser>& all_parsers() {
    static const std::vector<Parser> all = [] {
        // It would say of each bad text what is wrong with it.
        google::protobuf::SetLogHandler(nullptr);
        std::vector<Parser> parsers;
        for (const auto& group :
             {base_parsers(), failover_parsers(), git_parsers(), http_parsers(), postgres_parsers(),
              primary_parsers(), protocol_parsers(), s3_parsers(), verify_parsers()}) {
            parsers.insert(parsers.end(), group.begin(), group.end());
        }
        std::sort(parsers.begin(), parsers.end(), [](const Parser& one, const Parser& other) {
            return std::string_view(one.name) < other.name;
        });
        return parsers;
    }();
    return all;
}

}  // namespace antipode::fuzz
