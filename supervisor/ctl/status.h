#pragma once
// zerothctl status and list: the verbs that have something to say also where nothing answers.

#include <string>

#include "supervisor/ctl/discovery.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_status(const Invocation& call);
int run_list(const Invocation& call);

// "  greeting  pid 4242  greeting.zero"
std::string list_line(const Probe& probe);

}  // namespace zeroth
