#pragma once
// The status of an HTTP/1 answer, of which nothing else is looked at. Pure; Probe feeds it what a server sends, which
// may be anything.

#include <optional>
#include <string_view>

#include "common/result.h"

namespace zeroth {

// More is not read of a status line, or of the headers of an interim answer (1xx).
inline constexpr std::size_t kMaxHttpHead = 16 * 1024;

// `received`: all that came so far. nullopt: not enough yet. Interim answers are passed over. An error: it is not HTTP.
Result<std::optional<int>> http_status(std::string_view received);

}  // namespace zeroth
