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
// It runs twice in every ref transaction: libc only, no allocation worth the name. The names of the
// files beside it are adapters/git/hooks.cpp's, the record's layout is ChangeSpool's.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr size_t path_bytes = 4096;
/// A record is appended with one write of less than PIPE_BUF, so that records never mix.
constexpr size_t record_bytes = 4000;
constexpr int open_tries = 3;

/// The repository's directory: where this hook stands is not reliable (it may be shared), where git
/// works is. A linked worktree names its repository in "commondir".
bool find_repository(char (&path)[path_bytes]) {
    const char* git_dir = getenv("GIT_DIR");
    if (realpath(git_dir != nullptr && *git_dir != '\0' ? git_dir : ".", path) == nullptr) {
        return false;
    }
    const std::string pointer = std::string(path) + "/commondir";
    const int fd = open(pointer.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return true;
    }
    char text[path_bytes];
    const ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (count <= 0) {
        return false;
    }
    std::string common(text, static_cast<size_t>(count));
    common.erase(common.find_last_not_of('\n') + 1);
    common = common[0] == '/' ? common : std::string(path) + "/" + common;
    return realpath(common.c_str(), path) != nullptr;
}

/// The value after "spool " in the settings; empty when there is none.
std::string find_spool(const std::string& settings) {
    FILE* file = fopen(settings.c_str(), "re");
    if (file == nullptr) {
        return {};
    }
    std::string spool;
    char line[path_bytes + 16];
    while (spool.empty() && fgets(line, sizeof(line), file) != nullptr) {
        if (strncmp(line, "spool ", 6) == 0) {
            spool = line + 6;
            spool.erase(spool.find_last_not_of('\n') + 1);
        }
    }
    fclose(file);
    return spool;
}

/// git-pack-refs(1), which git-gc(1) calls, has the hook called for the loose files of refs that it
/// has packed, as if it deleted them. It changes no ref.
bool is_packing_refs() {
    const std::string file = "/proc/" + std::to_string(getppid()) + "/cmdline";
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char text[path_bytes];
    const ssize_t count = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[count > 0 ? count : 0] = '\0';
    const char* const end = text + (count > 0 ? count : 0);
    for (const char* word = text + strlen(text) + 1; word < end; word += strlen(word) + 1) {
        if (strcmp(word, "-C") == 0 || strcmp(word, "-c") == 0) {
            word += strlen(word) + 1;  // its value
        } else if (*word != '-') {
            return strcmp(word, "pack-refs") == 0;
        }
    }
    return false;
}

/// Prints why this site takes no writes. False: it takes them.
bool is_fenced(const std::string& hooks) {
    const std::string spool = find_spool(hooks + "/antipode-hook");
    const int fd =
        spool.empty() ? -1 : open((spool + ".fenced").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return false;
    }
    char text[path_bytes];
    const ssize_t count = read(fd, text, sizeof(text));
    close(fd);
    if (is_packing_refs()) {
        return false;
    }
    fprintf(stderr, "antipode: %.*s\n", count > 0 ? static_cast<int>(count) : 0, text);
    return true;
}

std::string make_record(const char* path) {
    std::string record = "\n";
    for (const char* c = path; *c != '\0'; ++c) {
        const auto byte = static_cast<unsigned char>(*c);
        if (byte <= 0x20 || byte == '\\' || byte == 0x7f) {
            char escaped[8];
            snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
            record += escaped;
        } else {
            record += *c;
        }
    }
    record += '\n';
    return record.size() <= record_bytes ? record : "\n*\n";
}

/// The shared lock tells the daemon that a record is on its way; the file that was unlinked before
/// we had the lock is read no more, its successor is there under the same name.
int open_spool(const std::string& spool) {
    for (int i = 0; i < open_tries; ++i) {
        const int fd = open(spool.c_str(),
                            O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
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

void report(const std::string& hooks, pid_t git) {
    char path[path_bytes];
    if (!find_repository(path)) {
        return;
    }
    make_durable(path, git);
    const std::string spool = find_spool(hooks + "/antipode-hook");
    const int fd = spool.empty() ? -1 : open_spool(spool);
    if (fd >= 0) {
        const std::string record = make_record(path);
        // A failure (a full disk) is the reconcile's: the push has happened.
        const ssize_t written = write(fd, record.data(), record.size());
        static_cast<void>(written);
        close(fd);
    }
}

/// Becomes the hook that was there before ours. As git does, it takes one that is not executable
/// for none, and gives one without "#!" to the shell.
int call_chained(const std::string& hooks, const std::string& name, char** arguments) {
    std::string chained = hooks + "/antipode-chained/" + name;
    if (access(chained.c_str(), X_OK) != 0) {
        return 0;
    }
    arguments[0] = chained.data();
    execv(chained.c_str(), arguments);
    if (errno == ENOEXEC) {
        char shell[] = "/bin/sh";
        char* shell_arguments[] = {shell, chained.data(), arguments[1], nullptr};
        execv(shell, shell_arguments);
    }
    fprintf(stderr, "antipode: cannot run %s: %s\n", chained.c_str(), strerror(errno));
    return 1;
}

}  // namespace

int main(int count, char** arguments) {
    const pid_t git = getppid();
    const std::string self = count > 0 ? arguments[0] : "";
    const size_t slash = self.rfind('/');
    const std::string hooks = slash == std::string::npos ? "." : self.substr(0, slash);
    const std::string name = slash == std::string::npos ? self : self.substr(slash + 1);
    const bool before_objects = name == "pre-receive";
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
