#pragma once
// Strict JSON text -> Json, for everything that comes from outside: messages, files of our own, options.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/result.h"

namespace zeroth {

struct JsonLimits {
  std::size_t depth = 64;        // nested containers, the outermost included
  std::size_t members = 10'000;  // members and elements in all containers together
  bool exempt_state = false;     // what lies under /result/state and /params/state counts for neither (twice the depth)
};

struct ParsedJson {
  Json value;
  std::string duplicate_key;  // the first member name that stood twice in one object (the last value wins), or ""
};

// Parses the whole of `text`. Refused: anything RFC 8259 refuses, invalid UTF-8, lone surrogates, integers outside
// int64, numbers outside double, more than the limits. The error says what and at which byte.
Result<ParsedJson> parse_json(std::string_view text, const JsonLimits& limits = {});

// The text of one value inside an object that parse_json() accepted: json_span(line, "result", "state") is the bytes of
// /result/state, or "" if it is not there. Lets a value pass through without being decoded and written again.
std::string_view json_span(std::string_view object, std::string_view key);
std::string_view json_span(std::string_view object, std::string_view key, std::string_view inner_key);

// The text of an accepted object without its members of this name (decoded); all else stays byte by byte. nullopt if
// there is none.
std::optional<std::string> json_without(std::string_view object, std::string_view key);

}  // namespace zeroth
