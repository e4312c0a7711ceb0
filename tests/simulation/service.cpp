#include "tests/simulation/service.hpp"

#include <sstream>
#include <utility>

namespace antipode::simulation {

std::string encode(const std::vector<RowChange>& changes) {
    std::ostringstream text;
    for (const RowChange& change : changes) {
        text << change.id;
        if (change.row) {
            text << " " << change.row->blob << " " << change.row->blob_change << " "
                 << change.row->repository << " " << change.row->commit;
        }
        text << "\n";
    }
    return text.str();
}

std::vector<RowChange> decode_rows(const std::string& bytes) {
    std::vector<RowChange> changes;
    std::istringstream lines(bytes);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        RowChange change;
        Row row;
        words >> change.id;
        if (words >> row.blob >> row.blob_change >> row.repository >> row.commit) {
            change.row = row;
        }
        changes.push_back(std::move(change));
    }
    return changes;
}

std::string encode(const std::vector<Commit>& commits) {
    std::string text;
    for (const Commit& commit : commits) {
        text += commit.id + "<" + commit.parent + "\n";
    }
    return text;
}

std::vector<Commit> decode_commits(const std::string& bytes) {
    std::vector<Commit> commits;
    std::istringstream lines(bytes);
    for (std::string line; std::getline(lines, line);) {
        const size_t cut = line.find('<');
        commits.push_back({line.substr(0, cut), line.substr(cut + 1)});
    }
    return commits;
}

Digest digest_of(const Refs& refs) {
    std::string text;
    for (const auto& [name, commit] : refs) {
        text += name + "=" + commit + "\n";
    }
    return {"sim-refs-1", std::string(view(sha256(text)))};
}

Digest digest_of_blob(const std::string& content) {
    return {"sim-blob-1", std::string(view(sha256(content)))};
}

Objects reachable(const Refs& refs, const Objects& objects, bool* missing) {
    Objects found;
    for (const auto& [name, tip] : refs) {
        for (std::string id = tip; !id.empty() && !found.contains(id);) {
            const auto object = objects.find(id);
            if (object == objects.end()) {
                if (missing != nullptr) {
                    *missing = true;
                }
                break;
            }
            found.insert(*object);
            id = object->second.parent;
        }
    }
    return found;
}

uint64_t change_of(const std::string& content) {
    return std::strtoull(content.c_str(), nullptr, 10);
}

void Service::changed(const StoreId& store, const std::string& item, const Digest& digest) {
    last_change_ = clock_.now();
    histories_[store][item].push_back({changes_, last_change_, digest});
    if (store == repositories_id) {
        note_vanished(item);
    }
    if (on_change) {
        on_change(store, item);
    }
}

void Service::note_vanished(const std::string& name) {
    const auto repository = repositories.find(name);
    Objects now;
    if (repository != repositories.end()) {
        now = reachable(repository->second.refs, repository->second.objects);
    }
    for (const auto& [id, commit] : std::exchange(reachable_[name], now)) {
        if (!now.contains(id)) {
            vanished_[name][id] = last_change_;
        }
    }
}

std::optional<TimePoint> Service::commit_vanished(const std::string& name,
                                                  const std::string& commit) const {
    const auto repository = vanished_.find(name);
    if (repository == vanished_.end()) {
        return std::nullopt;
    }
    const auto found = repository->second.find(commit);
    return found == repository->second.end() ? std::nullopt : std::optional(found->second);
}

const std::vector<Service::State>& Service::history(const StoreId& store,
                                                    const std::string& item) const {
    static const std::vector<State> none;
    const auto& items = histories(store);
    const auto found = items.find(item);
    return found == items.end() ? none : found->second;
}

const std::map<std::string, std::vector<Service::State>>& Service::histories(
    const StoreId& store) const {
    static const std::map<std::string, std::vector<State>> none;
    const auto found = histories_.find(store);
    return found == histories_.end() ? none : found->second;
}

void Service::put_blob(const std::string& path, bool large) {
    std::string content = std::to_string(++changes_) + " of " + path;
    content.resize(large ? 1500 : 40, '.');
    blobs[path] = content;
    changed(blobs_id, path, digest_of_blob(content));
}

void Service::remove_blob(const std::string& path) {
    ++changes_;
    blobs.erase(path);
    changed(blobs_id, path, {});
}

void Service::create_repository(const std::string& name) {
    ++changes_;
    repositories[name] = {};
    changed(repositories_id, name, digest_of(Refs{}));
}

void Service::remove_repository(const std::string& name) {
    ++changes_;
    repositories.erase(name);
    changed(repositories_id, name, {});
}

void Service::push(const std::string& name, const std::string& ref, bool force) {
    Repository& repository = repositories.at(name);
    const std::string id = "c" + std::to_string(++changes_);
    std::string& tip = repository.refs[ref];
    repository.objects[id] = {id, force ? std::string() : tip};
    tip = id;
    changed(repositories_id, name, digest_of(repository.refs));
}

void Service::commit(std::vector<RowChange> changes) {
    for (const RowChange& change : changes) {
        if (change.row) {
            rows[change.id] = *change.row;
        } else {
            rows.erase(change.id);
        }
    }
    last_change_ = clock_.now();
    const Lsn commit{wal_end.value + 3};
    wal_end = {wal_end.value + 10};
    log.push_back({commit, wal_end, last_change_, std::move(changes)});
}

}  // namespace antipode::simulation
