#pragma once
// status --watch and observe --watch: the same answer again and again, redrawn in place on a terminal, one JSON line
// each in a pipe or with --json.

#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_observe(const Invocation& call);
int run_status_watch(const Invocation& call);

// A line of `columns` characters at most that shows the newest values from the least to the largest; blocks in a UTF-8
// locale, else ASCII.
std::string sparkline(const std::vector<double>& values, std::size_t columns, bool utf8);

}  // namespace zeroth
