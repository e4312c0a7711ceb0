#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

/// Small files that must survive a power cut once a call has returned: the file is synced, and the
/// directory that names it. All throw Error{Retry} with the system's words.
namespace antipode::failover {

/// Puts `bytes` at `offset`, the file's end as it should be: what a failed call left behind it is
/// overwritten.
void append_durably(const std::filesystem::path& file, uint64_t offset, std::string_view bytes);
void truncate_durably(const std::filesystem::path& file, uint64_t size);
/// Whole or not at all. `mode`: its permissions, whatever the umask is.
void replace_durably(const std::filesystem::path& file, std::string_view bytes,
                     std::filesystem::perms mode = std::filesystem::perms(0640));
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// nullopt: there is no such file. One that cannot be read is an error, not a missing one.
std::optional<std::string> read_whole(const std::filesystem::path& file);
/// A new file with the content of another, which is no symbolic link; mode 0600. Its bytes. The
/// directory that names it is not synced.
uint64_t copy_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// The names in it.
void sync_directory(const std::filesystem::path& directory);
/// Everything that was written to the file system of `directory` until now.
void sync_file_system(const std::filesystem::path& directory);
/// No effect when it is not there.
void remove_durably(const std::filesystem::path& file);

}  // namespace antipode::failover
