#include "adapters/git/small_push.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <unordered_set>

#include <git2.h>
#include <git2/sys/repository.h>

#include "adapters/git/libgit2.hpp"
#include "adapters/git/loaded_pack.hpp"
#include "adapters/git/loose_objects.hpp"
#include "adapters/git/pack_file.hpp"
#include "adapters/git/pack_writer.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode::git {
namespace {

using RepositoryHandle = Handle<git_repository, git_repository_free>;
using OdbHandle = Handle<git_odb, git_odb_free>;
using ObjectHandle = Handle<git_odb_object, git_odb_object_free>;
using CommitHandle = Handle<git_commit, git_commit_free>;
using TreeHandle = Handle<git_tree, git_tree_free>;
using TagHandle = Handle<git_tag, git_tag_free>;
using BuilderHandle = Handle<git_packbuilder, git_packbuilder_free>;
using IndexerHandle = Handle<git_indexer, git_indexer_free>;
using ReferenceHandle = Handle<git_reference, git_reference_free>;
using IteratorHandle = Handle<git_reference_iterator, git_reference_iterator_free>;
using TransactionHandle = Handle<git_transaction, git_transaction_free>;

constexpr size_t most_commits = 100;
constexpr size_t most_refs = 64;
/// As they are, not compressed: git makes deltas against what the other side has, which pays for
/// what is larger.
constexpr size_t most_bytes = 64 * 1024;

/// What is not plain. Never leaves this file.
struct NotPlain {};

void check(int code) {
    if (code < 0) {
        throw NotPlain{};
    }
}

std::string raw(const git_oid& oid) {
    return {reinterpret_cast<const char*>(oid.id), GIT_OID_RAWSZ};
}

git_oid oid_of(const std::string& raw_id) {
    if (raw_id.size() != GIT_OID_RAWSZ) {
        throw NotPlain{};
    }
    git_oid oid;
    git_oid_fromraw(&oid, reinterpret_cast<const unsigned char*>(raw_id.data()));
    return oid;
}

/// An id's own bytes are as good as any hash of them.
struct OidHash {
    size_t operator()(const git_oid& oid) const {
        size_t hash = 0;
        std::memcpy(&hash, oid.id, sizeof(hash));
        return hash;
    }
};
struct OidEqual {
    bool operator()(const git_oid& one, const git_oid& other) const {
        return git_oid_equal(&one, &other) != 0;
    }
};
using OidSet = std::unordered_set<git_oid, OidHash, OidEqual>;

void insert(OidSet& set, const std::vector<std::string>& raw_ids) {
    for (const std::string& id : raw_ids) {
        set.insert(oid_of(id));
    }
}

/// Walks from objects down to a border, and meets each object that nothing behind the border has at
/// the same place: those of a commit's tree which differ from its parents' trees. The border's
/// commits are whole.
class Walk {
  public:
    using Meet = std::function<void(const git_oid&, git_object_t, const std::string& name)>;

    Walk(git_repository* repository, git_odb* odb, OidSet border, Meet meet)
        : repository_(repository), odb_(odb), border_(std::move(border)), meet_(std::move(meet)) {}

    void run(const std::vector<std::string>& from) {
        for (const std::string& id : from) {
            want(oid_of(id));
        }
        while (!commits_.empty()) {
            const git_oid id = commits_.back();
            commits_.pop_back();
            visit_commit(id);
        }
    }

  private:
    /// False: it was met before, or is the border.
    bool is_new(const git_oid& id) {
        if (border_.contains(id) || !met_.insert(id).second) {
            return false;
        }
        if (met_.size() > LoadedPack::small.objects) {
            throw NotPlain{};
        }
        return true;
    }

    void want(const git_oid& id) {
        // Also of the border: a ref of a damaged repository may name what is not there.
        size_t size = 0;
        git_object_t type = GIT_OBJECT_INVALID;
        check(git_odb_read_header(&size, &type, odb_, &id));
        if (border_.contains(id)) {
            return;
        }
        if (type == GIT_OBJECT_COMMIT) {
            commits_.push_back(id);
        } else if (type == GIT_OBJECT_TAG) {
            visit_tag(id);
        } else {
            throw NotPlain{};
        }
    }

    void visit_tag(const git_oid& id) {
        if (!is_new(id)) {
            return;
        }
        meet_(id, GIT_OBJECT_TAG, "");
        TagHandle tag;
        check(git_tag_lookup(OutParam(tag), repository_, &id));
        want(*git_tag_target_id(tag.get()));
    }

    void visit_commit(const git_oid& id) {
        if (!is_new(id)) {
            return;
        }
        if (++count_ > most_commits) {
            throw NotPlain{};
        }
        meet_(id, GIT_OBJECT_COMMIT, "");
        CommitHandle commit;
        check(git_commit_lookup(OutParam(commit), repository_, &id));
        std::vector<TreeHandle> behind;
        for (unsigned i = 0; i < git_commit_parentcount(commit.get()); ++i) {
            CommitHandle parent;
            check(git_commit_parent(OutParam(parent), commit.get(), i));
            TreeHandle tree;
            check(git_commit_tree(OutParam(tree), parent.get()));
            behind.push_back(std::move(tree));
            commits_.push_back(*git_commit_parent_id(commit.get(), i));
        }
        const git_oid& tree = *git_commit_tree_id(commit.get());
        const bool as_before = std::any_of(behind.begin(), behind.end(), [&](const auto& other) {
            return git_oid_equal(git_tree_id(other.get()), &tree) != 0;
        });
        if (!as_before) {
            visit_tree(tree, "", behind);
        }
    }

    void visit_tree(const git_oid& id, const std::string& name,
                    const std::vector<TreeHandle>& behind) {
        if (!is_new(id)) {
            return;
        }
        meet_(id, GIT_OBJECT_TREE, name);
        TreeHandle tree;
        check(git_tree_lookup(OutParam(tree), repository_, &id));
        for (size_t i = 0; i < git_tree_entrycount(tree.get()); ++i) {
            visit_entry(git_tree_entry_byindex(tree.get(), i), behind);
        }
    }

    void visit_entry(const git_tree_entry* entry, const std::vector<TreeHandle>& behind) {
        const git_oid& id = *git_tree_entry_id(entry);
        const char* const name = git_tree_entry_name(entry);
        const git_object_t type = git_tree_entry_type(entry);
        std::vector<TreeHandle> below;
        for (const TreeHandle& other : behind) {
            const git_tree_entry* const there = git_tree_entry_byname(other.get(), name);
            if (there == nullptr || git_tree_entry_type(there) != type) {
                continue;
            }
            if (git_oid_equal(git_tree_entry_id(there), &id) != 0) {
                return;
            }
            if (type == GIT_OBJECT_TREE) {
                TreeHandle tree;
                check(git_tree_lookup(OutParam(tree), repository_, git_tree_entry_id(there)));
                below.push_back(std::move(tree));
            }
        }
        if (type == GIT_OBJECT_TREE) {
            visit_tree(id, name, below);
        } else if (type == GIT_OBJECT_BLOB && is_new(id)) {
            meet_(id, type, name);
        }  // else a submodule's commit, which is elsewhere
    }

    git_repository* const repository_;
    git_odb* const odb_;
    const OidSet border_;
    const Meet meet_;
    OidSet met_;
    std::vector<git_oid> commits_;
    size_t count_ = 0;
};

bool is_plain(const RefChange& change) {
    return is_ref(change.name) && change.name != "HEAD" && !change.after.oid.empty() &&
           !change.before.is_symbolic() && !change.after.is_symbolic();
}

/// Nothing stands where the ref's file or the directories on the way to it must be, no ref and no
/// directory that git would have to clear away.
bool is_free(git_repository* repository, const std::filesystem::path& git_dir,
             const std::string& name) {
    std::error_code ignored;
    if (std::filesystem::exists(git_dir / name, ignored)) {
        return false;
    }
    for (size_t slash = name.find('/', 5); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
        git_oid oid;
        if (git_reference_name_to_id(&oid, repository, name.substr(0, slash).c_str()) !=
            GIT_ENOTFOUND) {
            return false;
        }
    }
    IteratorHandle below;
    check(git_reference_iterator_new(OutParam(below), repository));
    const char* other = nullptr;
    int code = 0;
    while ((code = git_reference_next_name(&other, below.get())) == 0) {
        if (std::string_view(other).starts_with(name + "/")) {
            return false;
        }
    }
    return code == GIT_ITEROVER;
}

bool is_as_expected(git_repository* repository, const std::filesystem::path& git_dir,
                    const RefChange& change) {
    ReferenceHandle now;
    const int code = git_reference_lookup(OutParam(now), repository, change.name.c_str());
    if (code == GIT_ENOTFOUND) {
        return change.before.absent() && is_free(repository, git_dir, change.name);
    }
    return code == 0 && git_reference_type(now.get()) == GIT_REFERENCE_DIRECT &&
           raw(*git_reference_target(now.get())) == change.before.oid;
}

}  // namespace

struct SmallPush::Opened {
    std::filesystem::path git_dir;
    RepositoryHandle repository;
    OdbHandle objects;

    /// Lists the packs, which nobody needs who only moves refs. The repository's own would read its
    /// configuration for how to write loose objects.
    git_odb* odb() {
        if (!objects) {
            check(git_odb_open(OutParam(objects), (git_dir / "objects").c_str()));
            check(git_repository_set_odb(repository.get(), objects.get()));
            read_within_bounds(objects.get());
        }
        return objects.get();
    }
    std::string read(const git_oid& id) {
        ObjectHandle object;
        check(git_odb_read(OutParam(object), odb(), &id));
        return {static_cast<const char*>(git_odb_object_data(object.get())),
                git_odb_object_size(object.get())};
    }
    size_t size_of(const git_oid& id) {
        size_t size = 0;
        git_object_t type = GIT_OBJECT_INVALID;
        check(git_odb_read_header(&size, &type, odb(), &id));
        return size;
    }
};

/// An object that is to be sent.
struct SmallPush::Met {
    git_oid id;
    git_object_t type;
    std::string name;
    std::string content;  ///< not of a blob, nor behind the first most_bytes
};

SmallPush::SmallPush(std::unique_ptr<Opened> opened) : opened_(std::move(opened)) {}

SmallPush::~SmallPush() = default;

std::unique_ptr<SmallPush> SmallPush::open(const std::filesystem::path& git_dir) {
    initialize_libgit2();
    auto opened = std::make_unique<Opened>();
    opened->git_dir = git_dir;
    if (std::filesystem::exists(git_dir / "shallow") ||
        git_repository_open_bare(OutParam(opened->repository), git_dir.c_str()) != 0) {
        return nullptr;
    }
    return std::unique_ptr<SmallPush>(new SmallPush(std::move(opened)));
}

std::optional<SmallPush::MadePack> SmallPush::make_pack(const std::vector<std::string>& wants,
                                                        const std::vector<std::string>& haves) try {
    std::vector<Met> met;
    size_t bytes = 0;
    const auto note = [&](const git_oid& id, git_object_t type, const std::string& name) {
        Met object{id, type, name, {}};
        bytes += opened_->size_of(id);
        if (bytes > LoadedPack::small.bytes) {
            throw NotPlain{};
        }
        if (type != GIT_OBJECT_BLOB && bytes <= most_bytes) {
            object.content = opened_->read(id);  // for the walk, too, which reads it next
        }
        met.push_back(std::move(object));
    };
    OidSet border;
    insert(border, haves);
    Walk(opened_->repository.get(), opened_->odb(), std::move(border), note).run(wants);
    if (met.empty()) {
        return MadePack{};
    }
    if (bytes > most_bytes) {
        return MadePack{{}, pushed_pack(met, bytes)};
    }
    const auto commits = std::count_if(
        met.begin(), met.end(), [](const Met& object) { return object.type == GIT_OBJECT_COMMIT; });
    return MadePack{commits <= 1 ? write(met) : build(met), {}};
} catch (const NotPlain&) {
    return std::nullopt;
}

/// git keeps a push of a hundred objects or more as it came (git-config(1), receive.unpackLimit),
/// and adds what its differences build on.
std::filesystem::path SmallPush::pushed_pack(const std::vector<Met>& met, size_t bytes) {
    std::vector<std::string> oids;
    for (const Met& object : met) {
        oids.push_back(raw(object.id));
    }
    const auto pack = pack_of(opened_->git_dir / "objects" / "pack", std::move(oids), most_bytes);
    if (!pack) {
        throw NotPlain{};
    }
    for (const std::string& other : pack->others) {
        bytes += opened_->size_of(oid_of(other));
    }
    if (bytes > LoadedPack::small.bytes) {
        throw NotPlain{};
    }
    return pack->file;
}

/// One commit has each file once: there is little of which another could be a difference.
std::string SmallPush::write(const std::vector<Met>& met) {
    std::vector<PackedObject> objects;
    for (const Met& object : met) {
        const bool is_blob = object.type == GIT_OBJECT_BLOB;
        objects.push_back({static_cast<ObjectType>(object.type),
                           is_blob ? opened_->read(object.id) : object.content});
    }
    return write_pack(objects);
}

std::string SmallPush::build(const std::vector<Met>& met) {
    BuilderHandle builder;
    check(git_packbuilder_new(OutParam(builder), opened_->repository.get()));
    git_packbuilder_set_threads(builder.get(), 1);
    for (const Met& object : met) {
        check(git_packbuilder_insert(builder.get(), &object.id, object.name.c_str()));
    }
    git_buf buffer{};
    const int code = git_packbuilder_write_buf(&buffer, builder.get());
    const std::string pack(buffer.ptr == nullptr ? "" : buffer.ptr, buffer.size);
    git_buf_dispose(&buffer);
    check(code);
    return pack;
}

bool SmallPush::add(const LoadedPack& pack) try {
    return pack.lend_to(opened_->odb());
} catch (const NotPlain&) {
    return false;
}

bool SmallPush::index(std::string_view pack, const std::filesystem::path& objects) try {
    if (objects_in_pack(pack) > LoadedPack::small.objects) {
        return false;
    }
    std::error_code failure;
    std::filesystem::create_directories(objects / "pack", failure);
    if (failure) {
        throw NotPlain{};
    }
    git_indexer_options options = GIT_INDEXER_OPTIONS_INIT;
    IndexerHandle indexer;
    check(git_indexer_new(OutParam(indexer), (objects / "pack").c_str(), 0444, opened_->odb(),
                          &options));
    git_indexer_progress progress{};
    check(git_indexer_append(indexer.get(), pack.data(), pack.size(), &progress));
    check(git_indexer_commit(indexer.get(), &progress));
    check(git_odb_add_disk_alternate(opened_->odb(), objects.c_str()));
    return true;
} catch (const NotPlain&) {
    return false;
}

bool SmallPush::prove(const std::vector<std::string>& oids,
                      const std::vector<std::string>& whole) try {
    OidSet border;
    insert(border, whole);
    // Commits, tags and trees are read by the walk.
    const auto must_exist = [&](const git_oid& id, git_object_t type, const std::string&) {
        if (type == GIT_OBJECT_BLOB && git_odb_exists(opened_->odb(), &id) == 0) {
            throw NotPlain{};
        }
    };
    Walk(opened_->repository.get(), opened_->odb(), std::move(border), must_exist).run(oids);
    return true;
} catch (const NotPlain&) {
    return false;
}

bool SmallPush::move(const std::vector<RefChange>& changes) try {
    if (changes.size() > most_refs || !std::all_of(changes.begin(), changes.end(), is_plain)) {
        return false;
    }
    git_repository* const repository = opened_->repository.get();
    TransactionHandle transaction;
    check(git_transaction_new(OutParam(transaction), repository));
    for (const RefChange& change : changes) {
        check(git_transaction_lock_ref(transaction.get(), change.name.c_str()));
    }
    for (const RefChange& change : changes) {
        if (!is_as_expected(repository, opened_->git_dir, change)) {
            return false;
        }
        const git_oid after = oid_of(change.after.oid);
        check(git_transaction_set_target(transaction.get(), change.name.c_str(), &after, nullptr,
                                         nullptr));
    }
    if (git_transaction_commit(transaction.get()) != 0) {
        const git_error* error = git_error_last();
        throw Error(Reaction::Retry, "updating refs of " + printable(opened_->git_dir.native()) +
                                         ": " + (error != nullptr ? error->message : "?"));
    }
    return true;
} catch (const NotPlain&) {
    return false;
}

}  // namespace antipode::git
