#pragma once

#include <functional>

namespace antipode::chaos {

/// Runs `work` in a process of its own, with a directory of its own for temporary files (TMPDIR).
/// However that ends, also by SIGINT, SIGTERM or SIGHUP to the caller: nothing that it started goes
/// on running, and the directory is gone. Only kill -9 of the caller leaves the directory.
///
/// Returns what `work` returned, or 128 + the signal that ended it. To be called before there are
/// other threads and children.
int supervise(const std::function<int()>& work);

}  // namespace antipode::chaos
