#pragma once

namespace antipode {

/// The calling thread, and programs that it starts, use the processor and the disk only when nobody
/// else wants them, as far as the system's I/O scheduler heeds that.
void run_in_background() noexcept;

}  // namespace antipode
