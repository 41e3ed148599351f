#include "worker/vm/json_writer.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "common/base64.h"

namespace zeroth {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks of elements are written as they lie in memory");

constexpr std::size_t kFlush = 64 * 1024;       // stays in the second-level cache
constexpr std::size_t kBlockBytes = 48 * 1024;  // of elements at a time; a multiple of 3, so that base64 pieces join

template <class T>
void append_any(std::string& out, T value) {
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

}  // namespace

void append_number(std::string& out, double value) {
  append_any(out, value);
}

void append_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto plain = [](char c) { return c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20; };
  out += '"';
  for (auto at = text.begin();;) {
    const auto special = std::find_if_not(at, text.end(), plain);
    out.append(at, special);
    if (special == text.end()) break;
    if (*special == '"' || *special == '\\') {
      out += '\\';
      out += *special;
    } else {
      const auto byte = static_cast<unsigned char>(*special);
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
    at = special + 1;
  }
  out += '"';
}

void JsonWriter::key(std::string_view name) {
  separate();
  append_string(out_, name);
  out_ += ':';
  needs_comma_ = false;
}

void JsonWriter::string(std::string_view text) {
  separate();
  append_string(out_, text);
  flush_if_large();
}

void JsonWriter::number(double value) {
  separate();
  append_any(out_, value);
}

void JsonWriter::number(std::uint64_t value) {
  separate();
  append_any(out_, value);
}

void JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
}

void JsonWriter::numbers(std::span<const double> values) {
  block_or_array("f64", values);
}
void JsonWriter::numbers(std::span<const std::uint64_t> values) {
  block_or_array("u64", values);
}
void JsonWriter::numbers(std::span<const std::int8_t> values) {
  block_or_array("i8", values);
}

template <class T>
void JsonWriter::block_or_array(std::string_view type, std::span<const T> values) {
  if (values.size() <= kPlainElements) {
    begin_array();
    for (const T value : values) {
      separate();
      append_any(out_, value);
    }
    return end_array();
  }
  begin_object();
  key(type);
  out_ += '"';
  std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  for (; !bytes.empty() && status_; bytes.remove_prefix(std::min(kBlockBytes, bytes.size()))) {
    base64_append(out_, bytes.substr(0, kBlockBytes));
    flush_if_large();
  }
  out_ += '"';
  end_object();
}

Status JsonWriter::finish() {
  if (sink_ != nullptr) flush();
  return status_;
}

void JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
}

void JsonWriter::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  flush_if_large();
}

void JsonWriter::separate() {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
}

void JsonWriter::flush_if_large() {
  if (sink_ != nullptr && out_.size() >= kFlush) flush();
}

void JsonWriter::flush() {
  if (status_ && !out_.empty()) status_ = (*sink_)(out_);
  out_.clear();
}

}  // namespace zeroth
