#pragma once
// zerothctl state: a part of the living state as the newest snapshot has it, for any worker; for one that announces a
// command of that name, that command.

#include <string>
#include <string_view>

#include "common/result.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {

// The part of `state` that an RFC 6901 pointer names ("" is all of it); lives as long as `state`. Fails with the first
// part that is not there, and the nearest that is.
Result<const Json*> find_part(const Json& state, std::string_view pointer);

// The value as JSON for people: indented, control characters escaped.
std::string state_text(const Json& value);

int run_state(const Invocation& call);

}  // namespace zeroth
