#pragma once
// zerothctl status and list: the verbs that have something to say also where nothing answers.

#include <string>
#include <vector>

#include "supervisor/ctl/discovery.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_status(const Invocation& call);
int run_list(const Invocation& call);

// What `status` answers with --json for an instance that does not run; of several, for the one that most needs a look.
Json absent_status(const Probe& one);
Json absent_status(const std::vector<Probe>& probes);

// "  greeting  pid 4242  greeting.zero"
std::string list_line(const Probe& probe);

}  // namespace zeroth
