#pragma once
// What is wrong with a program, and how a person or a machine is told. Made by the parser and load_program, rendered by
// everything that reports a file; pure: text in, text out.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"

namespace zeroth {

struct Diagnostic {
  std::uint32_t line = 0;   // from 1; 0 if the whole file is meant, and then the fields about the place mean nothing
  std::size_t column = 0;   // from 1, in characters
  std::size_t length = 0;   // in characters, at least 1
  std::string message;      // one line, fit for a terminal
  std::string help;         // the same, or empty
  std::string source_line;  // the line as it may be shown: one visible character for each of its own, clipped if long
  std::size_t source_column = 0;  // where the place begins in source_line, from 1; differs from `column` if clipped
};

using Diagnostics = std::vector<Diagnostic>;

// A diagnostic for `place`, a view into `source` on its line number `line`; message and help are the caller's to fill
// in. The text of the line in front of `place` must be valid UTF-8. Costs one pass over that line.
Diagnostic diagnostic_at(std::string_view source, std::uint32_t line, std::string_view place);

// A diagnostic about a file as a whole.
Diagnostic diagnostic_of_file(std::string message);

// `text` in single quotes, fit for a message: clipped if long, control characters escaped.
std::string in_quotes(std::string_view text);

// file:line:col: error: message, the source line, a caret line, and the help; each line ends in a line feed.
std::string render_text(std::string_view file, std::span<const Diagnostic> diagnostics);

// A JSON array of {file, line, column, length, severity, message, help, source, source_column}; the last two
// are the source line as it may be shown, and where the place begins in it.
Json to_json(std::string_view file, std::span<const Diagnostic> diagnostics);
// The same as one line.
std::string render_json(std::string_view file, std::span<const Diagnostic> diagnostics);

// The text form of such an array, however it came: what is missing or of another type is shown as nothing.
std::string render_reported(const Json& diagnostics);

}  // namespace zeroth
