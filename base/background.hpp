#pragma once

namespace antipode {

/// While it lives, the calling thread, and programs that it starts, read and write only when nobody
/// else wants the disk, as far as the system's I/O scheduler heeds that. One thread.
class IdleDisk {
  public:
    IdleDisk() noexcept;
    ~IdleDisk();
    IdleDisk(const IdleDisk&) = delete;
    IdleDisk& operator=(const IdleDisk&) = delete;
};

/// The calling thread, and programs that it starts, leave the processor to others from now on.
void be_nice() noexcept;

}  // namespace antipode
