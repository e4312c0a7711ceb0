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
    : store_(std::move(store)), primary_(primary), here_(here) {}

LargeObjectReport LargeObjectCopy::run(const std::stop_token& stop) {
    LargeObjectReport report;
    PrimaryCheck check(store_, primary_, stop);
    check.open();
    std::optional<std::vector<LargeObject>> there;
    std::map<uint32_t, LargeObject> surplus;
    try {
        there = check.large_objects();
        report.problem =
            there ? "" : "the primary does not tell its large objects: it runs an older version";
        for (LargeObject& object : here_.list(stop)) {
            surplus[object.oid] = std::move(object);
        }
    } catch (const Unreadable& error) {
        report.problem = error.what();
    }
    report.known = report.problem.empty();
    if (!report.known) {
        return report;
    }
    report.objects = there->size();
    for (const LargeObject& object : *there) {
        const auto own = surplus.find(object.oid);
        if (make_equal(check, object, own == surplus.end() ? nullptr : &own->second, report)) {
            ++report.copied;
        }
        surplus.erase(object.oid);
    }
    for (const auto& [oid, object] : surplus) {
        report.removed += attempt(object, report, [&] { here_.remove(object); }) ? 1 : 0;
    }
    return report;
}

/// True: it was copied.
bool LargeObjectCopy::make_equal(const PrimaryCheck& check, const LargeObject& object,
                                 const LargeObject* own, LargeObjectReport& report) {
    if (own == nullptr || own->digest != object.digest) {
        return attempt(object, report, [&] { copy(check, object); });
    }
    if (own->owner != object.owner) {
        attempt(object, report, [&] {
            if (here_.can_own(object)) {
                here_.set_owner(object);
            }
        });
    }
    return false;
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

void LargeObjectCopy::copy(const PrimaryCheck& check, const LargeObject& object) {
    here_.begin(object);
    Pages pages(here_);
    check.large_object(object.oid, [&](std::string_view piece) { pages.take(piece); });
    pages.end();
    here_.end();
}

}  // namespace antipode::secondary
