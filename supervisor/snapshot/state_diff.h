#pragma once
// What differs between two states, by JSON pointer (RFC 6901). Blocks, some seconds for 100 MB: pool only.
//
// Both are read from their files through a window, side by side; neither is ever held as a whole. Members may stand in
// any order: only where the orders part is an index made of what is left of that object, 16 bytes a member and at most
// 64 MiB in all; beyond it the object counts as one value. Numbers are compared by value and strings by what they
// decode to, so spelling makes no difference. Objects that only wrap one text ({"f64":"<base64>"}, {"$bytes":"…"})
// count as one value, and so does what is nested deeper than 200.

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "common/result.h"
#include "supervisor/snapshot/diff_collector.h"
#include "supervisor/snapshot/json_scan.h"

namespace zeroth {

// Fails if one of them cannot be read or is no JSON, saying which and where. `except`: top-level members that are not
// looked at.
Result<StateDiff> diff_states(JsonScan& a, JsonScan& b, const std::set<std::string, std::less<>>& except = {});

// Whether two JSON numbers are the same: 1, 1.0 and 10e-1 are.
bool same_number(std::string_view a, std::string_view b);

}  // namespace zeroth
