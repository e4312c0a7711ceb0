#include "adapters/files/descriptor.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/digest.hpp"

namespace antipode::files {
namespace {

std::string remedy_for(int error, const std::filesystem::path& root) {
    const std::string where = printable(root.native());
    switch (error) {
        case ENOSPC:
        case EDQUOT:
            return "free space for " + where + " (df -h, df -i, quota)";
        case EACCES:
        case EPERM:
            return "give the user " + std::to_string(geteuid()) + " access below " + where;
        case EROFS:
            return "mount -o remount,rw the file system of " + where;
        case EIO:
            return "check the disk below " + where + " (dmesg, smartctl)";
        case EMFILE:
        case ENFILE:
            return "raise the limit of open files (LimitNOFILE)";
        case ELOOP:
            return "replace the symbolic link by what it points to; links are never followed";
        default:
            return {};
    }
}

}  // namespace

Descriptor::~Descriptor() {
    if (number_ >= 0) {
        // The caller may still want to know why something else failed.
        const int error = errno;
        close(number_);
        errno = error;
    }
}

Descriptor open_beneath(const std::filesystem::path& root, const std::string& path, int flags,
                        unsigned mode) {
    if (path.find('\0') != std::string::npos) {
        errno = EINVAL;
        return {};
    }
    const Descriptor base(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!base) {
        return {};
    }
    open_how how{};
    how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const char* name = path.empty() ? "." : path.c_str();
    long result = 0;
    do {
        result = syscall(SYS_openat2, base.number(), name, &how, sizeof(how));
        // EAGAIN: a rename ran beside the resolution of "..", or so the kernel feared.
    } while (result < 0 && (errno == EINTR || errno == EAGAIN));
    return Descriptor(static_cast<int>(result));
}

Error system_error(const std::string& doing, const std::filesystem::path& root,
                   const std::string& path, int error) {
    return {Reaction::Retry,
            doing + " " + (path.empty() ? "the root" : printable(path)) + " in " +
                printable(root.native()) + ": " + std::generic_category().message(error),
            remedy_for(error, root)};
}

}  // namespace antipode::files
