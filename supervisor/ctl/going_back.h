#pragma once
// The verbs that may leave state behind (restart, reload, rollback): they say what would be lost, ask, and tell the way
// back; and check, which tries first.

#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_restart(const Invocation& call);  // also reload and start
int run_rollback(const Invocation& call);
// `check FILE` becomes zeroth-worker; without a file, or with --last, the supervisor is asked.
int run_check(const Invocation& call);

std::string check_text(const Json& result);

}  // namespace zeroth
