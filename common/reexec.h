#pragma once
// How a worker becomes the next generation without a new process, once it was sent `reexec`. Used by every worker of
// ours that announces it.

#include <string>
#include <vector>

#include "common/result.h"
#include "common/worker_protocol.h"

namespace zeroth {

// Executes argv[0] in place of this process, with this environment but for what the order changes, and with the channel
// open. Returns only if that cannot be; nothing is changed then.
Error exec_again(const std::vector<std::string>& argv, const ReexecOrder& order, int channel);

}  // namespace zeroth
