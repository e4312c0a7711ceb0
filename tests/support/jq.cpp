#include "tests/support/jq.hpp"

#include <map>
#include <memory>
#include <stdexcept>

// Its header names C functions without saying that they are.
extern "C" {
#include <jq.h>
}

namespace antipode::test {
namespace {

/// Compiled filters are kept: compiling is nearly all that a run costs.
constexpr size_t most_filters = 256;

struct Teardown {
    void operator()(jq_state* state) const { jq_teardown(&state); }
};
using State = std::unique_ptr<jq_state, Teardown>;

void keep_message(void* text, jv message) {
    const jv readable = jq_format_error(message);
    *static_cast<std::string*>(text) += jv_string_value(readable);
    jv_free(readable);
}

State compile(const std::string& filter) {
    State state(jq_init());
    std::string complaint;
    jq_set_error_cb(state.get(), keep_message, &complaint);
    const bool compiled = jq_compile(state.get(), filter.c_str()) != 0;
    jq_set_error_cb(state.get(), nullptr, nullptr);
    if (!compiled) {
        throw std::invalid_argument("jq: " + filter + ": " + complaint);
    }
    return state;
}

jq_state* compiled(const std::string& filter) {
    thread_local std::map<std::string, State> filters;
    const auto found = filters.find(filter);
    if (found != filters.end()) {
        return found->second.get();
    }
    if (filters.size() >= most_filters) {
        filters.clear();
    }
    return filters.emplace(filter, compile(filter)).first->second.get();
}

/// Consumes the value.
std::string text_of(jv value) {
    const jv text = jv_get_kind(value) == JV_KIND_STRING
                        ? value
                        : jv_dump_string(value, JV_PRINT_PRETTY | JV_PRINT_INDENT_FLAGS(2));
    std::string result(jv_string_value(text),
                       static_cast<size_t>(jv_string_length_bytes(jv_copy(text))));
    jv_free(text);
    return result;
}

struct Printed {
    std::string text;
    bool last_is_true = false;
};

struct ParserEnd {
    void operator()(jv_parser* parser) const { jv_parser_free(parser); }
};
using Parser = std::unique_ptr<jv_parser, ParserEnd>;

/// What "input" and "inputs" ask for.
jv next_document(jq_state*, void* parser) {
    return jv_parser_next(static_cast<jv_parser*>(parser));
}

/// Whether the end was reached without an error. Consumes the value.
bool is_end(jv value) {
    return jv_invalid_has_msg(value) == 0;
}

/// nullopt: nothing was printed, or something failed.
std::optional<Printed> run_filter(const std::string& filter, const std::string& text) {
    jq_state* const state = compiled(filter);
    const Parser parser(jv_parser_new(0));
    jv_parser_set_buf(parser.get(), text.c_str(), static_cast<int>(text.size()), 0);
    jq_set_input_cb(state, next_document, parser.get());
    std::optional<Printed> printed;
    jv document = jv_parser_next(parser.get());
    for (; jv_is_valid(document) != 0; document = jv_parser_next(parser.get())) {
        jq_start(state, document, 0);
        jv result = jq_next(state);
        for (; jv_is_valid(result) != 0; result = jq_next(state)) {
            const jv_kind kind = jv_get_kind(result);
            printed = {(printed ? printed->text + "\n" : "") + text_of(result),
                       kind != JV_KIND_NULL && kind != JV_KIND_FALSE};
        }
        if (!is_end(result)) {
            return std::nullopt;
        }
    }
    return is_end(document) ? printed : std::nullopt;
}

}  // namespace

std::optional<std::string> jq(const std::string& filter, const std::string& documents) {
    const auto printed = run_filter(filter, documents);
    return printed ? std::optional(printed->text) : std::nullopt;
}

std::optional<std::string> jq_if_true(const std::string& filter, const std::string& documents) {
    const auto printed = run_filter(filter, documents);
    return printed && printed->last_is_true ? std::optional(printed->text) : std::nullopt;
}

}  // namespace antipode::test
