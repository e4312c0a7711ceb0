#include "apps/antipode/output.hpp"

#include <nlohmann/json.hpp>

namespace antipode::cli {

std::string_view to_string(ExitCode code) {
    switch (code) {
        case ExitCode::Ok:
            return "ok";
        case ExitCode::Failed:
            return "failed";
        case ExitCode::Usage:
            return "usage";
        case ExitCode::Findings:
            return "findings";
        case ExitCode::Blocked:
            return "blocked";
        case ExitCode::TimedOut:
            return "timeout";
        case ExitCode::Unreachable:
            return "unreachable";
        case ExitCode::Denied:
            return "denied";
        case ExitCode::Unknown:
            return "unknown";
        case ExitCode::Conflict:
            return "conflict";
        case ExitCode::Interrupted:
            return "interrupted";
    }
    return "failed";
}

int report(const Output& output, const CommandError& error) {
    const int code = static_cast<int>(error.code());
    if (output.json()) {
        const nlohmann::ordered_json document = {{"schema", "antipode.error/1"},
                                                 {"error",
                                                  {{"code", to_string(error.code())},
                                                   {"exit_code", code},
                                                   {"message", error.what()},
                                                   {"next_step", error.next_step()}}}};
        using Json = nlohmann::ordered_json;
        output.error << document.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    } else {
        output.error << paint("antipode: ", Colour::Red, output.coloured) << harmless(error.what())
                     << "\nTry: " << harmless(error.next_step()) << "\n";
    }
    return code;
}

}  // namespace antipode::cli
