#include "common/json_check.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostOpen = 1'000'000;  // brackets; no reader takes as many
constexpr std::size_t kPiece = 256 * 1024;    // fits in the L2 cache

// Bytes of a string that stand for themselves.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<std::size_t>(c)] = c != '"' && c != '\\';
  return plain;
}();

constexpr bool is_blank(unsigned char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
constexpr bool is_digit(unsigned char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

bool JsonCheck::feed(std::string_view bytes) {
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (at != end && state_ != State::Bad) {
    if (state_ == State::String) {
      at = in_string(at, end);
      continue;
    }
    if (state_ == State::Whole || state_ == State::Fraction) {
      at = std::find_if_not(at, end, [](char c) { return is_digit(static_cast<unsigned char>(c)); });
      if (at == end) break;
    }
    const auto c = static_cast<unsigned char>(*at);
    // A number ends with the byte behind it, which is looked at once more.
    if (state_ >= State::Minus && state_ <= State::ExponentDigits && !in_number(c)) continue;
    if (state_ < State::Minus || state_ > State::ExponentDigits) state_ = begin(c);
    if (state_ != State::Bad) ++at;
  }
  at_ += static_cast<std::uint64_t>(at - bytes.data());
  return state_ != State::Bad;
}

Status JsonCheck::finish() {
  const bool number =
      state_ == State::Zero || state_ == State::Whole || state_ == State::Fraction || state_ == State::ExponentDigits;
  if (state_ == State::End || (number && open_.empty())) return {};
  const std::string where = "not JSON at byte " + std::to_string(at_);
  return fail(where + (state_ == State::Bad ? "" : ": it ends there"), EBADMSG);
}

// Up to the byte behind the string, or the first that does not stand for itself.
const char* JsonCheck::in_string(const char* at, const char* end) {
  while (at != end) {
    if (more_ == 0) at = std::find_if_not(at, end, [](char c) { return kPlain[static_cast<unsigned char>(c)]; });
    if (at == end) return at;
    const auto c = static_cast<unsigned char>(*at);
    if (more_ > 0) {
      if (c < low_ || c > top_) break;
      low_ = 0x80;
      top_ = 0xbf;
      --more_;
    } else if (!kPlain[c]) {
      if (c == '\\') {
        state_ = State::Escape;
        return at + 1;
      }
      if (c == '"') {
        state_ = name_ ? State::Colon : after_value();
        return at + 1;
      }
      if (c < 0xc2 || c > 0xf4) break;
      more_ = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
      if (c == 0xe0) low_ = 0xa0;  // not longer than needed
      if (c == 0xf0) low_ = 0x90;
      if (c == 0xed) top_ = 0x9f;  // no half of a pair
      if (c == 0xf4) top_ = 0x8f;  // nothing beyond U+10FFFF
    }
    ++at;
  }
  if (at != end) state_ = State::Bad;
  return at;
}

// False: the number is over (or broken), and state_ says what the byte is to be taken for.
bool JsonCheck::in_number(unsigned char c) {
  const State before = state_;
  const bool exponent = c == 'e' || c == 'E';
  switch (before) {
    case State::Minus:
      state_ = c == '0' ? State::Zero : is_digit(c) ? State::Whole : State::Bad;
      return state_ != State::Bad;
    case State::Point:
      state_ = is_digit(c) ? State::Fraction : State::Bad;
      return state_ != State::Bad;
    case State::Exponent:
      state_ = is_digit(c) ? State::ExponentDigits : c == '+' || c == '-' ? State::ExponentSign : State::Bad;
      return state_ != State::Bad;
    case State::ExponentSign:
      state_ = is_digit(c) ? State::ExponentDigits : State::Bad;
      return state_ != State::Bad;
    default:
      break;
  }
  if (is_digit(c) && before != State::Zero) return true;
  if (c == '.' && (before == State::Zero || before == State::Whole)) {
    state_ = State::Point;
    return true;
  }
  if (exponent && before != State::ExponentDigits) {
    state_ = State::Exponent;
    return true;
  }
  state_ = after_value();
  return false;
}

JsonCheck::State JsonCheck::begin(unsigned char c) {
  switch (state_) {
    case State::Escape:
      return escape(c);
    case State::Hex:
      return hex(c);
    case State::Word:
      if (word_.empty() || static_cast<unsigned char>(word_.front()) != c) return State::Bad;
      word_.remove_prefix(1);
      return word_.empty() ? after_value() : State::Word;
    default:
      return is_blank(c) ? state_ : structure(c);
  }
}

JsonCheck::State JsonCheck::structure(unsigned char c) {
  switch (state_) {
    case State::FirstElement:
      return c == ']' ? close(false) : begin_value(c);
    case State::Value:
      return begin_value(c);
    case State::FirstName:
      if (c == '}') return close(true);
      [[fallthrough]];
    case State::Name:
      name_ = true;
      return c == '"' ? State::String : State::Bad;
    case State::Colon:
      return c == ':' ? State::Value : State::Bad;
    case State::Next:
      if (c == ',') return open_.back() ? State::Name : State::Value;
      return c == '}' ? close(true) : c == ']' ? close(false) : State::Bad;
    default:
      return State::Bad;  // something follows the value
  }
}

JsonCheck::State JsonCheck::begin_value(unsigned char c) {
  switch (c) {
    case '{':
    case '[':
      if (open_.size() == kMostOpen) return State::Bad;
      open_.push_back(c == '{');
      return c == '{' ? State::FirstName : State::FirstElement;
    case '"':
      name_ = false;
      return State::String;
    case 't':
      word_ = "rue";
      return State::Word;
    case 'f':
      word_ = "alse";
      return State::Word;
    case 'n':
      word_ = "ull";
      return State::Word;
    case '-':
      return State::Minus;
    case '0':
      return State::Zero;
    default:
      return is_digit(c) ? State::Whole : State::Bad;
  }
}

JsonCheck::State JsonCheck::close(bool object) {
  if (open_.empty() || open_.back() != object) return State::Bad;
  open_.pop_back();
  return after_value();
}

JsonCheck::State JsonCheck::escape(unsigned char c) {
  left_ = 4;
  if (c == 'u') return State::Hex;
  return std::string_view("\"\\/bfnrt").find(static_cast<char>(c)) != std::string_view::npos ? State::String
                                                                                             : State::Bad;
}

JsonCheck::State JsonCheck::hex(unsigned char c) {
  const unsigned char letter = c | 0x20;
  if (!is_digit(c) && (letter < 'a' || letter > 'f')) return State::Bad;
  return --left_ > 0 ? State::Hex : State::String;
}

Status check_json(int fd, std::uint64_t begin, std::uint64_t length) {
  const auto buffer = std::make_unique<char[]>(kPiece);
  JsonCheck check;
  for (std::uint64_t done = 0; done < length;) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, length - done));
    auto got = read_at(fd, buffer.get(), wanted, begin + done);
    if (!got) return fail(std::move(got.error()));
    if (*got != wanted) return fail("the file shrank while it was read", EIO);
    if (!check.feed({buffer.get(), wanted})) break;
    done += wanted;
  }
  return check.finish();
}

}  // namespace zeroth
