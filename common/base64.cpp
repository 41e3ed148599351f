#include "common/base64.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace zeroth {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint32_t kInvalid = 0xff000000;  // no three bytes reach these bits

// The two characters of every 12 bits, in the order they are written.
constexpr std::array<std::array<char, 2>, 4096> make_pairs() {
  std::array<std::array<char, 2>, 4096> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = {kAlphabet[i >> 6], kAlphabet[i & 63]};
  return table;
}
constexpr auto kPairs = make_pairs();

// For each of the four places, the bits a character gives to its group of three bytes, or kInvalid.
constexpr std::array<std::array<std::uint32_t, 256>, 4> make_reverse() {
  std::array<std::array<std::uint32_t, 256>, 4> table{};
  for (std::size_t place = 0; place < 4; ++place) {
    for (auto& entry : table[place]) entry = kInvalid;
    for (std::uint32_t i = 0; i < 64; ++i)
      table[place][static_cast<unsigned char>(kAlphabet[i])] = i << (18 - 6 * place);
  }
  return table;
}
constexpr auto kReverse = make_reverse();

std::size_t padding(std::string_view text) {
  if (text.size() >= 2 && text.substr(text.size() - 2) == "==") return 2;
  return !text.empty() && text.back() == '=' ? 1 : 0;
}

// For a group of four that holds one.
tl::unexpected<Error> bad_character(std::string_view text, std::size_t at) {
  while (kReverse[0][static_cast<unsigned char>(text[at])] != kInvalid) ++at;
  return fail("base64: bad character at offset " + std::to_string(at));
}

// The last group, which may be padded.
Status decode_last(std::string_view text, std::size_t at, char* out) {
  const std::size_t digits = 4 - padding(text), bytes = digits - 1;
  std::uint32_t group = 0;
  for (std::size_t i = 0; i < digits; ++i) group |= kReverse[i][static_cast<unsigned char>(text[at + i])];
  if (group >= kInvalid) return bad_character(text, at);
  if ((group & ((1U << (8 * (3 - bytes))) - 1)) != 0 && digits < 4) {
    return fail("base64: bits behind the last byte at offset " + std::to_string(at + bytes));
  }
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(group >> (16 - 8 * i));
  return {};
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
    std::memcpy(to, kPairs[group >> 12].data(), 2);
    std::memcpy(to + 2, kPairs[group & 4095].data(), 2);
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
  if (text.empty()) return {};
  const auto* from = reinterpret_cast<const unsigned char*>(text.data());
  const std::size_t last = text.size() - 4;
  for (std::size_t at = 0; at < last; at += 4, out += 3) {
    const std::uint32_t group =
        kReverse[0][from[at]] | kReverse[1][from[at + 1]] | kReverse[2][from[at + 2]] | kReverse[3][from[at + 3]];
    if (group >= kInvalid) return bad_character(text, at);
    out[0] = static_cast<char>(group >> 16);
    out[1] = static_cast<char>(group >> 8);
    out[2] = static_cast<char>(group);
  }
  return decode_last(text, last, out);
}

}  // namespace zeroth
