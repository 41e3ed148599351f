#pragma once
// What there is to measure, in the text format of Prometheus: the answer to `metrics`. Pure; made of `status`, so that
// both say the same.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "common/json.h"

namespace zeroth {

// `status`: as the command of that name answers. `memory`: resident bytes by process group; what is not there is not
// told. Numbers that workers report with their beats are named zeroth_beat_<name>, whatever they call them.
std::string render_metrics(const Json& status, const std::map<pid_t, std::uint64_t>& memory);

}  // namespace zeroth
