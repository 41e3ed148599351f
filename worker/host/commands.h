#pragma once
// The commands a Zero worker answers: JSON params in, JSON result out, one table. Announced in `loaded`, reached
// through the supervisor's `call`.

#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/message.h"
#include "common/worker_protocol.h"
#include "worker/vm/vm.h"

namespace zeroth {

// Name, help and params of every command.
std::vector<CommandInfo> zero_commands();

// Runs one command between two iterations. `timestamp`: wall clock in seconds, kept in observations.
tl::expected<Json, Refusal> run_zero_command(Vm& vm, std::string_view command, const Json& params, double timestamp);

}  // namespace zeroth
