#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

/// Small files that must survive a power cut once a call has returned: the file is synced, and the
/// directory that names it. All throw Error{Retry} with the system's words.
namespace antipode::failover {

/// Puts `bytes` at `offset`, the file's end as it should be: what a failed call left behind it is
/// overwritten.
void append_durably(const std::filesystem::path& file, uint64_t offset, std::string_view bytes);
void truncate_durably(const std::filesystem::path& file, uint64_t size);
/// Whole or not at all.
void replace_durably(const std::filesystem::path& file, std::string_view bytes);
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// No effect when it is not there.
void remove_durably(const std::filesystem::path& file);

}  // namespace antipode::failover
