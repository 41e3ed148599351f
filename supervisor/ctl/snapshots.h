#pragma once
// The verbs about kept snapshots: their results as text, and diff, which may be asked for generations.

#include <string>

#include "supervisor/ctl/verbs.h"

namespace zeroth {

std::string snapshots_text(const Json& result);
std::string snapshot_text(const Json& result);
std::string pin_text(const Json& result);
std::string diff_text(const Json& result);
std::string export_text(const Json& result);
std::string import_text(const Json& result);

// With --generation A and B are generations: the last kept snapshot of each is meant.
int run_diff(const Invocation& call);

}  // namespace zeroth
