#include "adapters/git/loose_objects.hpp"

#include <git2.h>
#include <git2/sys/odb_backend.h>

#include "base/handle.hpp"

namespace antipode::git {
namespace {

using StreamHandle = Handle<git_odb_stream, git_odb_stream_free>;

/// The object has `size` bytes, no fewer and no more.
bool read_all(git_odb_stream* stream, char* bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
        const int count = git_odb_stream_read(stream, bytes + done, size - done);
        if (count <= 0) {
            return false;
        }
        done += static_cast<size_t>(count);
    }
    char more = 0;
    return git_odb_stream_read(stream, &more, 1) == 0;
}

/// In the place of git_odb_backend::read. libgit2 compares the hash.
int read_by_stream(void** data, size_t* size, git_object_t* type, git_odb_backend* backend,
                   const git_oid* id) {
    StreamHandle stream;
    const int code = backend->readstream(OutParam(stream), size, type, backend, id);
    if (code < 0) {
        return code;
    }
    auto* const bytes = static_cast<char*>(git_odb_backend_data_alloc(backend, *size + 1));
    if (bytes == nullptr || !read_all(stream.get(), bytes, *size)) {
        git_odb_backend_data_free(backend, bytes);
        return GIT_ERROR;
    }
    bytes[*size] = '\0';
    *data = bytes;
    return GIT_OK;
}

}  // namespace

void read_within_bounds(git_odb* odb) {
    for (size_t i = 0; i < git_odb_num_backends(odb); ++i) {
        git_odb_backend* backend = nullptr;
        // Those of packs have no streams.
        if (git_odb_get_backend(&backend, odb, i) == 0 && backend->readstream != nullptr) {
            backend->read = read_by_stream;
        }
    }
}

}  // namespace antipode::git
