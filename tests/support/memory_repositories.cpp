#include "tests/support/memory_repositories.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using Objects = MemoryRepositories::Objects;

/// All ids that `from` lead to; nullopt when one is missing.
std::optional<std::set<std::string>> reach(const Objects& objects, const Objects& more,
                                           std::vector<std::string> from) {
    std::set<std::string> reached;
    while (!from.empty()) {
        const std::string oid = std::move(from.back());
        from.pop_back();
        const auto in_first = objects.find(oid);
        const auto in_second = more.find(oid);
        if (in_first == objects.end() && in_second == more.end()) {
            return std::nullopt;
        }
        if (reached.insert(oid).second) {
            const auto& links = in_first != objects.end() ? in_first->second : in_second->second;
            from.insert(from.end(), links.begin(), links.end());
        }
    }
    return reached;
}

std::optional<Objects> parse_pack(const std::string& bytes) {
    Objects objects;
    std::istringstream lines(bytes);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string word;
        std::vector<std::string> oids;
        while (words >> word) {
            const auto oid = from_hex(word);
            if (!oid) {
                return std::nullopt;
            }
            oids.push_back(*oid);
        }
        if (oids.empty()) {
            return std::nullopt;
        }
        objects[oids.front()] = {oids.begin() + 1, oids.end()};
    }
    return objects;
}

class MemoryBody final : public BulkBody {
  public:
    explicit MemoryBody(std::string bytes) : bytes_(std::move(bytes)) {}
    std::optional<uint64_t> size() const override { return bytes_.size(); }
    void seek(uint64_t offset) override { offset_ = offset; }
    size_t read(std::span<char> buffer) override {
        const size_t count = std::min(buffer.size(), bytes_.size() - offset_);
        std::memcpy(buffer.data(), bytes_.data() + offset_, count);
        offset_ += count;
        return count;
    }

  private:
    std::string bytes_;
    size_t offset_ = 0;
};

}  // namespace

std::string MemoryRepositories::add_object(const std::string& repository, const std::string& label,
                                           const std::vector<std::string>& links) {
    std::string oid(view(sha256(label)).substr(0, 20));
    stored[repository].objects[oid] = links;
    return oid;
}

void MemoryRepositories::set_ref(const std::string& repository, const std::string& ref,
                                 const RefValue& value) {
    Stored& found = stored[repository];
    ++found.version;
    if (value.absent()) {
        found.refs.refs.erase(ref);
    } else {
        found.refs.refs[ref] = value;
    }
}

void MemoryRepositories::check_root() const {
    if (root_missing) {
        throw Error(Reaction::Retry, "opening /memory: No such file or directory");
    }
}

void MemoryRepositories::step(const std::string& name) const {
    if (before_step) {
        before_step(name);
    }
}

Discovery MemoryRepositories::discover(const std::stop_token& /*stop*/) {
    check_root();
    Discovery discovery;
    for (const auto& [name, repository] : stored) {
        const bool hidden = std::any_of(unreadable.begin(), unreadable.end(),
                                        [&](const auto& path) { return name.starts_with(path); });
        if (!hidden) {
            discovery.found.push_back(name);
        }
    }
    discovery.unreadable = unreadable;
    return discovery;
}

bool MemoryRepositories::root_is_empty() {
    check_root();
    return stored.empty();
}

Presence MemoryRepositories::presence(const std::string& name) {
    check_root();
    const auto found = stored.find(name);
    if (found != stored.end()) {
        return found->second.damaged ? Presence::Damaged : Presence::Repository;
    }
    const auto next = stored.lower_bound(name + "/");
    return next != stored.end() && next->first.starts_with(name + "/") ? Presence::Foreign
                                                                       : Presence::Absent;
}

std::string MemoryRepositories::fingerprint(const std::string& name) {
    return std::to_string(stored.at(name).version);
}

std::optional<RepositoryRefs> MemoryRepositories::read_refs(const std::string& name) {
    switch (presence(name)) {
        case Presence::Absent:
            return std::nullopt;
        case Presence::Repository:
            ++ref_reads;
            return stored.at(name).refs;
        case Presence::Damaged:
        case Presence::Foreign:
            break;
    }
    throw Error(Reaction::Resync, name + " is no git repository (any more)");
}

void MemoryRepositories::sync(const std::string& /*name*/) {
    step("sync");
}

std::optional<Pack> MemoryRepositories::make_pack(const std::string& name,
                                                  const std::vector<std::string>& wants,
                                                  const std::vector<std::string>& haves,
                                                  const std::stop_token& /*stop*/) {
    step("make_pack");
    const Objects& objects = stored.at(name).objects;
    const auto wanted = reach(objects, {}, wants);
    if (!wanted) {
        throw Error(Reaction::Retry, "packing repository " + name + ": an object is missing");
    }
    std::vector<std::string> existing;
    std::copy_if(haves.begin(), haves.end(), std::back_inserter(existing),
                 [&](const std::string& oid) { return objects.contains(oid); });
    const auto known = reach(objects, {}, existing);
    std::string bytes;
    for (const std::string& oid : *wanted) {
        if (!known || !known->contains(oid)) {
            bytes += to_hex(oid);
            for (const std::string& link : objects.at(oid)) {
                bytes += " " + to_hex(link);
            }
            bytes += "\n";
        }
    }
    if (bytes.empty()) {
        return std::nullopt;
    }
    Pack pack{sha256(bytes), bytes.size(), {}};
    if (bytes.size() <= inline_bytes) {
        pack.bytes = bytes;
    } else {
        kept_[pack.sha256] = bytes;
    }
    return pack;
}

WholePacks MemoryRepositories::make_whole_packs(const std::string& name,
                                                const std::vector<std::string>& wants,
                                                const std::vector<std::string>& haves,
                                                const std::stop_token& stop) {
    auto pack = make_pack(name, wants, haves, stop);
    return has_bases ? WholePacks{.base = std::move(pack), .base_index = {}, .rest = {}}
                     : WholePacks{.base = {}, .base_index = {}, .rest = std::move(pack)};
}

std::unique_ptr<BulkBody> MemoryRepositories::open_kept_pack(const Sha256& hash) {
    const auto found = kept_.find(hash);
    return found == kept_.end() ? nullptr : std::make_unique<MemoryBody>(found->second);
}

size_t MemoryRepositories::drop_kept_packs_before(TimePoint /*time*/) {
    return std::exchange(kept_, {}).size();
}

void MemoryRepositories::create(const std::string& name, const std::string& object_format,
                                const std::stop_token& /*stop*/) {
    step("create");
    stored[name].refs = {object_format, {{"HEAD", RefValue::symbolic("refs/heads/main")}}};
}

Intake MemoryRepositories::take_in(const std::string& name, const PackInput& pack,
                                   const Needed& asked, const std::stop_token& /*stop*/) {
    step("take_in");
    needed = asked;
    const auto read = [](const std::filesystem::path& file) {
        return file.empty() ? std::string() : read_file(file);
    };
    const std::string rest = pack.file.empty() ? std::string(pack.bytes) : read(pack.file);
    const auto objects = parse_pack(read(pack.base) + rest);
    if (!objects) {
        return {Intake::Kind::BadPack, "not a pack"};
    }
    Objects& here = stored.at(name).objects;
    if (!reach(here, *objects, needed.oids)) {
        return {Intake::Kind::Incomplete, "an object is missing"};
    }
    here.insert(objects->begin(), objects->end());
    return {};
}

void MemoryRepositories::update_refs(const std::string& name, const std::vector<RefChange>& changes,
                                     const std::stop_token& /*stop*/) {
    RefMap& refs = stored.at(name).refs.refs;
    for (const RefChange& change : changes) {
        const auto found = refs.find(change.name);
        if ((found == refs.end() ? RefValue{} : found->second) != change.before) {
            throw Error(Reaction::Resync, change.name + " is not as expected");
        }
    }
    for (const RefChange& change : changes) {
        step("update_ref");
        set_ref(name, change.name, change.after);
    }
}

void MemoryRepositories::replace(const std::string& name, const std::string& by) {
    step("replace");
    stored[name] = std::move(stored.at(by));
    stored.erase(by);
}

void MemoryRepositories::remove(const std::string& name) {
    step("remove");
    stored.erase(name);
}

RepositoryChanges::Taken MemoryChanges::take() {
    Taken taken;
    const std::set<std::string> all = std::exchange(names, {});
    taken.names.assign(all.begin(), all.end());
    const std::set<std::string> gone = std::exchange(gone_directories, {});
    taken.gone_directories.assign(gone.begin(), gone.end());
    taken.complete = std::exchange(complete, true);
    return taken;
}

}  // namespace antipode::test
