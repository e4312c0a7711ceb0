// antipode-git-hook: what git calls as a repository's reference-transaction hook (githooks(5)).
//
// After a transaction is committed it makes the repository durable (git leaves new refs'
// directories and loose objects unsynced), reports the repository's path in the daemon's spool, and
// calls the hook that was there before it. It never waits for the daemon, and what cannot be
// reported fails no push: the daemon's reconcile finds it. What the disk did not take does: git can
// undo it no more, but it must not tell the client that the push is safe.
//
// Before a transaction it refuses when this site is fenced: another one is the primary, and the
// file beside the spool, with ".fenced" behind its name, says which. What only packs refs may
// pass. Otherwise, and in the other phases, it only calls the other hook: its exit status decides.
//
// On a secondary it is the pre-receive hook, too, which only refuses: before a push's objects are
// taken in, and in words that git passes on over every protocol.
//
// It runs twice in every ref transaction, and what it takes to start is most of what it costs: only
// what musl has, too, and nothing of the C++ library (CMakeLists.txt). The names of the files
// beside it are adapters/git/hooks.cpp's, the record's layout is ChangeSpool's.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Path = char[PATH_MAX];
/// The settings hold a path.
using Text = char[2 * PATH_MAX];

/// A record is appended with one write of less than PIPE_BUF, so that records never mix.
constexpr size_t record_bytes = 4000;
using Record = char[record_bytes + 1];
constexpr int open_tries = 3;

/// False: that is too long for a path.
bool join(Path& path, const char* directory, const char* name) {
    const int size = snprintf(path, sizeof(path), "%s%s", directory, name);
    return size >= 0 && static_cast<size_t>(size) < sizeof(path);
}

/// What the file begins with, and a NUL. Its size; 0: it cannot be read, -1: nor opened.
ssize_t read_text(const char* file, int flags, Text& text) {
    const int fd = open(file, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) {
        return -1;
    }
    const ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    const ssize_t size = count > 0 ? count : 0;
    text[size] = '\0';
    return size;
}

/// The repository's directory: where this hook stands is not reliable (it may be shared), where git
/// works is. A linked worktree names its repository in "commondir".
bool find_repository(Path& path) {
    const char* git_dir = getenv("GIT_DIR");
    if (realpath(git_dir != nullptr && *git_dir != '\0' ? git_dir : ".", path) == nullptr) {
        return false;
    }
    Path pointer;
    Text common;
    if (!join(pointer, path, "/commondir")) {
        return true;
    }
    ssize_t size = read_text(pointer, O_NOFOLLOW, common);
    if (size <= 0) {
        return size < 0;
    }
    while (size > 0 && common[size - 1] == '\n') {
        common[--size] = '\0';
    }
    if (common[0] == '/') {
        return realpath(common, path) != nullptr;
    }
    Path beside;
    return join(pointer, path, "/") && join(beside, pointer, common) &&
           realpath(beside, path) != nullptr;
}

/// The value after "spool " in the settings beside the hook, with `suffix` behind it. False: there
/// is none.
bool find_spool(const char* hooks, const char* suffix, Path& spool) {
    Path settings;
    Text text;
    if (!join(settings, hooks, "/antipode-hook") || read_text(settings, 0, text) <= 0) {
        return false;
    }
    char* rest = text;
    for (char* line = strsep(&rest, "\n"); line != nullptr; line = strsep(&rest, "\n")) {
        if (strncmp(line, "spool ", 6) == 0 && line[6] != '\0') {
            return join(spool, line + 6, suffix);
        }
    }
    return false;
}

/// git-pack-refs(1), which git-gc(1) calls, has the hook called for the loose files of refs that it
/// has packed, as if it deleted them. It changes no ref.
bool is_packing_refs() {
    char file[64];
    snprintf(file, sizeof(file), "/proc/%ld/cmdline", static_cast<long>(getppid()));
    Text text;
    const ssize_t size = read_text(file, 0, text);
    if (size <= 0) {
        return false;
    }
    const char* const end = text + size;
    for (const char* word = text + strlen(text) + 1; word < end; word += strlen(word) + 1) {
        if (strcmp(word, "-C") == 0 || strcmp(word, "-c") == 0) {
            word += strlen(word) + 1;  // its value
            if (word >= end) {
                break;
            }
        } else if (*word != '-') {
            return strcmp(word, "pack-refs") == 0;
        }
    }
    return false;
}

/// Prints why this site takes no writes. False: it takes them.
bool is_fenced(const char* hooks) {
    Path fence;
    Text reason;
    if (!find_spool(hooks, ".fenced", fence) || read_text(fence, O_NOFOLLOW, reason) < 0 ||
        is_packing_refs()) {
        return false;
    }
    fprintf(stderr, "antipode: %s\n", reason);
    return true;
}

/// Its size.
size_t make_record(const char* path, Record& record) {
    size_t size = 0;
    record[size++] = '\n';
    for (const char* c = path; *c != '\0'; ++c) {
        const auto byte = static_cast<unsigned char>(*c);
        const bool escaped = byte <= 0x20 || byte == '\\' || byte == 0x7f;
        if (size + (escaped ? 4 : 1) >= record_bytes) {
            return static_cast<size_t>(snprintf(record, sizeof(record), "\n*\n"));
        }
        if (escaped) {
            size += static_cast<size_t>(
                snprintf(record + size, sizeof(record) - size, "\\x%02x", byte));
        } else {
            record[size++] = *c;
        }
    }
    record[size++] = '\n';
    return size;
}

/// The shared lock tells the daemon that a record is on its way; the file that was unlinked before
/// we had the lock is read no more, its successor is there under the same name.
int open_spool(const char* spool) {
    for (int i = 0; i < open_tries; ++i) {
        const int fd =
            open(spool, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        struct stat info {};
        if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
            return -1;
        }
        if (flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &info) == 0 && info.st_nlink > 0) {
            return fd;
        }
        close(fd);
    }
    return -1;
}

/// Ends git where the disk says that something was lost: what else it would say then is "ok". Other
/// errors are of systems that know no such call.
void make_durable(const char* path, pid_t git) {
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return;
    }
    if (syncfs(directory) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT)) {
        fprintf(stderr,
                "antipode: the disk did not keep what was written: %s; whether the refs stay "
                "moved is not known: mend the disk, look, and push again\n",
                strerror(errno));
        if (git > 1 && getppid() == git) {  // else it is gone, and so is whom it would tell
            kill(git, SIGTERM);
        }
    }
    close(directory);
}

void report(const char* hooks, pid_t git) {
    Path path;
    if (!find_repository(path)) {
        return;
    }
    make_durable(path, git);
    Path spool;
    const int fd = find_spool(hooks, "", spool) ? open_spool(spool) : -1;
    if (fd >= 0) {
        Record record;
        const size_t size = make_record(path, record);
        // A failure (a full disk) is the reconcile's: the push has happened.
        const ssize_t written = write(fd, record, size);
        static_cast<void>(written);
        close(fd);
    }
}

/// Becomes the hook that was there before ours. As git does, it takes one that is not executable
/// for none, and gives one without "#!" to the shell.
int call_chained(const char* hooks, const char* name, char** arguments) {
    Path directory;
    Path chained;
    if (!join(directory, hooks, "/antipode-chained/") || !join(chained, directory, name) ||
        access(chained, X_OK) != 0) {
        return 0;
    }
    arguments[0] = chained;
    execv(chained, arguments);
    if (errno == ENOEXEC) {
        char shell[] = "/bin/sh";
        char* shell_arguments[] = {shell, chained, arguments[1], nullptr};
        execv(shell, shell_arguments);
    }
    fprintf(stderr, "antipode: cannot run %s: %s\n", chained, strerror(errno));
    return 1;
}

}  // namespace

int main(int count, char** arguments) {
    const pid_t git = getppid();
    char self[] = "";
    char* hooks = count > 0 ? arguments[0] : self;
    const char* name = hooks;
    char here[] = ".";
    if (char* const slash = strrchr(hooks, '/'); slash != nullptr) {
        *slash = '\0';
        name = slash + 1;
    } else {
        hooks = here;
    }
    const bool before_objects = strcmp(name, "pre-receive") == 0;
    if (count < 2 && !before_objects) {
        fputs("antipode-git-hook is called by git as hooks/reference-transaction\n", stderr);
        return 2;
    }
    const char* const phase = before_objects ? "prepared" : arguments[1];
    if (strcmp(phase, "committed") == 0) {
        report(hooks, git);
    } else if (strcmp(phase, "prepared") == 0 && is_fenced(hooks)) {
        return 1;
    }
    return call_chained(hooks, name, arguments);
}
