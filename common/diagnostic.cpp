#include "common/diagnostic.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/json_fields.h"
#include "common/text.h"
#include "common/unicode.h"

namespace zeroth {
namespace {

// Characters of a source line shown in front of the place and from it on: two make a line that fits most terminals.
constexpr std::size_t kShownBefore = 60;
constexpr std::size_t kShownFrom = 60;
// Bytes of a quoted word; longer ones are cut.
constexpr std::size_t kQuotedSize = 60;

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view kEllipsis = "\xe2\x80\xa6";     // U+2026
constexpr std::string_view kIndent = "    ";

bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

// Appends the character at `offset` of `text` in its visible form; returns its size in bytes.
std::size_t append_visible(std::string& out, std::string_view text, std::size_t offset) {
  const Utf8Char c = decode_utf8(text, offset);
  if (c.code == '\t' || c.code == ' ') {
    out += ' ';
  } else if (c.size == 0 || is_invisible(c.code)) {
    out += kReplacement;
  } else {
    out += text.substr(offset, c.size);
  }
  return std::max<std::size_t>(c.size, 1);
}

// Fills in the part of `line` around byte `offset` that is shown.
void excerpt(Diagnostic& d, std::string_view line, std::size_t offset) {
  std::size_t at = offset;
  std::size_t before = 0;
  for (; at > 0 && before < kShownBefore; ++before) {
    do --at;
    while (at > 0 && !begins_character(line[at]));
  }
  if (at > 0) d.source_line += kEllipsis;
  d.source_column = before + (at > 0 ? 2 : 1);
  for (std::size_t shown = 0; at < line.size() && shown < before + kShownFrom; ++shown) {
    at += append_visible(d.source_line, line, at);
  }
  if (at < line.size()) d.source_line += kEllipsis;
}

void append_text(std::string& out, std::string_view file, const Diagnostic& d) {
  out += file;
  if (d.line > 0) out += ':' + std::to_string(d.line) + ':' + std::to_string(d.column);
  out += ": error: " + d.message + '\n';
  if (d.line > 0) {
    const std::size_t room = std::max(count_characters(d.source_line) + 1, d.source_column + 1) - d.source_column;
    out.append(kIndent) += d.source_line + '\n';
    out.append(kIndent).append(d.source_column - 1, ' ') += '^';
    out.append(std::min(d.length, room) - 1, '~') += '\n';
  }
  if (!d.help.empty()) out.append(kIndent) += "help: " + d.help + '\n';
}

}  // namespace

Diagnostic diagnostic_at(std::string_view source, std::uint32_t line, std::string_view place) {
  const auto offset = static_cast<std::size_t>(place.data() - source.data());
  const std::size_t feed_before = offset == 0 ? std::string_view::npos : source.rfind('\n', offset - 1);
  const std::size_t begin = feed_before == std::string_view::npos ? 0 : feed_before + 1;
  std::string_view text = source.substr(begin, source.find('\n', offset) - begin);
  if (text.size() > offset - begin && text.back() == '\r') text.remove_suffix(1);
  Diagnostic d;
  d.line = line;
  d.column = count_characters(source.substr(begin, offset - begin)) + 1;
  d.length = std::max<std::size_t>(count_characters(place), 1);
  excerpt(d, text, offset - begin);
  return d;
}

Diagnostic diagnostic_of_file(std::string message) {
  Diagnostic d;
  d.message = std::move(message);
  return d;
}

std::string in_quotes(std::string_view text) {
  if (text.size() <= kQuotedSize) return "'" + escape_control(text) + "'";
  std::size_t cut = kQuotedSize;
  while (cut > 0 && !begins_character(text[cut])) --cut;
  return "'" + escape_control(text.substr(0, cut)) + std::string(kEllipsis) + "'";
}

std::string render_text(std::string_view file, std::span<const Diagnostic> diagnostics) {
  const std::string shown_file = escape_control(file);
  std::string out;
  for (const Diagnostic& d : diagnostics) append_text(out, shown_file, d);
  return out;
}

Json to_json(std::string_view file, std::span<const Diagnostic> diagnostics) {
  Json array = Json::array();
  for (const Diagnostic& d : diagnostics) {
    array.push_back({{"file", file},
                     {"line", d.line},
                     {"column", d.column},
                     {"length", d.length},
                     {"severity", "error"},
                     {"message", d.message},
                     {"help", d.help},
                     {"source", d.source_line},
                     {"source_column", d.source_column}});
  }
  return array;
}

std::string render_json(std::string_view file, std::span<const Diagnostic> diagnostics) {
  return dump(to_json(file, diagnostics)) + '\n';
}

std::string render_reported(const Json& diagnostics) {
  std::string out;
  if (!diagnostics.is_array()) return out;
  for (const Json& entry : diagnostics) {
    Diagnostic d;
    d.line = static_cast<std::uint32_t>(field_or<std::uint64_t>(entry, "line", 0));
    d.column = field_or<std::uint64_t>(entry, "column", 1);
    d.length = std::max<std::uint64_t>(1, field_or<std::uint64_t>(entry, "length", 1));
    d.message = escape_control(field_or<std::string>(entry, "message", ""));
    d.help = escape_control(field_or<std::string>(entry, "help", ""));
    d.source_line = escape_control(field_or<std::string>(entry, "source", ""));
    d.source_column =
        std::clamp<std::uint64_t>(field_or<std::uint64_t>(entry, "source_column", 1), 1, d.source_line.size() + 1);
    append_text(out, escape_control(field_or<std::string>(entry, "file", "")), d);
  }
  return out;
}

}  // namespace zeroth
