#include "secondary/database/structure_edit.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace antipode::secondary {
namespace {

using Kind = StructureDifference::Kind;
using MayLose = StructureEditor::MayLose;

constexpr unsigned most_passes = 100;
/// A step that changes nothing is not done for ever.
constexpr unsigned most_times = 3;
constexpr const char* by_word = "it is only here, and what it holds would be lost";

/// How far a pass goes: what is gentle first.
enum class Force { Set, Replace, Cascade };

struct Step {
    std::string object;
    std::string sql;
    MayLose may_lose{};
    bool copy_again = false;
    std::string role{};
};

// Spelt out: gcc 12 takes the destruction of a braced list of steps for a use of what was never
// set.
std::vector<Step> only(Step step) {
    std::vector<Step> steps;
    steps.push_back(std::move(step));
    return steps;
}

bool begins_with_one_of(const std::string& object, const auto& words) {
    return std::any_of(words.begin(), words.end(),
                       [&](std::string_view word) { return object.starts_with(word); });
}

bool is_table(const std::string& object) {
    return object.starts_with("table ");
}

bool is_constraint(const std::string& object) {
    return object.starts_with("constraint ");
}

/// More than statements.
bool is_no_step(const std::string& facet) {
    return facet.empty() || facet == facet_order || facet == facet_aside || facet == facet_role ||
           facet == facet_filled;
}

bool is_extension(const std::string& object) {
    return object.starts_with("extension ");
}

/// What it holds, or what of tables depends on it, is data.
bool holds_data(const std::string& object) {
    constexpr std::array<std::string_view, 6> words = {"table ",    "type ",      "schema ",
                                                       "sequence ", "extension ", "foreign table "};
    return begins_with_one_of(object, words);
}

/// DROP knows CASCADE for it.
bool can_cascade(const std::string& object) {
    constexpr std::array<std::string_view, 6> words = {"view ",  "materialized view ", "function ",
                                                       "index ", "constraint ",        "table "};
    return begins_with_one_of(object, words);
}

/// Where what others need is made first; the rest falls into place by itself.
size_t rank(const StructureDifference& difference) {
    constexpr std::array<std::string_view, 8> first = {"schema ",     "extension ", "type ",
                                                       "sequence ",   "function ",  "table ",
                                                       "constraint ", "index "};
    const auto at = std::find_if(first.begin(), first.end(), [&](std::string_view word) {
        return difference.object.starts_with(word);
    });
    const auto place = static_cast<size_t>(at - first.begin());
    // What is only here goes before, and what needs others first.
    return difference.kind == Kind::Extra ? first.size() - place : first.size() + 1 + place;
}

/// Comes and goes with what it is of.
bool is_of_another(const std::string& object) {
    constexpr std::array<std::string_view, 3> words = {"owner of ", "rights on ", "comment on "};
    return begins_with_one_of(object, words);
}

/// What is there is made another one by it.
bool may_be_made_over(const std::string& object, const std::string& make) {
    constexpr std::array<std::string_view, 2> words = {"owner of ", "comment on "};
    return make.starts_with("CREATE OR REPLACE ") || begins_with_one_of(object, words);
}

/// Rows of its own, which come from the primary.
bool has_rows(const std::string& object, const std::string& definition) {
    return is_table(object) && definition.starts_with("kind r p");
}

class Edit {
  public:
    Edit(StructureEditor& editor, const Structure& there, const Recipes& recipes,
         const std::set<std::string>& may_drop)
        : editor_(editor), there_(there), recipes_(recipes), may_drop_(may_drop) {}

    EditedStructure run() {
        std::set<std::string> differed;
        auto force = Force::Set;
        for (unsigned pass = 0; pass < most_passes; ++pass) {
            own_ = editor_.recipes();
            const auto differences = sorted(compare_structures(there_, editor_.structure()));
            for (const StructureDifference& one : differences) {
                differed.insert(one.object);
            }
            if (differences.empty()) {
                result_.left.clear();
                break;
            }
            result_.left.clear();
            if (take(differences, force)) {
                force = Force::Set;
            } else if (force == Force::Cascade) {
                break;
            } else {
                force = force == Force::Set ? Force::Replace : Force::Cascade;
            }
        }
        for (const StructureDifference& one : compare_structures(there_, editor_.structure())) {
            differed.erase(one.object);
            if (!result_.left.contains(one.object)) {
                leave(one.object, "it could not be made equal", {});
            }
        }
        result_.done = std::move(differed);
        return std::move(result_);
    }

  private:
    static std::vector<StructureDifference> sorted(std::vector<StructureDifference> differences) {
        std::stable_sort(differences.begin(), differences.end(),
                         [](const auto& a, const auto& b) { return rank(a) < rank(b); });
        return differences;
    }

    void leave(const std::string& object, const std::string& reason, const std::string& by_hand,
               bool data = false) {
        result_.left.try_emplace(object, EditedStructure::Left{reason, by_hand, data});
    }

    Recipe find(const Recipes& recipes, const std::string& object, const std::string& facet) const {
        const auto found = recipes.find(object);
        if (found == recipes.end()) {
            return {};
        }
        const auto one = found->second.find(facet);
        return one == found->second.end() ? Recipe{} : one->second;
    }
    bool has(const Recipes& recipes, const std::string& object, const std::string& facet) const {
        const auto found = recipes.find(object);
        return found != recipes.end() && found->second.contains(facet);
    }
    Facets facets(const Recipes& recipes, const std::string& object) const {
        const auto found = recipes.find(object);
        return found == recipes.end() ? Facets{} : found->second;
    }

    /// True: something was done.
    bool take(const std::vector<StructureDifference>& differences, Force force) {
        bool moved = false;
        for (const StructureDifference& difference : differences) {
            const auto steps = steps_for(difference, force);
            if (steps.empty() && !result_.left.contains(difference.object)) {
                const bool goes =
                    difference.kind == Kind::Extra && is_of_another(difference.object);
                leave(difference.object,
                      goes ? "it goes with what it is of"
                           : "there is no way to make it by this command",
                      {});
            }
            for (const Step& step : steps) {
                moved = take(step) || moved;
            }
            if (moved && force != Force::Set) {
                return true;  // what else there is to do may be gentle again
            }
        }
        return moved;
    }

    bool take(const Step& step) {
        unsigned& times = times_[step.sql];
        if (times >= most_times) {
            leave(step.object, "it still differs after it was made", step.sql);
            return false;
        }
        const std::string problem = editor_.run(step.sql, step.may_lose, step.role);
        if (!problem.empty()) {
            leave(step.object, problem, step.sql);
            return false;
        }
        ++times;
        if (step.copy_again) {
            editor_.copy_again(step.object.substr(std::string_view("table ").size()));
            result_.copied_again.insert(step.object);
        }
        return true;
    }

    std::vector<Step> steps_for(const StructureDifference& one, Force force) {
        switch (one.kind) {
            case Kind::Missing:
                if (!has(own_, one.object, "")) {
                    return make(one.object);
                }
                break;  // an index that lacks those of partitions, and is none until it has them
            case Kind::Extra:
                return remove(one.object, force);
            case Kind::Changed:
                break;
        }
        auto steps = set_facets(one.object, force);
        if (force == Force::Set) {
            const std::string over = find(recipes_, one.object, "").make;
            if (steps.empty() && may_be_made_over(one.object, over)) {
                steps.push_back({one.object, over});
            }
            return steps;
        }
        auto anew = is_table(one.object) ? rebuild(one.object, force) : replace(one.object, force);
        steps.insert(steps.end(), anew.begin(), anew.end());
        return steps;
    }

    std::vector<Step> make(const std::string& object) const {
        const std::string sql = find(recipes_, object, "").make;
        if (sql.empty()) {
            return {};
        }
        const auto definition = there_.find(object);
        return only({object,
                     made(object, sql),
                     {},
                     definition != there_.end() && has_rows(object, definition->second),
                     role_to_make(object)});
    }

    std::vector<Step> remove(const std::string& object, Force force) {
        const std::string sql = find(own_, object, "").drop;
        if (sql.empty() || sql == "SELECT") {
            return {};  // nothing of it can be taken away alone
        }
        if (holds_data(object) && !may_drop_.contains(object)) {
            leave(object, by_word, sql, true);
            return {};
        }
        const bool cascade = force == Force::Cascade && can_cascade(object);
        return {
            {object,
             sql + (cascade ? " CASCADE" : ""),
             {is_table(object) ? extra_tables() : std::set<std::string>(), is_extension(object)}}};
    }

    /// Those that may be dropped, with all that they hold.
    std::set<std::string> extra_tables() const {
        std::set<std::string> tables;
        for (const std::string& object : may_drop_) {
            if (is_table(object) && !there_.contains(object)) {
                tables.insert(object);
            }
        }
        return tables;
    }

    /// What is made is its owner's at once, or is not made: as the daemon's, a view or a function
    /// would show what its users may not see.
    std::string with_owner(const std::string& object, const std::string& sql) const {
        std::string owner = find(recipes_, "owner of " + object, "").make;
        constexpr std::string_view function = "function ";
        if (owner.empty() && object.starts_with(function)) {
            // Procedures are told apart in the names of owners only.
            owner = find(recipes_, "owner of procedure " + object.substr(function.size()), "").make;
        }
        return owner.empty() ? sql : sql + "; " + owner;
    }

    /// A materialized view is filled as its owner, so behind that.
    std::string made(const std::string& object, const std::string& sql) const {
        const std::string fill = find(recipes_, object, facet_filled).make;
        return with_owner(object, sql) + (fill.empty() ? "" : "; " + fill);
    }

    /// Whose rights suffice for code of users that altering it calls: its owner's here; empty: no
    /// such code is called, or PostgreSQL itself runs it as the owner.
    std::string role_of(const std::string& object) const {
        const std::string role = find(own_, object, facet_role).make;
        return role.empty() ? find(recipes_, object, facet_role).make : role;
    }
    std::string role_to_make(const std::string& object) const {
        return is_table(object) || is_constraint(object) ? role_of(object) : std::string();
    }

    /// What of a thing that is on both sites can be set alone.
    std::vector<Step> set_facets(const std::string& object, Force force) {
        std::vector<Step> steps;
        const Facets theirs = facets(recipes_, object);
        const Facets ours = facets(own_, object);
        for (const auto& [facet, recipe] : ours) {
            if (!facet.empty() && !theirs.contains(facet)) {
                drop_facet(object, facet, recipe, steps, force);
            }
        }
        for (const auto& [facet, recipe] : theirs) {
            if (is_no_step(facet) || recipe.make.empty()) {
                continue;
            }
            const auto own = ours.find(facet);
            if (own == ours.end()) {
                add_facet(object, facet, recipe, steps);
            } else if (own->second.make != recipe.make) {
                change_facet(object, facet, recipe, own->second, steps);
            }
        }
        for (Step& step : steps) {
            step.role = role_of(object);
        }
        return steps;
    }

    void drop_facet(const std::string& object, const std::string& facet, const Recipe& recipe,
                    std::vector<Step>& steps, Force force) {
        if (recipe.drop.empty() || facet == facet_aside) {
            return;
        }
        const bool column = facet.starts_with("column ");
        const bool generated = column && !has(own_, object, "type " + facet.substr(7));
        if (column && !generated && !may_drop_.contains(object)) {
            leave(object, "the " + facet + " is only here, and what it holds would be lost",
                  recipe.drop, true);
            return;
        }
        std::set<std::string> with_it;
        if (column) {
            with_it = may_drop_;  // partitions have it, too
            with_it.insert(object);
        }
        steps.push_back({object,
                         recipe.drop + (column && force == Force::Cascade ? " CASCADE" : ""),
                         {std::move(with_it), false}});
    }

    void add_facet(const std::string& object, const std::string& facet, const Recipe& recipe,
                   std::vector<Step>& steps) const {
        if (facet.starts_with("type ")) {
            return;  // comes with the column
        }
        const bool stored = facet.starts_with("column ") &&
                            has(recipes_, object, "type " + facet.substr(7)) &&
                            has_rows(object, there_.at(object));
        steps.push_back({object, recipe.make, {}, stored});
    }

    void change_facet(const std::string& object, const std::string& facet, const Recipe& theirs,
                      const Recipe& ours, std::vector<Step>& steps) const {
        if (facet.starts_with("column ")) {
            const std::string type = "type " + facet.substr(7);
            if (has(recipes_, object, type) && has(own_, object, type)) {
                return;  // its type is set
            }
            steps.push_back(
                {object, ours.drop + "; " + theirs.make, {}, has(recipes_, object, type)});
        } else if (facet.starts_with("type ")) {
            steps.push_back({object, theirs.make, {}, has_rows(object, there_.at(object))});
        } else if (facet.starts_with("identity ") || facet.starts_with("parent ")) {
            steps.push_back({object, ours.drop + "; " + theirs.make});
        } else {
            steps.push_back({object, theirs.make});
        }
    }

    std::vector<Step> replace(const std::string& object, Force force) const {
        const Recipe theirs = find(recipes_, object, "");
        const Recipe ours = find(own_, object, "");
        // Sequences hold where they stand, extensions may hold rows.
        if (theirs.make.empty() || ours.drop.empty() || object.starts_with("sequence ") ||
            is_extension(object)) {
            return {};
        }
        const bool cascade = force == Force::Cascade && can_cascade(object);
        return only({object,
                     ours.drop + (cascade ? " CASCADE" : "") + "; " + made(object, theirs.make),
                     {},
                     false,
                     role_to_make(object)});
    }

    /// Makes a table anew that cannot be altered into what it is there, and takes its rows along:
    /// readers see them until the primary's come.
    std::vector<Step> rebuild(const std::string& object, Force force) {
        const Recipe theirs = find(recipes_, object, facet_aside);
        const Recipe ours = find(own_, object, facet_aside);
        if (force != Force::Cascade || !columns_differ(object) || only_here(object)) {
            return {};
        }
        if (theirs.make.empty() || ours.make.empty()) {
            leave(object, "it belongs to others, which cannot be made anew alone", {});
            return {};
        }
        std::string columns;
        for (const auto& [facet, recipe] : facets(recipes_, object)) {
            if (facet.starts_with("type ") && find(own_, object, facet).make == recipe.make) {
                columns += (columns.empty() ? "" : ", ") + quoted(facet.substr(5));
            }
        }
        const std::string name = object.substr(std::string_view("table ").size());
        const std::string rows = columns.empty()
                                     ? ""
                                     : "ALTER TABLE " + ours.drop +
                                           " NO FORCE ROW LEVEL SECURITY; INSERT INTO " + name +
                                           " (" + columns + ") OVERRIDING SYSTEM VALUE " +
                                           "SELECT " + columns + " FROM " + ours.drop + "; ";
        return only({object,
                     free_sequences(name) + ours.make + "; " + find(recipes_, object, "").make +
                         "; " + rows + "DROP TABLE " + ours.drop + " CASCADE",
                     {},
                     true,
                     role_of(object)});
    }

    bool columns_differ(const std::string& object) const {
        const Facets theirs = facets(recipes_, object);
        return std::any_of(theirs.begin(), theirs.end(), [&](const auto& one) {
            const auto& [facet, recipe] = one;
            return (facet == facet_order || facet.starts_with("column ") ||
                    facet.starts_with("type ")) &&
                   find(own_, object, facet).make != recipe.make;
        });
    }

    bool only_here(const std::string& object) const {
        const Facets ours = facets(own_, object);
        return std::any_of(ours.begin(), ours.end(), [&](const auto& one) {
            return one.first.starts_with("column ") && !has(recipes_, object, one.first);
        });
    }

    /// Those that belong to its columns keep where they stand.
    std::string free_sequences(const std::string& table) const {
        std::string sql;
        for (const auto& [object, known] : own_) {
            const auto owned = known.find("owned");
            if (owned != known.end() &&
                owned->second.make.find(" OWNED BY " + table + ".") != std::string::npos) {
                sql += owned->second.drop + "; ";
            }
        }
        return sql;
    }

    static std::string quoted(const std::string& name) {
        std::string text = "\"";
        for (const char c : name) {
            text += c == '"' ? "\"\"" : std::string(1, c);
        }
        return text + "\"";
    }

    StructureEditor& editor_;
    const Structure& there_;
    const Recipes& recipes_;
    const std::set<std::string>& may_drop_;
    Recipes own_;
    std::map<std::string, unsigned> times_;  ///< by SQL
    EditedStructure result_;
};

}  // namespace

EditedStructure edit_structure(StructureEditor& editor, const Structure& there,
                               const Recipes& recipes, const std::set<std::string>& may_drop) {
    return Edit(editor, there, recipes, may_drop).run();
}

}  // namespace antipode::secondary
