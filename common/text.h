#pragma once
// Small text questions that several rooms ask: is this UTF-8, which known word was meant, how to show hostile bytes.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace zeroth {

// One decoded character of UTF-8 text; `size` 0 means the bytes are not valid UTF-8 there (RFC 3629: no overlong forms,
// no surrogates, at most U+10FFFF).
struct Utf8Char {
  char32_t code = 0;
  std::size_t size = 0;
};
Utf8Char decode_utf8(std::string_view text, std::size_t offset);

// Offset of the first byte that is not valid UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text);

// `text` fit for a terminal or a log line: invalid UTF-8 becomes U+FFFD; control characters (also C1, and line feeds)
// become \n, \t, \x1b and the like.
std::string escape_control(std::string_view text);

// The candidate nearest to `word` by Damerau-Levenshtein distance (characters as bytes, case ignored), or "" if none is
// near enough to be what was meant (distance at most a third of the longer length, rounded, at least 1).
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// 18204 -> "18,204".
std::string with_thousands(std::uint64_t number);

// Bytes for people, in units of 1,024: "900 bytes", "1.5 GB", "512 MB".
std::string human_size(std::uint64_t bytes);

// Names of workers and sockets: ^[A-Za-z0-9_.-]{1,64}$, and neither "." nor "..".
inline constexpr std::size_t kMaxName = 64;
bool is_name_char(char c);
bool is_valid_name(std::string_view name);

}  // namespace zeroth
