#include "failover/quarantine.hpp"

#include <cerrno>
#include <cstring>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

/// A full disk would stop this site's servers, too.
constexpr uint64_t left_free = 64 * limits::mib;
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

size_t count_aside(const std::filesystem::path& directory) {
    size_t count = 0;
    while (std::filesystem::exists(aside(directory, count + 1))) {
        ++count;
    }
    return count;
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
        rename_durably(directory_, aside(directory_, count_aside(directory_) + 1));
    }
    drop(directory_);  // what an earlier call left half made
    make_directories(directory_);
    std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
    losses_ = create("losses.jsonl");
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
    close(losses_, "losses.jsonl");
    loss_.site = site;
    loss_.at = now;
    const std::string manifest = complete_report(preliminary, loss_);
    sync_file_system(directory_);
    replace_durably(manifest_of(directory_), manifest);
    // Whoever reads the manifest after a power cut finds the directory, too.
    sync_file_system(directory_.parent_path());
    // The newest first: those that a crash leaves are still counted.
    for (size_t left = loss_.counts.unreadable == 0 ? count_aside(directory_) : 0; left > 0;
         --left) {
        drop(aside(directory_, left));
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
