#pragma once
// zerothctl completion bash|zsh|fish: scripts made from the table of verbs.

#include "supervisor/ctl/verbs.h"

namespace zeroth {

int run_completion(const Invocation& call);

}  // namespace zeroth
