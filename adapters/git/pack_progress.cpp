#include "adapters/git/pack_progress.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/digest.hpp"

namespace antipode::git {
namespace {

/// Shorter ones are over before anybody has read of them.
constexpr std::chrono::seconds noticed(1);

std::string seconds(double count) {
    return std::to_string(static_cast<int64_t>(count + 0.5)) + "s";
}

double seconds_between(SteadyTime begin, SteadyTime end) {
    return std::chrono::duration<double>(end - begin).count();
}

/// "(283/1234)" -> 0.229; 0: it does not say.
double part_of(std::string_view said) {
    const size_t open = said.find('(');
    const size_t slash = said.find('/', open);
    if (open == std::string_view::npos || slash == std::string_view::npos) {
        return 0;
    }
    const double done = std::strtod(std::string(said.substr(open + 1)).c_str(), nullptr);
    const double all = std::strtod(std::string(said.substr(slash + 1)).c_str(), nullptr);
    return all > 0 ? done / all : 0;
}

}  // namespace

PackProgress::Running::Running(PackProgress& progress, std::string repository)
    : progress_(progress), repository_(std::move(repository)) {
    const SteadyTime now = progress_.clock_.steady_now();
    progress_.running_.with([&](auto& all) { all[repository_] = {now, {}, {}, now, 0}; });
}

PackProgress::Running::~Running() {
    progress_.running_.with([&](auto& all) { all.erase(repository_); });
}

void PackProgress::Running::hear(std::string_view piece) {
    constexpr size_t longest_line = 1000;
    for (const char c : piece) {
        if (c != '\r' && c != '\n') {
            line_.append(line_.size() < longest_line ? 1 : 0, c);
            continue;
        }
        const std::string said = std::exchange(line_, {});
        const size_t colon = said.find(':');
        if (colon == std::string::npos) {
            continue;
        }
        const SteadyTime now = progress_.clock_.steady_now();
        progress_.running_.with([&](auto& all) {
            State& state = all[repository_];
            if (const std::string phase = said.substr(0, colon); phase != state.phase) {
                state.phase = phase;
                state.phase_began = now;
            }
            state.said = said;
            state.part = part_of(said);
        });
    }
}

std::string PackProgress::describe() const {
    const SteadyTime now = clock_.steady_now();
    return running_.with([&](const auto& all) {
        std::string text;
        size_t others = 0;
        for (const auto& [repository, state] : all) {
            if (now - state.began < noticed) {
                continue;
            }
            if (!text.empty()) {
                ++others;
                continue;
            }
            text = "packing " + printable(repository) + " for " +
                   seconds(seconds_between(state.began, now)) +
                   (state.said.empty() ? "" : ": " + printable(state.said));
            if (state.part > 0 && state.part < 1) {
                const double spent = seconds_between(state.phase_began, now);
                text += ", about " + seconds(spent * (1 - state.part) / state.part) + " left";
            }
        }
        return others == 0 ? text : text + "; and " + std::to_string(others) + " more";
    });
}

std::string without_progress(const std::string& error) {
    const size_t at = std::min(error.find("error:"), error.find("fatal:"));
    return at == std::string::npos ? error : error.substr(at);
}

}  // namespace antipode::git
