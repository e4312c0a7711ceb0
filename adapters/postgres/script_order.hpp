#pragma once

#include <string>

namespace antipode::postgres {

/// A pg_dump script so that a role can run it that is no superuser. pg_dump puts rights at the end,
/// but whoever becomes the owner of something in a schema must have the right to create there: the
/// schemas' rights move to the front, behind the schemas. Comments on extensions are left out: only
/// the extension's owner may set them, who may be another one here.
std::string for_unprivileged(const std::string& script);

}  // namespace antipode::postgres
