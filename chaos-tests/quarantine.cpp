#include "chaos-tests/quarantine.hpp"

#include <algorithm>

#include "chaos-tests/difference.hpp"

namespace antipode::chaos {
namespace {

using Texts = std::map<std::string, std::string>;

constexpr const char* rebuilt = "the new primary with the quarantine";
constexpr const char* old_one = "the old primary";

Texts rows_of(const View& view) {
    Texts rows;
    for (const auto& [key, row] : view.rows) {
        rows["public.writes " + std::to_string(key.first) + "/" + std::to_string(key.second)] =
            value_of(row);
    }
    for (const std::string& row : view.more) {
        rows["public." + row] = "";
    }
    for (const auto& [key, row] : view.bulk) {
        rows["public.bulk " + std::to_string(key.first) + "/" + std::to_string(key.second)] = row;
    }
    for (const auto& [id, balance] : view.accounts) {
        rows["public.accounts " + std::to_string(id)] = std::to_string(balance);
    }
    return rows;
}

class Check {
  public:
    Check(const View& cut, const View& there, const Quarantine& kept)
        : cut_(cut), there_(there), kept_(kept) {}

    Violations run() {
        check_once();
        check_rows();
        check_files();
        check_refs();
        check_counts();
        return std::move(found_);
    }

  private:
    void add(Invariant invariant, const std::string& text) { found_.push_back({invariant, text}); }
    void compare(const Texts& made, const Texts& there) {
        if (const auto difference = first_difference(made, there, rebuilt, old_one)) {
            add(Invariant::Kept, *difference);
        }
    }

    void check_once() {
        std::set<std::pair<std::string, std::string>> seen;
        for (const Quarantine::Loss& loss : kept_.losses) {
            if (!seen.insert({loss.store, loss.item}).second) {
                add(Invariant::Kept, loss.item + " is named twice");
            }
            if (loss.kind == "let-go") {
                add(Invariant::Kept, loss.item + " is on no disk any more");
            }
        }
    }

    void check_rows() {
        Texts rows = rows_of(cut_);
        for (const Quarantine::Change& change : kept_.changes) {
            const std::string row = change.table + " " + change.key;
            const bool fits = rows.contains(row) == (change.operation != "insert");
            if (!fits) {
                add(Invariant::Kept, change.operation + " of " + row +
                                         " is kept, and does not fit what the new primary had");
            }
            rows[row] = change.value;
            if (change.operation == "delete") {
                rows.erase(row);
            }
        }
        compare(rows, rows_of(there_));
    }

    void check_files() {
        Texts files = cut_.files;
        Texts kept = kept_.files;
        for (const Quarantine::Loss& loss : kept_.losses) {
            if (!loss.store.starts_with("blobs/")) {
                continue;
            }
            const auto file = kept.extract(loss.item);
            files.erase(loss.item);
            if (loss.kind == "quarantined" && file) {
                files[loss.item] = file.mapped();
            } else if (loss.kind == "quarantined") {
                add(Invariant::Kept, loss.item + " is named, and not kept");
            }
        }
        for (const auto& [path, sha256] : kept) {
            add(Invariant::Kept, path + " is kept, and not named");
        }
        compare(files, there_.files);
    }

    void check_refs() {
        Texts refs = cut_.refs;
        for (const Quarantine::Loss& loss : kept_.losses) {
            for (const Quarantine::Loss::Ref& ref : loss.refs) {
                const std::string name = loss.item + " " + ref.name;
                const auto known = refs.find(name);
                if ((known == refs.end() ? "" : known->second) != ref.before) {
                    add(Invariant::Kept, name + " was not " + ref.before + " at the cut");
                }
                const auto objects = kept_.objects.find(loss.item);
                const bool kept =
                    objects != kept_.objects.end() && objects->second.contains(ref.after);
                if (!ref.after.empty() && !kept) {
                    add(Invariant::Kept, name + ": " + ref.after + " is named, and not kept");
                }
                refs[name] = ref.after;
                if (ref.after.empty()) {
                    refs.erase(name);
                }
            }
        }
        compare(refs, there_.refs);
    }

    void check_counts() {
        Quarantine::Counts actual;
        std::set<int64_t> transactions;
        for (const Quarantine::Change& change : kept_.changes) {
            transactions.insert(change.transaction);
        }
        actual.transactions = transactions.size();
        actual.changes = kept_.changes.size();
        for (const Quarantine::Loss& loss : kept_.losses) {
            const bool undone = loss.kind == "undone";
            const bool of_refs = loss.store.starts_with("repositories/");
            actual.undone += undone ? 1 : 0;
            actual.files += !undone && loss.store.starts_with("blobs/") ? 1 : 0;
            actual.repositories += !undone && of_refs ? 1 : 0;
            actual.refs += loss.refs.size();
        }
        actual.all = actual.transactions + actual.repositories + actual.files + actual.undone;
        if (actual != kept_.stated) {
            add(Invariant::Stated,
                "the report says " + text_of(kept_.stated) + ", lost were " + text_of(actual));
        }
    }
    static std::string text_of(const Quarantine::Counts& counts) {
        return std::to_string(counts.all) + " (" + std::to_string(counts.transactions) +
               " transactions, " + std::to_string(counts.changes) + " changes, " +
               std::to_string(counts.repositories) + " repositories, " +
               std::to_string(counts.refs) + " refs, " + std::to_string(counts.files) + " files, " +
               std::to_string(counts.undone) + " removals)";
    }

    const View& cut_;
    const View& there_;
    const Quarantine& kept_;
    Violations found_;
};

}  // namespace

std::string value_of(const View::Row& row) {
    return row.repository + "|" + row.path + "|" + row.sha256 + "|" + row.commit + "|" + row.notes;
}

Violations check_quarantine(const View& cut, const View& there, const Quarantine& kept) {
    return Check(cut, there, kept).run();
}

std::set<std::string> names_in(const Quarantine& kept) {
    std::set<std::string> names;
    for (const Quarantine::Change& change : kept.changes) {
        names.insert("write " + change.key);
    }
    for (const Quarantine::Loss& loss : kept.losses) {
        names.insert(loss.item);
        for (const Quarantine::Loss::Ref& ref : loss.refs) {
            names.insert(loss.item + " " + ref.name);
        }
    }
    return names;
}

}  // namespace antipode::chaos
