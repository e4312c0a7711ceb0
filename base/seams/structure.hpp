#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

namespace antipode {

/// What a database consists of besides its rows: "table public.items" and, in PostgreSQL's own
/// words, what it is. Without what is a server's own: the schema "antipode", publications, event
/// triggers, replica identities, settings of the database. Equal on both sites at equal places of
/// the log.
using Structure = std::map<std::string, std::string>;

/// The object that says which major version's words they are; other versions write differently.
inline constexpr const char* structure_server = "server";

/// How an object, or what can be set of it alone, is made and removed, in SQL of a server of the
/// same version. Empty: no way is known, or it comes and goes with something else.
struct Recipe {
    std::string make;
    std::string drop;
    bool operator==(const Recipe&) const = default;
};
/// By what is set: "default v", "not null v". The object itself is the empty one.
using Facets = std::map<std::string, Recipe>;
/// Of the objects of a Structure, by their names there.
using Recipes = std::map<std::string, Facets>;

/// Facets that are more than statements. The order of a table's columns, as its `make` says:
inline constexpr const char* facet_order = "order";
/// and of a table that stands alone: `make` gives it another name, which is `drop`.
inline constexpr const char* facet_aside = "set aside";
/// `make` is the role that owns it: making and altering it may call code of users.
inline constexpr const char* facet_role = "role";
/// `make` fills it, once it has its owner.
inline constexpr const char* facet_filled = "filled";

/// A database's structure in the open transaction of a session.
class StructureEditor {
  public:
    virtual ~StructureEditor() = default;
    virtual Structure structure() = 0;
    virtual Recipes recipes() = 0;

    /// Columns that may go with what is done: those of some tables, named as in a Structure.
    struct MayLose {
        std::set<std::string> tables{};
        bool anything = false;
    };
    /// Does all of `sql`, or nothing of it: then the server's words are returned. Nothing is done
    /// either when a column would be lost with it that may not. `role`: not empty: with its rights
    /// alone. Throws Error{Retry} where waiting helps.
    virtual std::string run(const std::string& sql, const MayLose& may_lose,
                            const std::string& role) = 0;
    /// The rows of `table`, as a Structure names it, are to be copied from the primary.
    virtual void copy_again(const std::string& table) = 0;
};

}  // namespace antipode
