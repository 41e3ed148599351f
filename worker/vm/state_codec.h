#pragma once
// The state document, schema "zeroth-vm/1": what a snapshot's `state` holds and `--state-out` writes. Encoding what was
// decoded gives the same bytes.

#include <span>
#include <string>
#include <string_view>

#include "common/result.h"
#include "worker/vm/json_writer.h"
#include "worker/vm/state.h"

namespace zeroth {

inline constexpr std::string_view kStateSchema = "zeroth-vm/1";

// Hands the document to `sink` in pieces of about 64 KiB; the first error of the sink.
Status encode_state(const State& state, const Sink& sink);
std::string encode_state(const State& state);

// Refuses what no document of ours holds, with a JSON pointer to it: wrong types, missing or repeated members, lengths
// that do not agree, numbers that are not finite or (divergences) above 1e290, repeated names, ids out of order.
// Members it does not know are ignored. `known` may be a program's names: the same list again is not searched for
// repeated ones.
Result<State> decode_state(std::string_view document, std::span<const std::string> known = {});

}  // namespace zeroth
