#pragma once
// zerothctl stop and shutdown: asks the supervisor; ends one that does not answer, with --force; clears away what a
// dead one left.

#include "supervisor/ctl/verbs.h"

namespace zeroth {

// If the supervisor is what stops, returns when it has ended.
int run_stop(const Invocation& call);

}  // namespace zeroth
