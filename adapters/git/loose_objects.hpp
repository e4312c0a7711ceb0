#pragma once

struct git_odb;

namespace antipode::git {

/// Has loose objects of `odb`, of those that it borrows from, too, read within their bounds.
/// libgit2 (1.5, and later ones) makes room for as many bytes as a loose object's header says, and
/// writes there what is in the file, however much that is (odb_loose.c, read_loose_standard): an
/// object that a disk or a hand has changed would damage this process. Backends that are added
/// later are not changed. The odb's thread.
void read_within_bounds(git_odb* odb);

}  // namespace antipode::git
