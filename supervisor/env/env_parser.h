#pragma once
// The text of an env file: all of its variables, or all that is wrong with it and where. Pure; called by EnvFiles.
//
//   # a comment, and blank lines
//   NAME=value            the rest of the line without the blanks around it, up to a blank and '#'
//   export NAME=value     the same
//   NAME = 'as it is'     nothing in it means anything, but the quote that ends it
//   NAME="two\nlines"     \n \r \t \" \\ \$ mean what they say; any other backslash is one
//
// A quoted value may go on over lines; a blank and a comment may follow it. Nothing is ever substituted: $HOME is five
// characters. Lines end in LF or CRLF, a mark (BOM) in front is passed over. Of two with one name the later counts.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/diagnostic.h"

namespace zeroth {

struct EnvEntry {
  std::string name;
  std::string value;
  std::uint32_t line = 0;  // from 1, of its name
};

// Largest file that is read, and the longest "NAME=value" that the kernel hands to a process.
inline constexpr std::size_t kMaxEnvFile = std::size_t(256) << 10;
inline constexpr std::size_t kMaxVariable = (std::size_t(128) << 10) - 1;

// The source lines of the diagnostics show stars for what may be a value.
tl::expected<std::vector<EnvEntry>, Diagnostics> parse_env(std::string_view text);

}  // namespace zeroth
