#pragma once
// Writes JSON piece by piece into a string, or through it to a sink, so that a large state never exists as text as a
// whole. The caller balances begin and end and writes a key before each member.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "common/result.h"

namespace zeroth {

// Takes the next piece of a text; called in order.
using Sink = std::function<Status(std::string_view)>;

// The shortest text that reads back to the same bits ("-0" for -0.0). `value` is finite.
void append_number(std::string& out, double value);
// With quotes and escapes. `text` is valid UTF-8.
void append_string(std::string& out, std::string_view text);

class JsonWriter {
 public:
  // Numeric arrays of more elements are written as one base64 string of little-endian elements: {"f64":"..."}.
  static constexpr std::size_t kPlainElements = 4096;

  explicit JsonWriter(std::string& out) : out_(out) {}
  JsonWriter(std::string& buffer, const Sink& sink) : out_(buffer), sink_(&sink) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);

  void string(std::string_view text);
  void number(double value);
  void number(std::uint64_t value);
  void boolean(bool value);
  void numbers(std::span<const double> values);
  void numbers(std::span<const std::uint64_t> values);
  void numbers(std::span<const std::int8_t> values);

  // Hands the rest to the sink; the first error of the sink, after which nothing more was written.
  Status finish();

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();
  void flush_if_large();
  void flush();
  template <class T>
  void block_or_array(std::string_view type, std::span<const T> values);

  std::string& out_;
  const Sink* sink_ = nullptr;
  Status status_;
  bool needs_comma_ = false;
};

}  // namespace zeroth
