#include "failover/quarantine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

/// A full disk would stop this site's servers, too.
constexpr uint64_t left_free = 64 * limits::mib;
constexpr const char* losses_name = "losses.jsonl";
constexpr const char* remedy = "check free space and permissions of the state directory";

[[noreturn]] void fail(const std::string& what) {
    throw Error(Reaction::Retry, what + ": " + std::strerror(errno), remedy);
}

void make_directories(const std::filesystem::path& directory) {
    std::error_code code;
    std::filesystem::create_directories(directory, code);
    if (code) {
        throw Error(Reaction::Retry,
                    "making " + printable(directory.native()) + ": " + code.message(), remedy);
    }
}

std::filesystem::path aside(const std::filesystem::path& directory, size_t number) {
    return directory.string() + ".before-" + std::to_string(number);
}

std::filesystem::path free_aside(const std::filesystem::path& directory) {
    size_t number = 1;
    while (std::filesystem::exists(aside(directory, number))) {
        ++number;
    }
    return aside(directory, number);
}

std::vector<std::filesystem::path> all_aside(const std::filesystem::path& directory) {
    const std::string begin = directory.filename().string() + ".before-";
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory.parent_path())) {
        if (entry.path().filename().string().starts_with(begin)) {
            found.push_back(entry.path());
        }
    }
    return found;
}

/// What is kept of a directory's losses, as its lines name it. nullopt: they cannot be read.
std::optional<std::set<Sha256>> kept_in(const std::filesystem::path& directory) {
    std::ifstream lines(directory / losses_name);
    std::set<Sha256> kept;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(R"({"kind":"quarantined",)")) {
            kept.insert(sha256(line));
        }
    }
    return lines.eof() ? std::optional(std::move(kept)) : std::nullopt;
}

/// Whatever was only written on since holds what it held.
bool begins_with(const std::filesystem::path& file, const std::filesystem::path& before) {
    std::ifstream now(file, std::ios::binary);
    std::ifstream then(before, std::ios::binary);
    std::vector<char> has(limits::mib);
    std::vector<char> had(limits::mib);
    while (now.is_open() && then.read(had.data(), std::ssize(had)).gcount() > 0) {
        const std::streamsize size = then.gcount();
        if (now.read(has.data(), size).gcount() != size ||
            !std::equal(had.begin(), had.begin() + size, has.begin())) {
            return false;
        }
    }
    return now.is_open() && then.eof();
}

/// Everything that `before` keeps is in `directory`, too: of rows and refs the lines of the losses
/// say so, of files their bytes.
bool holds(const std::filesystem::path& directory, const std::filesystem::path& before) try {
    const auto now = kept_in(directory);
    const auto then = kept_in(before);
    if (!now || !then || !std::includes(now->begin(), now->end(), then->begin(), then->end())) {
        return false;
    }
    const auto files = before / std::string(to_string(StoreKind::Blobs));
    if (!std::filesystem::exists(files)) {
        return true;
    }
    const std::filesystem::recursive_directory_iterator all(files);
    return std::all_of(begin(all), end(all), [&](const auto& entry) {
        return entry.is_directory() ||
               begins_with(directory / entry.path().lexically_relative(before), entry.path());
    });
} catch (const std::filesystem::filesystem_error&) {
    return false;
}

}  // namespace

void Quarantine::drop(const std::filesystem::path& directory) {
    if (std::filesystem::exists(manifest_of(directory))) {
        remove_durably(manifest_of(directory));
    }
    std::error_code code;
    std::filesystem::remove_all(directory, code);
    if (code) {
        throw Error(Reaction::Retry, "emptying " + directory.string() + ": " + code.message(),
                    remedy);
    }
}

std::string kept_path(const StoreId& store, const std::string& item) {
    switch (store.kind) {
        case StoreKind::Database:
            return store.to_string() + ".jsonl";
        case StoreKind::Repositories:
            return store.to_string() + "/" + item + ".bundle";
        case StoreKind::Blobs:
            return store.to_string() + "/" + item;
    }
    return {};
}

Quarantine::Quarantine(std::filesystem::path directory) : directory_(std::move(directory)) {
    if (std::filesystem::exists(manifest_of(directory_))) {
        rename_durably(directory_, free_aside(directory_));
    }
    drop(directory_);  // what an earlier call left half made
    make_directories(directory_);
    std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
    losses_ = create(losses_name);
    loss_.quarantine = directory_;
}

std::ofstream Quarantine::create(const std::string& path, uint64_t bytes) const {
    const std::filesystem::path file = directory_ / path;
    if (std::filesystem::space(directory_).available < bytes + left_free) {
        throw Error(Reaction::Retry,
                    "no room to keep " + printable(path) + " in " + directory_.string(),
                    "make room: what only this site has is copied there");
    }
    make_directories(file.parent_path());
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    if (!stream) {
        fail("making " + printable(file.native()));
    }
    return stream;
}

void Quarantine::keep(const std::string& path, uint64_t bytes,
                      const std::function<void(std::ostream& file)>& write) const {
    std::ofstream file = create(path, bytes);
    try {
        write(file);
    } catch (...) {
        file.close();
        remove_durably(directory_ / path);
        throw;
    }
    close(file, path);
}

void Quarantine::create_directory(const std::string& path) const {
    make_directories(directory_ / path);
}

void Quarantine::add(const Loss& loss) {
    losses_ << to_json(loss) << "\n";
    loss_.add(loss);
}

std::string Quarantine::finish(const std::string& preliminary, const std::string& site,
                               TimePoint now) {
    close(losses_, losses_name);
    loss_.site = site;
    loss_.at = now;
    const std::string manifest = complete_report(preliminary, loss_);
    sync_file_system(directory_);
    replace_durably(manifest_of(directory_), manifest);
    // Whoever reads the manifest after a power cut finds the directory, too.
    sync_file_system(directory_.parent_path());
    for (const auto& before : all_aside(directory_)) {
        // Without a manifest it was being deleted.
        if (!std::filesystem::exists(manifest_of(before)) || holds(directory_, before)) {
            drop(before);
        }
    }
    return manifest;
}

void close(std::ofstream& file, const std::string& name) {
    file.close();
    if (!file) {
        fail("writing " + printable(name));
    }
}

void write_bundle(std::ostream& out, const v1::RefUpdate& update,
                  const std::vector<std::string>& needed,
                  const std::function<void(const std::function<void(std::string_view)>&)>& read) {
    const bool sha1 = update.object_format() == "sha1";
    out << (sha1 ? "# v2 git bundle\n" : "# v3 git bundle\n@object-format=sha256\n");
    for (const std::string& oid : needed) {
        out << "-" << to_hex(oid) << "\n";
    }
    for (const v1::Ref& ref : update.refs()) {
        if (!ref.new_oid().empty()) {
            out << to_hex(ref.new_oid()) << " " << ref.name() << "\n";
        }
    }
    out << "\n";
    read([&](std::string_view piece) {
        out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
    });
}

}  // namespace antipode::failover
