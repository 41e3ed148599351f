#include "supervisor/snapshot/json_scan.h"

#include <algorithm>
#include <cctype>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr std::size_t kWindow = 64 * 1024;
constexpr std::size_t kJump = 4096;      // read first after a seek: what follows may be another one
constexpr std::size_t kDeepest = 1'000;  // nested containers
constexpr std::size_t kLongestName = 1 << 20;
constexpr std::size_t kLongestWord = 1'024;  // of a number

bool is_space(int c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// As RFC 8259 writes numbers.
bool is_number(std::string_view text) {
  std::size_t at = text.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const std::size_t from = at;
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) ++at;
    return at - from;
  };
  const bool zero = at < text.size() && text[at] == '0';
  const std::size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

JsonScan::JsonScan(int fd, std::uint64_t begin, std::uint64_t length)
    : fd_(fd), begin_(begin), length_(length), window_(kWindow, '\0') {}

bool JsonScan::fail_here(const std::string& why) {
  if (status_) status_ = fail("not JSON at byte " + std::to_string(at_) + ": " + why);
  return false;
}

int JsonScan::here() {
  if (at_ - window_at_ >= filled_ && !refill()) return -1;
  return static_cast<unsigned char>(window_[static_cast<std::size_t>(at_ - window_at_)]);
}

bool JsonScan::refill() {
  if (!status_ || at_ >= length_) return false;
  const std::size_t most = at_ == window_at_ + filled_ ? kWindow : kJump;
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(most, length_ - at_));
  auto got = read_at(fd_, window_.data(), wanted, begin_ + at_);
  if (got && *got != wanted) got = fail("the file shrank while it was read");
  if (!got) {
    status_ = fail(std::move(got.error()));
    return false;
  }
  window_at_ = at_;
  filled_ = *got;
  return true;
}

Result<std::string> JsonScan::raw(std::uint64_t at, std::size_t size) const {
  std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(size, length_ - std::min(at, length_))), '\0');
  auto got = read_at(fd_, text.data(), text.size(), begin_ + at);
  if (!got) return fail(std::move(got.error()));
  text.resize(*got);
  return text;
}

int JsonScan::peek() {
  int c = here();
  while (is_space(c)) {
    ++at_;
    c = here();
  }
  return c;
}

bool JsonScan::at_end() {
  return peek() == -1 ? !failed() : fail_here("something follows the value");
}

bool JsonScan::pass(char c) {
  if (peek() != c) return fail_here(std::string("expected '") + c + "'");
  ++at_;
  return true;
}

bool JsonScan::take_word(std::string& word) {
  word.clear();
  peek();
  const std::uint64_t from = at_;
  for (int c = here(); c != -1 && (std::isalnum(c) != 0 || c == '-' || c == '+' || c == '.'); c = here()) {
    if (word.size() == kLongestWord) return fail_here("a number of more than 1,024 characters");
    word.push_back(static_cast<char>(c));
    ++at_;
  }
  if (word == "true" || word == "false" || word == "null" || is_number(word)) return true;
  at_ = from;
  return fail_here("expected a value");
}

bool JsonScan::begin_string() {
  pending_count_ = 0;
  return pass('"');
}

int JsonScan::string_byte() {
  if (pending_count_ > 0) return static_cast<unsigned char>(pending_[--pending_count_]);
  const int c = here();
  if (c == -1 || c < 0x20) {
    fail_here("a string without end");
    return -1;
  }
  ++at_;
  if (c == '"') return -1;
  return c == '\\' ? escape() : c;
}

bool JsonScan::skip_rest() {
  while (string_byte() != -1) {
  }
  return !failed();
}

int JsonScan::escape() {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
  const int c = here();
  ++at_;
  if (const std::size_t found = kNames.find(static_cast<char>(c)); c > 0 && found != std::string_view::npos)
    return static_cast<unsigned char>(kBytes[found]);
  int code = c == 'u' ? hex4() : -1;
  if (code >= 0xd800 && code < 0xdc00) {
    const bool paired = here() == '\\' && (++at_, here() == 'u');
    if (paired) ++at_;
    const int low = paired ? hex4() : -1;
    code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00) : -1;
  } else if (code >= 0xdc00 && code < 0xe000) {
    code = -1;
  }
  if (code >= 0) return put_utf8(static_cast<std::uint32_t>(code));
  fail_here("an escape that is none");
  return -1;
}

int JsonScan::hex4() {
  int value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const int c = here();
    if (c == -1 || std::isxdigit(c) == 0) return -1;
    value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

// The first byte; the others are pending, last one first.
int JsonScan::put_utf8(std::uint32_t code) {
  if (code < 0x80) return static_cast<int>(code);
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  for (int i = 0; i < more; ++i) {
    pending_[pending_count_++] = static_cast<char>(0x80 | (code & 0x3f));
    code >>= 6;
  }
  constexpr std::uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  return static_cast<int>(kLead[more] | code);
}

bool JsonScan::take_name(std::string& name) {
  name.clear();
  if (!begin_string()) return false;
  for (int c = string_byte(); c != -1; c = string_byte()) {
    if (name.size() == kLongestName) return fail_here("a name of more than 1 MiB");
    name.push_back(static_cast<char>(c));
  }
  return !failed() && pass(':');
}

void JsonScan::enter() {
  peek();
  ++at_;
}

bool JsonScan::next_element(bool first) {
  if (peek() == ']') {
    ++at_;
    return false;
  }
  return (first || pass(',')) && !failed();
}

bool JsonScan::next_member(bool first, std::string& name) {
  if (peek() == '}') {
    ++at_;
    return false;
  }
  return (first || pass(',')) && take_name(name);
}

bool JsonScan::skip_value() {
  std::string open, word;
  const auto skip_name = [&] { return begin_string() && skip_rest() && pass(':'); };
  for (;;) {
    const int c = peek();
    if (c == '{' || c == '[') {
      if (open.size() == kDeepest) return fail_here("nested deeper than 1,000");
      ++at_;
      open.push_back(c == '{' ? '}' : ']');
      if (peek() != open.back()) {
        if (c == '{' && !skip_name()) return false;
        continue;
      }
    } else if (!(c == '"' ? begin_string() && skip_rest() : take_word(word))) {
      return false;
    }
    while (!open.empty() && peek() == open.back()) {
      ++at_;
      open.pop_back();
    }
    if (open.empty()) return !failed();
    if (!pass(',')) return false;
    if (open.back() == '}' && !skip_name()) return false;
  }
}

}  // namespace zeroth
