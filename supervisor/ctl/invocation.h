#pragma once
// The command line of zerothctl, read by the table of verbs. The only file that knows CLI11.

#include "common/result.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {

// Options of zerothctl itself may stand before or behind the verb. The error is for exit code 2 and names the nearest
// option. A word that is no verb of ours is no error: a worker may know it; what follows it is read as key=value.
Result<Invocation> read_invocation(int argc, const char* const* argv);

}  // namespace zeroth
