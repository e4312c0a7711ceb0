#pragma once

#include "base/digest.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::verify {

/// The digest that an item must have once the event is applied: what was captured on the primary.
/// Empty for a removal, and for events that are of no item.
Digest expected_digest(const v1::Payload& payload);

}  // namespace antipode::verify
