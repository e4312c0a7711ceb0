#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/seams/structure.hpp"
#include "secondary/database/structure_check.hpp"

namespace antipode::secondary {

/// What became of a structure that differed.
struct EditedStructure {
    /// An object that still differs.
    struct Left {
        std::string reason;
        std::string by_hand;      ///< SQL that would do; may be empty
        bool holds_data = false;  ///< it is only here, and is not in `may_drop`
    };
    std::set<std::string> done;          ///< objects that differed and are equal now
    std::map<std::string, Left> left;    ///< by object
    std::set<std::string> copied_again;  ///< tables whose rows are to come from the primary
    bool changed() const { return !done.empty() || !copied_again.empty(); }
};

/// Makes the structure that `editor` edits equal to `there`, the primary's, as far as its recipes
/// go. Steps that cannot be done yet come again once others were; what depends on an object that
/// must be made anew goes with it and is made anew, too. Where rows would be needed that are not
/// here the table is named to be copied.
///
/// `may_drop`: which objects that hold data (tables, sequences, types, schemas, extensions) are
/// removed where the primary has none, and columns of which tables. Others stay and are named.
EditedStructure edit_structure(StructureEditor& editor, const Structure& there,
                               const Recipes& recipes, const std::set<std::string>& may_drop);

}  // namespace antipode::secondary
