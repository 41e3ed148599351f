#pragma once
// Which defaults an edit changed that the living state goes on to override: `speed: code 5 → 10, live 5 kept`. Pure.

#include <string_view>

#include "common/json.h"

namespace zeroth {

// `before` and `after`: what the old and the new code announced as `initial`; `state`: text of the living state, ""
// if it is not at hand. A list of {key, from, to, live}; values are JSON text, null where they are too long to tell.
Json changed_defaults(const Json& before, const Json& after, std::string_view state);

}  // namespace zeroth
