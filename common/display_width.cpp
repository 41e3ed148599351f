#include "common/display_width.h"

#include <algorithm>
#include <iterator>

#include "common/text.h"

namespace zeroth {
namespace {

struct ColumnRange {
  char32_t first, last;
};
constexpr ColumnRange kWide[] = {{0x1100, 0x115f},   {0x2e80, 0xa4cf},   {0xac00, 0xd7a3},  {0xf900, 0xfaff},
                                 {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                                 {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
constexpr ColumnRange kCombining[] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}};

template <std::size_t Size>
bool is_in(const ColumnRange (&ranges)[Size], char32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const ColumnRange& range) { return code >= range.first && code <= range.last; });
}

std::size_t columns_of(char32_t code) {
  if (code < 0x300) return 1;
  return is_in(kWide, code) ? 2 : is_in(kCombining, code) ? 0 : 1;
}

}  // namespace

std::string_view cut_to_width(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Char c = decode_utf8(text, at);
    const std::size_t needed = c.size == 0 ? 1 : columns_of(c.code);
    if (needed > columns) break;
    columns -= needed;
    at += std::max<std::size_t>(c.size, 1);
  }
  return text.substr(0, at);
}

std::size_t display_width(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    columns += c.size == 0 ? 1 : columns_of(c.code);
    at += std::max<std::size_t>(c.size, 1);
  }
  return columns;
}

}  // namespace zeroth
