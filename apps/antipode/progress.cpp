#include "apps/antipode/progress.hpp"

#include <algorithm>

#include "apps/antipode/format.hpp"

namespace antipode::cli {
namespace {

constexpr size_t bar_width = 20;
/// "Erase in line" (ECMA-48), behind a return to its beginning.
constexpr const char* over_the_last = "\r\x1b[K";

}  // namespace

Progress::Progress(const Output& output, Now now) : output_(output), now_(std::move(now)) {}

void Progress::end() {
    if (output_.live && !output_.json() && !told_.empty()) {
        output_.error << "\n";
    }
    told_.clear();
}

void Progress::tell(const std::string& text, const std::optional<Share>& share) {
    if (output_.json()) {
        return;
    }
    const bool has_bar = output_.live && share && share->total > 0;
    const std::string line = has_bar ? with_bar(harmless(text), *share) : harmless(text);
    if (line == told_) {
        return;
    }
    told_ = line;
    if (output_.live) {
        output_.error << over_the_last << line << std::flush;
    } else {
        output_.error << line << "\n";
    }
}

std::string Progress::with_bar(const std::string& text, const Share& share) {
    const uint64_t done = std::min(share.done, share.total);
    if (!first_done_ || done < *first_done_) {
        first_done_ = done;
        began_ = now_();
    }
    const size_t full = done * bar_width / share.total;
    std::string line = "[" + std::string(full, '#') + std::string(bar_width - full, '.') + "] " +
                       std::to_string(done * 100 / share.total) + "%  " + text;
    const double seconds = std::chrono::duration<double>(now_() - began_).count();
    const auto since = static_cast<double>(done - *first_done_);
    if (since > 0 && seconds >= 1) {
        const double rate = since / seconds;
        line += rate >= 1 ? ", " + format_count(static_cast<uint64_t>(rate)) + "/s" : "";
        line +=
            ", about " + format_seconds(static_cast<double>(share.total - done) / rate) + " to go";
    }
    return line;
}

}  // namespace antipode::cli
