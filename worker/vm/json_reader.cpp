#include "worker/vm/json_reader.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/base64.h"
#include "common/text.h"

namespace zeroth {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks of elements are read as they lie in memory");

constexpr std::size_t kDepth = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

void append_pointer(std::string& pointer, std::string_view key) {
  pointer += '/';
  for (const char c : escape_control(key)) {
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

// Index of the first element outside what a state may hold, or the size.
std::size_t first_bad(const std::vector<double>& values, double limit) {
  std::size_t k = 0;
  while (k < values.size() && std::fabs(values[k]) <= limit) ++k;
  return k;
}
std::size_t first_bad(const std::vector<std::int8_t>& values) {
  std::size_t k = 0;
  while (k < values.size() && values[k] >= -1 && values[k] <= 1) ++k;
  return k;
}

}  // namespace

std::string_view JsonReader::string() {
  if (!expect('"', "a string")) return {};
  const std::size_t start = at_;
  unsigned char all = 0;
  for (; at_ < text_.size(); ++at_) {
    const auto c = static_cast<unsigned char>(text_[at_]);
    if (c == '"' || c == '\\' || c < 0x20) break;
    all |= c;
  }
  std::string_view value = text_.substr(start, at_ - start);
  if (at_ < text_.size() && text_[at_] == '\\') {
    value = escaped_string(start);
    all = 0x80;
  } else if (!end_string()) {
    return {};
  }
  if (all >= 0x80 && find_invalid_utf8(value) != std::string_view::npos) fail("not valid UTF-8");
  return value;
}

// A string known to need no escapes: only its end is looked for.
std::string_view JsonReader::plain_string() {
  if (!expect('"', "a string")) return {};
  const void* end = std::memchr(text_.data() + at_, '"', text_.size() - at_);
  if (end == nullptr) {
    fail("the text ends inside a string");
    return {};
  }
  const std::size_t start =
      std::exchange(at_, static_cast<std::size_t>(static_cast<const char*>(end) - text_.data()) + 1);
  return text_.substr(start, at_ - 1 - start);
}

// From the first backslash on; at_ ends behind the closing quote.
std::string_view JsonReader::escaped_string(std::size_t start) {
  scratch_.assign(text_.substr(start, at_ - start));
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      if (!append_escape(at_)) {
        fail("bad escape in a string");
        return {};
      }
    } else if (static_cast<unsigned char>(text_[at_]) < 0x20) {
      break;
    } else {
      scratch_ += text_[at_++];
    }
  }
  return end_string() ? std::string_view(scratch_) : std::string_view();
}

bool JsonReader::end_string() {
  if (at_ < text_.size() && text_[at_] == '"') {
    ++at_;
    return true;
  }
  fail(at_ == text_.size() ? "the text ends inside a string" : "control character in a string");
  return false;
}

bool JsonReader::append_escape(std::size_t& at) {
  static constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  if (at + 1 >= text_.size()) return false;
  const char letter = text_[at + 1];
  at += 2;
  if (letter != 'u') {
    const std::size_t which = kLetters.find(letter);
    if (which == std::string_view::npos) return false;
    scratch_ += kMeanings[which];
    return true;
  }
  const auto high = hex4(at);
  if (!high || (*high >= 0xdc00 && *high < 0xe000)) return false;
  at += 4;
  if (*high < 0xd800 || *high >= 0xe000) {
    append_utf8(scratch_, *high);
    return true;
  }
  if (text_.substr(at, 2) != "\\u") return false;
  const auto low = hex4(at + 2);
  if (!low || *low < 0xdc00 || *low >= 0xe000) return false;
  at += 6;
  append_utf8(scratch_, 0x10000 + ((*high - 0xd800) << 10) + (*low - 0xdc00));
  return true;
}

std::optional<std::uint32_t> JsonReader::hex4(std::size_t at) const {
  const std::string_view digits = text_.substr(std::min(at, text_.size()), 4);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4) return std::nullopt;
  return value;
}

// The extent of a number by the grammar of JSON; empty and failed if there is none.
std::string_view JsonReader::number_text() {
  peek();
  const std::size_t start = at_;
  std::size_t at = at_;
  const auto here = [&] { return at < text_.size() ? text_[at] : '\0'; };
  const auto digits = [&] {
    const std::size_t first = at;
    while (is_digit(here())) ++at;
    return at != first;
  };
  if (here() == '-') ++at;
  bool good = here() == '0' ? (++at, true) : digits();
  if (good && here() == '.') good = (++at, digits());
  if (good && (here() == 'e' || here() == 'E')) {
    ++at;
    if (here() == '+' || here() == '-') ++at;
    good = digits();
  }
  if (!good) {
    fail("expected a number");
    return {};
  }
  at_ = at;
  return text_.substr(start, at - start);
}

double JsonReader::real(double limit) {
  const std::string_view text = number_text();
  if (error_) return 0;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(std::fabs(value) <= limit)) fail("number out of range");
  return value;
}

std::uint64_t JsonReader::count() {
  const std::string_view text = number_text();
  if (error_) return 0;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) fail("expected a whole number from 0 to 2^64 - 1");
  return value;
}

bool JsonReader::boolean() {
  peek();
  for (const std::string_view word : {std::string_view("true"), std::string_view("false")}) {
    if (text_.substr(at_, word.size()) != word) continue;
    at_ += word.size();
    return word == "true";
  }
  fail("expected true or false");
  return false;
}

void JsonReader::numbers(std::vector<double>& into, double limit) {
  read_numbers("f64", into, [&] { return real(limit); });
  const std::size_t bad = error_ ? into.size() : first_bad(into, limit);
  if (bad < into.size()) fail("number out of range", std::to_string(bad));
}

void JsonReader::numbers(std::vector<std::uint64_t>& into) {
  read_numbers("u64", into, [&] { return count(); });
}

void JsonReader::numbers(std::vector<std::int8_t>& into) {
  read_numbers("i8", into, [&] {
    const double value = real(1);
    if (value != std::trunc(value)) fail("expected -1, 0 or 1");
    return static_cast<std::int8_t>(value);
  });
  const std::size_t bad = error_ ? into.size() : first_bad(into);
  if (bad < into.size()) fail("expected -1, 0 or 1", std::to_string(bad));
}

template <class T, class ReadElement>
void JsonReader::read_numbers(std::string_view type, std::vector<T>& into, ReadElement&& element) {
  into.clear();
  if (peek() != '{') return array([&](std::size_t) { into.push_back(element()); });
  bool found = false;
  object([&](std::string_view key) {
    if (key != type || found) return fail("expected only '" + std::string(type) + "'");
    found = true;
    read_block(type, into);
  });
  if (!found) fail("missing", type);
}

template <class T>
void JsonReader::read_block(std::string_view type, std::vector<T>& into) {
  const std::string_view encoded = plain_string();
  if (error_) return;
  const std::size_t bytes = base64_decoded_size(encoded);
  if (bytes % sizeof(T) != 0) return fail("no whole number of " + std::string(type) + " elements");
  into.resize(bytes / sizeof(T));
  if (encoded.size() % 4 != 0) return fail("base64 of a length that is no multiple of 4");
  if (const Status status = base64_decode(encoded, reinterpret_cast<char*>(into.data())); !status) {
    into.clear();
    fail(status.error().message);
  }
}

void JsonReader::skip() {
  switch (peek()) {
    case '{':
      return object([&](std::string_view) { skip(); });
    case '[':
      return array([&](std::size_t) { skip(); });
    case '"':
      return void(string());
    case 't':
    case 'f':
      return void(boolean());
    case 'n':
      if (text_.substr(at_, 4) != "null") return fail("expected a value");
      at_ += 4;
      return;
    default:
      return void(number_text());
  }
}

void JsonReader::finish() {
  if (peek() != '\0' || at_ != text_.size()) fail("text behind the end");
}

void JsonReader::fail(std::string message, std::string_view below) {
  if (error_) return;
  std::string where;
  for (const Step& step : path_) append_pointer(where, step.in_array ? std::to_string(step.index) : step.key);
  if (!below.empty()) append_pointer(where, below);
  if (where.empty()) where = "/";
  error_ = Error{0, where + ": " + std::move(message) + " (byte " + std::to_string(at_) + ")"};
}

bool JsonReader::enter(char bracket, const char* what) {
  if (!expect(bracket, what)) return false;
  if (path_.size() == kDepth) {
    fail("nested deeper than " + std::to_string(kDepth));
    return false;
  }
  path_.push_back({{}, 0, bracket == '['});
  return true;
}

// Whether another member or element follows; reads the comma or the closing bracket.
bool JsonReader::more(char bracket, bool first) {
  if (error_) return false;
  const char c = peek();
  if (c == bracket) {
    ++at_;
    return false;
  }
  if (!first && !expect(',', bracket == '}' ? "',' or '}'" : "',' or ']'")) return false;
  return true;
}

std::string JsonReader::member_key() {
  std::string key(string());
  expect(':', "':'");
  return key;
}

// The next character that is not white space, '\0' at the end.
char JsonReader::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::expect(char c, const char* what) {
  if (error_) return false;
  if (peek() == c) {
    ++at_;
    return true;
  }
  fail(at_ == text_.size() ? "the text ends, expected " + std::string(what) : "expected " + std::string(what));
  return false;
}

}  // namespace zeroth
