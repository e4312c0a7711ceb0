#pragma once

#include <cstdint>
#include <filesystem>

namespace antipode::chaos {

/// A file system of its own for one directory, which can be full, and which can lose its power. It
/// is in the mount namespace that the Probe made, so that it goes with this program, however that
/// ends. One thread.
class Disk {
  public:
    enum class Kind {
        Memory,  ///< tmpfs: whatever is written stays
        Loop,    ///< ext4 on a file: what is not synced goes with the power
    };
    /// `directory`: is made, empty. `image`: the file that a Loop is on; its parent is there.
    /// Throws when the machine cannot do it.
    Disk(Kind kind, std::filesystem::path directory, const std::filesystem::path& image);
    /// Whoever still works in it keeps it until he ends.
    ~Disk();
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;

    /// Nothing more can be written.
    void fill();
    /// No more files can be made. Of Memory only.
    void fill_inodes();
    void make_room();
    /// Everything that was written is synced.
    void sync() const;
    /// In the same moment nothing more gets to the disk, and what was not synced is lost; a Loop.
    void cut_power() const;
    /// The byte in the middle of a file is another on the disk, and nobody has written it; a Loop.
    void rot(const std::filesystem::path& file) const;
    /// As it is after the power cut: the journal is replayed. Whoever worked in it has ended, or
    /// does within seconds. Throws when not.
    void mount_again();

    const std::filesystem::path& directory() const { return directory_; }

  private:
    void mount_memory(const std::string& options, unsigned long flags) const;
    void mount_loop() const;
    void umount_loop() const;
    std::filesystem::path filler() const { return base_ / "filler"; }

    const Kind kind_;
    const std::filesystem::path directory_;
    const std::filesystem::path image_;
    const std::filesystem::path base_;  ///< of a Loop: its root, of which `directory_` is a part
};

}  // namespace antipode::chaos
