#pragma once
// How zerothctl puts values on a terminal: escaped, aligned, coloured only where colour is wanted.

#include <span>
#include <string>
#include <string_view>

#include "common/json.h"

namespace zeroth {

enum class Colour { Plain, Bold, Red, Green, Yellow };
// Colour only if stdout is a terminal and NO_COLOR is not set.
std::string paint(std::string_view text, Colour colour);

// The member, null if there is none.
Json member_of(const Json& object, std::string_view name);

// One value on one line: control characters escaped, "-" for null.
std::string show(const Json& value);
std::string show(const Json& object, std::string_view member);

// "Iteration             18204"
std::string field(std::string_view label, std::string_view value);
// All members of an object, one a line.
std::string fields(const Json& object);

struct Column {
  std::string_view title;
  std::string_view member;  // of each row; "ms.total" looks one level deeper
};
std::string table(const Json& rows, std::span<const Column> columns);

// To stdout; false if that cannot be written.
bool print(std::string_view text);
// "zerothctl: <text>" to stderr.
void complain(std::string_view text);

}  // namespace zeroth
