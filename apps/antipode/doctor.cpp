#include "apps/antipode/doctor.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace antipode::cli {
namespace {

using Verdict = Finding::Verdict;

std::string_view to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::Good:
            return "good";
        case Verdict::Bad:
            return "bad";
        case Verdict::Skipped:
            return "skipped";
    }
    return "bad";
}

Findings look(const Config& config, const Check& check) {
    try {
        return check.look(config);
    } catch (const Error& error) {
        return {bad(check.name, "", error.what(), error.next_step())};
    } catch (const CommandError& error) {
        return {bad(check.name, "", error.what(), error.next_step())};
    }
}

void print_table(const Findings& findings, const Output& output) {
    for (const Finding& finding : findings) {
        const Colour colour = finding.verdict == Verdict::Good  ? Colour::Green
                              : finding.verdict == Verdict::Bad ? Colour::Red
                                                                : Colour::Faint;
        const std::string_view word = finding.verdict == Verdict::Good  ? "ok      "
                                      : finding.verdict == Verdict::Bad ? "FINDING "
                                                                        : "skipped ";
        output.out << paint(word, colour, output.coloured) << " " << finding.check
                   << (finding.subject.empty() ? "" : " " + harmless(finding.subject)) << ": "
                   << harmless(finding.text) << "\n";
        if (finding.verdict == Verdict::Bad && !finding.next_step.empty()) {
            output.out << "         Try: " << harmless(finding.next_step) << "\n";
        }
    }
}

void print_json(const Findings& findings, const Output& output) {
    nlohmann::ordered_json document = {{"schema", "antipode.doctor/1"},
                                       {"findings", nlohmann::ordered_json::array()}};
    for (const Finding& finding : findings) {
        document["findings"].push_back({{"check", finding.check},
                                        {"subject", finding.subject},
                                        {"verdict", to_string(finding.verdict)},
                                        {"text", finding.text},
                                        {"next_step", finding.next_step}});
    }
    output.out << document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
               << "\n";
}

}  // namespace

Finding good(std::string check, std::string subject, std::string text) {
    return {std::move(check), std::move(subject), Verdict::Good, std::move(text), {}};
}

Finding bad(std::string check, std::string subject, std::string text, std::string next_step) {
    return {std::move(check), std::move(subject), Verdict::Bad, std::move(text),
            std::move(next_step)};
}

Finding skipped(std::string check, std::string subject, std::string text) {
    return {std::move(check), std::move(subject), Verdict::Skipped, std::move(text), {}};
}

ExitCode run_doctor(const Config& config, const std::vector<Check>& checks, const Output& output) {
    Findings findings;
    for (const Check& check : checks) {
        const Findings found = look(config, check);
        findings.insert(findings.end(), found.begin(), found.end());
    }
    std::stable_partition(findings.begin(), findings.end(),
                          [](const Finding& finding) { return finding.verdict != Verdict::Bad; });
    const auto wrong = std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
        return finding.verdict == Verdict::Bad;
    });
    if (output.json()) {
        print_json(findings, output);
    } else {
        print_table(findings, output);
        output.out << (wrong == 0 ? "nothing to mend" : std::to_string(wrong) + " to mend") << "\n";
    }
    return wrong == 0 ? ExitCode::Ok : ExitCode::Findings;
}

}  // namespace antipode::cli
