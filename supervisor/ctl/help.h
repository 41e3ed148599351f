#pragma once
// zerothctl help: made from the table of verbs, and from what the running worker announces.

#include <string>

#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_help(const Invocation& call);

// "observe [TARGET] [--passive] [--limit N]"
std::string usage_of(const Verb& verb);

}  // namespace zeroth
