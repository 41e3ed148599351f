#include "worker/language/lexer.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "common/diagnostic.h"
#include "common/text.h"
#include "common/unicode.h"

namespace zeroth {
namespace {

constexpr std::size_t kLongestName = 65'535;  // bytes: a .z file counts them with 16 bits

enum class Class : std::uint8_t { Other, Letter, Digit, Point, Sign, Space, Hash, NonAscii };

constexpr std::array<Class, 256> make_classes() {
  std::array<Class, 256> classes{};
  for (std::size_t c = 'a'; c <= 'z'; ++c) classes[c] = classes[c - 'a' + 'A'] = Class::Letter;
  for (std::size_t c = '0'; c <= '9'; ++c) classes[c] = Class::Digit;
  for (std::size_t c = 0x80; c <= 0xff; ++c) classes[c] = Class::NonAscii;
  classes['_'] = Class::Letter;
  classes['.'] = Class::Point;
  classes['+'] = classes['-'] = Class::Sign;
  classes[' '] = classes['\t'] = Class::Space;
  classes['#'] = Class::Hash;
  return classes;
}
constexpr std::array<Class, 256> kClasses = make_classes();

Class class_of(char c) {
  return kClasses[static_cast<unsigned char>(c)];
}

std::string_view view(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// Whether a token may end in front of `at`.
bool is_boundary(const char* at, const char* end) {
  return at == end || class_of(*at) == Class::Space || class_of(*at) == Class::Hash;
}

const char* skip_digits(const char* at, const char* end) {
  while (at != end && class_of(*at) == Class::Digit) ++at;
  return at;
}

// Behind the longest NUMBER that begins at `at`, or `at` if none does. An exponent that is not complete is left out.
const char* skip_number(const char* begin, const char* end) {
  const char* at = begin;
  if (at != end && class_of(*at) == Class::Sign) ++at;
  const char* const whole = at;
  at = skip_digits(at, end);
  bool has_digits = at != whole;
  if (at != end && *at == '.') {
    const char* const fraction = ++at;
    at = skip_digits(at, end);
    has_digits = has_digits || at != fraction;
  }
  if (!has_digits) return begin;
  if (at == end || (*at != 'e' && *at != 'E')) return at;
  const char* exponent = at + 1;
  if (exponent != end && class_of(*exponent) == Class::Sign) ++exponent;
  const char* const after = skip_digits(exponent, end);
  return after == exponent ? at : after;
}

std::string name_of_character(std::string_view text) {
  const char32_t code = decode_utf8(text, 0).code;
  if (code > 0x20 && code < 0x7f) return in_quotes(text);
  char name[16];
  std::snprintf(name, sizeof name, "U+%04X", static_cast<unsigned>(code));
  return name;
}

}  // namespace

Lexer::Lexer(std::string_view source)
    : next_line_(source.data()),
      source_end_(source.data() + source.size()),
      line_end_(source.data()),
      at_(source.data()) {}

bool Lexer::next_line() {
  if (next_line_ == source_end_) return false;
  at_ = next_line_;
  const auto* feed = static_cast<const char*>(std::memchr(at_, '\n', static_cast<std::size_t>(source_end_ - at_)));
  line_end_ = feed != nullptr ? feed : source_end_;
  next_line_ = feed != nullptr ? feed + 1 : source_end_;
  if (feed != nullptr && feed != at_ && feed[-1] == '\r') --line_end_;
  ++line_;
  return true;
}

Token Lexer::next() {
  const char* begin = at_;
  while (begin != line_end_ && class_of(*begin) == Class::Space) ++begin;
  if (begin == line_end_) return end_of_line();
  switch (class_of(*begin)) {
    case Class::Letter:
    case Class::NonAscii:
      return word(begin);
    case Class::Digit:
    case Class::Point:
    case Class::Sign:
      return number(begin);
    case Class::Hash:
      return comment(begin);
    case Class::Space:
    case Class::Other:
      break;
  }
  return wrong_character(begin);
}

Token Lexer::word(const char* begin) {
  const char* at = begin;
  for (;;) {
    while (at != line_end_ && (class_of(*at) == Class::Letter || class_of(*at) == Class::Digit)) ++at;
    if (at == line_end_ || class_of(*at) != Class::NonAscii) break;
    const Utf8Char c = decode_utf8(view(at, line_end_), 0);
    if (c.size == 0 || is_invisible(c.code)) break;
    at += c.size;
  }
  if (!is_boundary(at, line_end_)) return wrong_character(at);
  at_ = at;
  const std::string_view text = view(begin, at);
  return {text.size() > kLongestName ? TokenKind::NameTooLong : TokenKind::Word, text};
}

Token Lexer::number(const char* begin) {
  const char* at = skip_number(begin, line_end_);
  const bool well_formed = at != begin && is_boundary(at, line_end_);
  while (at != line_end_ && class_of(*at) >= Class::Letter && class_of(*at) <= Class::Sign) ++at;
  if (!is_boundary(at, line_end_)) return wrong_character(at);
  at_ = at;
  return {well_formed ? TokenKind::Number : TokenKind::MalformedNumber, view(begin, at)};
}

// A comment ends the line but is still UTF-8 without NUL and stray CR; the first of these that is found is the token.
Token Lexer::comment(const char* begin) {
  const std::string_view text = view(begin, line_end_);
  const std::size_t wrong = std::min({text.find('\0'), text.find('\r'), find_invalid_utf8(text)});
  return wrong == std::string_view::npos ? end_of_line() : wrong_character(begin + wrong);
}

Token Lexer::wrong_character(const char* at) const {
  const Utf8Char c = decode_utf8(view(at, line_end_), 0);
  const TokenKind kind = c.size == 0      ? TokenKind::InvalidUtf8
                         : c.code == 0    ? TokenKind::Nul
                         : c.code == '\r' ? TokenKind::BadCarriageReturn
                                          : TokenKind::BadCharacter;
  return {kind, view(at, at + std::max<std::size_t>(c.size, 1))};
}

Token Lexer::end_of_line() const {
  return {TokenKind::EndOfLine, view(at_, at_)};
}

Description describe_wrong(const Token& token) {
  switch (token.kind) {
    case TokenKind::NameTooLong:
      return {"a name of more than 65,535 bytes", ""};
    case TokenKind::BadCharacter:
      return {"character " + name_of_character(token.text) + " is not allowed here",
              "names are made of letters, digits, '_' and visible non-ASCII characters"};
    case TokenKind::BadCarriageReturn:
      return {"carriage return without a line feed", "a line ends in LF or CR LF"};
    case TokenKind::Nul:
      return {"NUL byte", "a program is a UTF-8 text"};
    case TokenKind::InvalidUtf8: {
      char byte[8];
      std::snprintf(byte, sizeof byte, "0x%02x", static_cast<unsigned char>(token.text[0]));
      return {"byte " + std::string(byte) + " is not valid UTF-8", "a program is a UTF-8 text"};
    }
    case TokenKind::EndOfLine:
    case TokenKind::Word:
    case TokenKind::Number:
    case TokenKind::MalformedNumber:
      break;
  }
  return {};
}

}  // namespace zeroth
