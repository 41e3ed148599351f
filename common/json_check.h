#pragma once
// Whether bytes are one JSON text in UTF-8: fed in pieces, keeps one bit for each open bracket and nothing else, and is
// as fast as a disk. What a worker wrote itself is checked with it before it may become a snapshot.

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace zeroth {

class JsonCheck {
 public:
  // False: not JSON, whatever follows.
  bool feed(std::string_view bytes);
  // Nothing follows. The error says at which byte it ceased to be JSON.
  Status finish();

 private:
  enum class State : std::uint8_t {
    Value,         // a value begins here
    FirstElement,  // or the array ends
    FirstName,     // or the object ends
    Name,
    Colon,
    Next,    // after a value: a comma or the end of what is open
    String,  // of a value or a name
    Escape,
    Hex,    // of \uXXXX, left_ digits; also of half a pair, as JSON's grammar has it
    Word,   // true, false or null
    Minus,  // of a number, and so on below: what was read last
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    End,  // the value is whole
    Bad,
  };

  const char* in_string(const char* at, const char* end);
  bool in_number(unsigned char c);
  State begin_value(unsigned char c);
  State begin(unsigned char c);
  State escape(unsigned char c);
  State hex(unsigned char c);
  State structure(unsigned char c);
  State close(bool object);
  State after_value() const { return open_.empty() ? State::End : State::Next; }

  State state_ = State::Value;
  std::vector<bool> open_;    // true: an object
  bool name_ = false;         // the string at hand is one
  std::string_view word_;     // what is left of it
  int left_ = 0;              // hex digits
  int more_ = 0;              // bytes of the character at hand
  unsigned char low_ = 0x80;  // range of the next one
  unsigned char top_ = 0xbf;
  std::uint64_t at_ = 0;
};

// `length` bytes from `begin` of an open file. Blocks.
Status check_json(int fd, std::uint64_t begin, std::uint64_t length);

}  // namespace zeroth
