#pragma once
// A JSON text inside a file, read forwards through a window of 64 KiB: a text of any size costs the same memory. Checks
// what it passes (but for UTF-8), so a damaged text ends in an error and never in more. Blocks: pool only.

#include <cstdint>
#include <string>

#include "common/result.h"

namespace zeroth {

class JsonScan {
 public:
  // `length` bytes from `begin` of a file that stays open and outlives this.
  JsonScan(int fd, std::uint64_t begin, std::uint64_t length);

  // Offset in the text; seek anywhere a value or name begins.
  std::uint64_t at() const { return at_; }
  void seek(std::uint64_t at) { at_ = at; }
  // The first byte behind white space; -1 at the end of the text or after a failure.
  int peek();

  // Passes one value of any kind. False: failed, see error(); so for all below.
  bool skip_value();
  // Nothing but white space follows.
  bool at_end();

  // Behind the opening bracket of an array (']') or object ('}'): true at an element, or with its name read and passed;
  // false where the closing one was passed, or failed.
  void enter();
  bool next_element(bool first);
  bool next_member(bool first, std::string& name);
  // The name of a member and the colon, from its quotation mark.
  bool take_name(std::string& name);

  // A string byte by byte, its escapes decoded to UTF-8: begin_string, then string_byte until it is -1 at its end (or
  // failed). skip_rest passes what is left of it.
  bool begin_string();
  int string_byte();
  bool skip_rest();
  // A number, true, false or null as it is written, at most 1,024 characters.
  bool take_word(std::string& word);

  // Bytes as they stand, from any place.
  Result<std::string> raw(std::uint64_t at, std::size_t size) const;

  bool failed() const { return !status_; }
  // With the offset: "not JSON at byte 17: …".
  const Error& error() const { return status_.error(); }
  bool fail_here(const std::string& why);

 private:
  int here();
  bool refill();
  bool pass(char c);
  int hex4();
  int escape();
  int put_utf8(std::uint32_t code);

  const int fd_;
  const std::uint64_t begin_, length_;
  std::uint64_t at_ = 0;
  std::string window_;
  std::uint64_t window_at_ = 0;
  std::size_t filled_ = 0;
  char pending_[4] = {};  // bytes of an escape behind its first
  int pending_count_ = 0;
  Status status_;
};

}  // namespace zeroth
