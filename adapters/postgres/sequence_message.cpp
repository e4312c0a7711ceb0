#include "adapters/postgres/sequence_message.hpp"

#include <nlohmann/json.hpp>

namespace antipode::postgres {
namespace {

using Json = nlohmann::json;

}  // namespace

std::string write_sequence_message(std::span<const SequenceState> states) {
    Json list = Json::array();
    for (const SequenceState& state : states) {
        list.push_back({state.at.name.schema, state.at.name.table, state.at.value, state.at.called,
                        state.exact});
    }
    return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<DecodedSequences> parse_sequence_message(std::string_view content) {
    try {
        DecodedSequences sequences;
        for (const Json& state : Json::parse(content)) {
            sequences.states.push_back(
                {{{state.at(0), state.at(1)}, state.at(2), state.at(3)}, state.at(4)});
        }
        return sequences;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

}  // namespace antipode::postgres
