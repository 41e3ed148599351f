#include "common/base64.h"

#include <array>
#include <cstdint>

namespace zeroth {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kInvalid = 0xff;

constexpr std::array<std::uint8_t, 256> make_reverse() {
  std::array<std::uint8_t, 256> table{};
  for (auto& entry : table) entry = kInvalid;
  for (std::uint8_t i = 0; i < 64; ++i) table[static_cast<unsigned char>(kAlphabet[i])] = i;
  return table;
}
constexpr auto kReverse = make_reverse();

std::size_t padding(std::string_view text) {
  if (text.size() >= 2 && text.substr(text.size() - 2) == "==") return 2;
  return !text.empty() && text.back() == '=' ? 1 : 0;
}

}  // namespace

void base64_append(std::string& out, std::string_view bytes) {
  const std::size_t start = out.size();
  out.resize(start + (bytes.size() + 2) / 3 * 4);
  char* to = out.data() + start;
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 3; left -= 3, from += 3, to += 4) {
    const std::uint32_t group =
        static_cast<std::uint32_t>(from[0]) << 16 | static_cast<std::uint32_t>(from[1]) << 8 | from[2];
    to[0] = kAlphabet[group >> 18];
    to[1] = kAlphabet[group >> 12 & 63];
    to[2] = kAlphabet[group >> 6 & 63];
    to[3] = kAlphabet[group & 63];
  }
  if (left == 0) return;
  const std::uint32_t group =
      static_cast<std::uint32_t>(from[0]) << 16 | (left == 2 ? static_cast<std::uint32_t>(from[1]) << 8 : 0);
  to[0] = kAlphabet[group >> 18];
  to[1] = kAlphabet[group >> 12 & 63];
  to[2] = left == 2 ? kAlphabet[group >> 6 & 63] : '=';
  to[3] = '=';
}

std::size_t base64_decoded_size(std::string_view text) {
  return text.size() / 4 * 3 - (text.size() < 4 ? 0 : padding(text));
}

Status base64_decode(std::string_view text, char* out) {
  if (text.size() % 4 != 0) return fail("base64: length " + std::to_string(text.size()) + " is no multiple of 4");
  const std::size_t pad = padding(text);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const std::size_t digits = at + 4 == text.size() ? 4 - pad : 4;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint8_t value = i < digits ? kReverse[static_cast<unsigned char>(text[at + i])] : 0;
      if (value == kInvalid) return fail("base64: bad character at offset " + std::to_string(at + i));
      group = group << 6 | value;
    }
    const std::size_t bytes = digits - 1;
    if (digits < 4 && (group & ((1U << (8 * (3 - bytes))) - 1)) != 0) {
      return fail("base64: bits behind the last byte at offset " + std::to_string(at + bytes));
    }
    for (std::size_t i = 0; i < bytes; ++i) *out++ = static_cast<char>(group >> (16 - 8 * i));
  }
  return {};
}

}  // namespace zeroth
