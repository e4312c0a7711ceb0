#include "secondary/database/large_object_copy.hpp"

#include <map>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/table_list.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t line_most_bytes = limits::mib;

/// Cuts what comes into lines "offset<TAB>hex".
class Pages {
  public:
    explicit Pages(LargeObjectStore& here) : here_(here) {}
    void take(std::string_view piece) {
        rest_ += piece;
        size_t at = 0;
        for (size_t end = rest_.find('\n', at); end != std::string::npos;
             end = rest_.find('\n', at)) {
            take_line(std::string_view(rest_).substr(at, end - at));
            at = end + 1;
        }
        rest_.erase(0, at);
        if (rest_.size() > line_most_bytes) {
            malformed();
        }
    }
    void end() const {
        if (!rest_.empty()) {
            malformed();
        }
    }

  private:
    void take_line(std::string_view line) {
        const size_t tab = line.find('\t');
        const auto offset = protocol::decode_number(line.substr(0, tab));
        if (tab == std::string_view::npos || !offset || *offset < 0) {
            malformed();
        }
        here_.write(static_cast<uint64_t>(*offset), line.substr(tab + 1));
    }
    [[noreturn]] static void malformed() {
        throw Error(Reaction::Stop, "the primary's answer with a large object is malformed",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    LargeObjectStore& here_;
    std::string rest_;
};

}  // namespace

LargeObjectCopy::LargeObjectCopy(StoreId store, BulkSource& primary, LargeObjectStore& here)
    : store_(store), primary_(std::move(store), primary), here_(here) {}

LargeObjectReport LargeObjectCopy::run(const std::stop_token& stop) {
    LargeObjectReport report;
    const std::string check = new_check_id();
    primary_.open(check, {}, stop);
    const auto there = primary_.large_objects(check, stop);
    if (!there) {
        primary_.close(check, stop);
        report.known = false;
        return report;
    }
    std::map<uint32_t, LargeObject> surplus;
    for (LargeObject& object : here_.list()) {
        surplus[object.oid] = std::move(object);
    }
    report.objects = there->size();
    for (const LargeObject& object : *there) {
        const auto own = surplus.find(object.oid);
        if (own == surplus.end() || own->second.digest != object.digest) {
            report.copied += attempt(object, report, [&] { copy(check, object, stop); }) ? 1 : 0;
        }
        surplus.erase(object.oid);
    }
    for (const auto& [oid, object] : surplus) {
        report.removed += attempt(object, report, [&] { here_.remove(object); }) ? 1 : 0;
    }
    primary_.close(check, stop);
    return report;
}

bool LargeObjectCopy::attempt(const LargeObject& object, LargeObjectReport& report,
                              const std::function<void()>& change) {
    try {
        change();
        return true;
    } catch (const Error& error) {
        here_.abandon();
        if (error.reaction() == Reaction::Retry) {
            throw;
        }
        if (report.failed++ == 0) {
            report.problem = "large object " + std::to_string(object.oid) + ": " + error.describe();
        }
        return false;
    }
}

void LargeObjectCopy::copy(const std::string& check, const LargeObject& object,
                           const std::stop_token& stop) {
    here_.begin(object);
    Pages pages(here_);
    primary_.large_object(
        check, object.oid, [&](std::string_view piece) { pages.take(piece); }, stop);
    pages.end();
    here_.end();
}

}  // namespace antipode::secondary
