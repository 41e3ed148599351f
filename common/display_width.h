#pragma once
// How many columns of a terminal a text takes. Knows the large ranges of wide and of combining characters, not every
// character: a guess that is wrong costs a column, nothing else.

#include <cstddef>
#include <string>
#include <string_view>

namespace zeroth {

// Of text without control characters (escape_control()); bytes that are no UTF-8 take a column each.
std::size_t display_width(std::string_view text);

// As much of the text's beginning as fits, whole characters only.
std::string_view cut_to_width(std::string_view text, std::size_t columns);

}  // namespace zeroth
