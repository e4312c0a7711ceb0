#include "tests/simulation/application.hpp"

namespace antipode::simulation {
namespace {

/// Few names, so that they are used again.
constexpr size_t blob_names = 12;
constexpr size_t repository_names = 4;

template <typename Map>
std::string some_key(const Map& map, Chance& chance) {
    return map.empty()
               ? std::string()
               : std::next(map.begin(), static_cast<ptrdiff_t>(chance.below(map.size())))->first;
}

}  // namespace

void Application::step() {
    if (plan_.empty()) {
        plan_next();
    }
    if (!plan_.empty()) {
        const auto action = std::move(plan_.front());
        plan_.pop_front();
        action();
    }
}

void Application::plan_next() {
    switch (chance_.below(10)) {
        case 0:
            plan_removal_of_blob();
            break;
        case 1:
            if (chance_.one_in(2)) {
                plan_removal_of_repository();
            }
            break;
        case 2:
        case 3:
            do_something_alone();
            break;
        default:
            plan_insert();
    }
}

void Application::plan_insert() {
    const std::string blob = "b" + std::to_string(chance_.below(blob_names));
    const std::string repository = some_repository();
    const bool first = chance_.one_in(2);
    if (first) {
        plan_.emplace_back([=, this] { put_blob(blob); });
    }
    plan_.emplace_back([=, this] { push(repository, false); });
    if (!first) {
        plan_.emplace_back([=, this] { put_blob(blob); });
    }
    const bool update = !service_.rows.empty() && chance_.one_in(4);
    const uint64_t id = update ? service_.rows.begin()->first : ++last_row_;
    plan_.emplace_back([=, this] { write_row(id, blob, repository); });
}

void Application::plan_removal_of_blob() {
    const std::string blob = some_blob();
    if (blob.empty()) {
        return;
    }
    plan_.emplace_back(
        [=, this] { delete_rows([&](const Row& row) { return row.blob == blob; }); });
    plan_.emplace_back([=, this] {
        journal_.note("app removes blob " + blob);
        service_.remove_blob(blob);
    });
}

void Application::plan_removal_of_repository() {
    const std::string name = some_key(service_.repositories, chance_);
    if (name.empty()) {
        return;
    }
    plan_.emplace_back(
        [=, this] { delete_rows([&](const Row& row) { return row.repository == name; }); });
    plan_.emplace_back([=, this] {
        journal_.note("app removes repository " + name);
        service_.remove_repository(name);
    });
}

void Application::do_something_alone() {
    const std::string blob = some_blob();
    const std::string repository = some_repository();
    switch (chance_.below(4)) {
        case 0:
            plan_.emplace_back([=, this] { push(repository, true); });
            break;
        case 1:
            plan_.emplace_back([=, this] { push(repository, false); });
            break;
        case 2:
            if (!blob.empty()) {
                plan_.emplace_back([=, this] { put_blob(blob); });
            }
            break;
        default:
            plan_.emplace_back([this] {
                if (!service_.rows.empty()) {
                    const uint64_t id = service_.rows.begin()->first;
                    delete_rows([&](const Row& row) { return row == service_.rows.at(id); });
                }
            });
    }
}

std::string Application::some_repository() {
    const std::string name = "r" + std::to_string(chance_.below(repository_names));
    if (!service_.repositories.contains(name)) {
        plan_.emplace_back([=, this] {
            journal_.note("app creates repository " + name);
            service_.create_repository(name);
        });
    }
    return name;
}

std::string Application::some_blob() {
    return some_key(service_.blobs, chance_);
}

void Application::put_blob(const std::string& path) {
    service_.put_blob(path, chance_.one_in(profile_.large));
    journal_.note("app puts blob " + path + " " + service_.blobs.at(path).substr(0, 5));
}

void Application::push(const std::string& repository, bool force) {
    if (!service_.repositories.contains(repository)) {
        return;
    }
    const std::string ref = "refs/heads/" + std::to_string(chance_.below(3));
    service_.push(repository, ref, force);
    journal_.note("app pushes " + service_.repositories.at(repository).refs.at(ref) + " to " +
                  repository + (force ? " by force" : ""));
}

void Application::write_row(uint64_t id, const std::string& blob, const std::string& repository) {
    const auto found = service_.repositories.find(repository);
    if (!service_.blobs.contains(blob) || found == service_.repositories.end() ||
        found->second.refs.empty()) {
        return;
    }
    const std::string commit =
        std::next(found->second.refs.begin(),
                  static_cast<ptrdiff_t>(chance_.below(found->second.refs.size())))
            ->second;
    std::vector<RowChange> changes{
        {id, Row{blob, change_of(service_.blobs.at(blob)), repository, commit}}};
    if (chance_.one_in(5)) {
        // A large transaction: it travels in parts.
        for (size_t more = 1 + chance_.below(5); more > 0; --more) {
            changes.push_back({++last_row_, changes.front().row});
        }
    }
    service_.commit(changes);
    journal_.note("app writes row " + std::to_string(id) + " and " +
                  std::to_string(changes.size() - 1) + " more: " + blob + " " +
                  std::to_string(changes.front().row->blob_change) + ", " + repository + " " +
                  commit + ", ends at " + std::to_string(service_.wal_end.value));
}

void Application::delete_rows(const std::function<bool(const Row&)>& which) {
    std::vector<RowChange> changes;
    std::string ids;
    for (const auto& [id, row] : service_.rows) {
        if (which(row)) {
            changes.push_back({id, std::nullopt});
            ids += " " + std::to_string(id);
        }
    }
    if (!changes.empty()) {
        service_.commit(std::move(changes));
        journal_.note("app deletes rows" + ids + ", ends at " +
                      std::to_string(service_.wal_end.value));
    }
}

}  // namespace antipode::simulation
