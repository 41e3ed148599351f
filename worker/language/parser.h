#pragma once
// Zero source to Program. The one place that knows the statements and the rules between them; called by load_program.

#include <cstddef>
#include <string_view>
#include <tl/expected.hpp>

#include "common/diagnostic.h"
#include "worker/language/program.h"

namespace zeroth {

// More errors than this tell nobody anything; the first ones of the file are reported.
inline constexpr std::size_t kReportedErrors = 20;

using ParseResult = tl::expected<Program, Diagnostics>;

// The program in `source` (a whole file, at most 2 GiB), or its first errors in order of position, at least one.
ParseResult parse(std::string_view source);

}  // namespace zeroth
