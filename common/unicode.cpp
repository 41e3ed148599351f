#include "common/unicode.h"

#include <algorithm>
#include <iterator>

namespace zeroth {
namespace {

struct Range {
  char32_t first, last;
};

constexpr Range kInvisible[] = {
    {0x0000, 0x0020},   {0x007f, 0x00a0},   {0x00ad, 0x00ad},   {0x0600, 0x0605},   {0x061c, 0x061c},
    {0x06dd, 0x06dd},   {0x070f, 0x070f},   {0x0890, 0x0891},   {0x08e2, 0x08e2},   {0x1680, 0x1680},
    {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x2064},   {0x2066, 0x206f},
    {0x3000, 0x3000},   {0xfeff, 0xfeff},   {0xfff9, 0xfffb},   {0x110bd, 0x110bd}, {0x110cd, 0x110cd},
    {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0001, 0xe0001}, {0xe0020, 0xe007f},
};

}  // namespace

bool is_invisible(char32_t code) {
  const auto range = std::lower_bound(std::begin(kInvisible), std::end(kInvisible), code,
                                      [](const Range& r, char32_t c) { return r.last < c; });
  return range != std::end(kInvisible) && range->first <= code;
}

}  // namespace zeroth
