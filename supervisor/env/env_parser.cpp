#include "supervisor/env/env_parser.h"

#include <algorithm>
#include <tl/expected.hpp>
#include <utility>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::size_t kMostWrong = 20;  // mistakes of one file that are told
constexpr std::size_t kLongName = 40;   // what is longer is shown as stars: rather a part of a key than a name
constexpr const char* kNameRule = "a name is letters, digits and '_', and begins with no digit";

bool is_gap(char c) {
  return c == ' ' || c == '\t';
}
bool begins_name(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}
bool continues_name(char c) {
  return begins_name(c) || (c >= '0' && c <= '9');
}

class EnvReader {
 public:
  explicit EnvReader(std::string_view text) : text_(text) {}
  tl::expected<std::vector<EnvEntry>, Diagnostics> read();

 private:
  struct Line {
    std::size_t begin = 0, end = 0, next = 0;  // without and behind its end
    std::uint32_t number = 1;
    std::size_t value = std::string_view::npos;  // where what may be secret begins
  };

  Line line_at(std::size_t begin, std::uint32_t number) const;
  bool read_line();
  bool read_value(EnvEntry& entry, std::size_t at);
  bool read_quoted(EnvEntry& entry, std::size_t open);
  bool check(const EnvEntry& entry, std::size_t at, std::size_t end);
  std::string plain(std::size_t at) const;
  bool complain(const Line& line, std::size_t at, std::size_t length, std::string message, std::string help = "");
  // Where stars begin in a line that has no value of its own.
  std::size_t secret_from(const Line& line) const;
  std::size_t skip_blanks(std::size_t at) const {
    while (at < line_.end && is_gap(text_[at])) ++at;
    return at;
  }

  const std::string_view text_;
  Line line_;  // at hand
  std::vector<EnvEntry> entries_;
  Diagnostics wrong_;
  bool lost_ = false;  // a quote is not closed: what follows may belong to it or not
};

EnvReader::Line EnvReader::line_at(std::size_t begin, std::uint32_t number) const {
  Line line;
  line.begin = begin;
  line.number = number;
  const std::size_t feed = text_.find('\n', begin);
  line.end = std::min(feed, text_.size());
  line.next = feed == std::string_view::npos ? text_.size() : feed + 1;
  if (line.end > begin && text_[line.end - 1] == '\r') --line.end;
  return line;
}

tl::expected<std::vector<EnvEntry>, Diagnostics> EnvReader::read() {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  std::size_t at = text_.starts_with(kMark) ? kMark.size() : 0;
  for (std::uint32_t number = 1; at < text_.size() && wrong_.size() < kMostWrong;) {
    line_ = line_at(at, number);
    if (!read_line() && lost_) break;
    at = line_.next;
    number = line_.number + 1;
  }
  if (!wrong_.empty()) return tl::unexpected(std::move(wrong_));
  return std::move(entries_);
}

// True: the line at hand, which may be a later one by now, is done.
bool EnvReader::read_line() {
  std::size_t at = skip_blanks(line_.begin);
  if (at == line_.end || text_[at] == '#') return true;
  constexpr std::string_view kExport = "export";
  const std::string_view rest = text_.substr(at, line_.end - at);
  if (rest.starts_with(kExport) && rest.size() > kExport.size() && is_gap(rest[kExport.size()])) {
    const std::size_t behind = skip_blanks(at + kExport.size());
    const bool named_so = behind < line_.end && text_[behind] == '=';  // `export = 1`
    if (!named_so) at = behind;
  }
  EnvEntry entry;
  entry.line = line_.number;
  const std::size_t name = at;
  if (at == line_.end) return complain(line_, at, 1, "a name is missing", kNameRule);
  if (!begins_name(text_[at])) return complain(line_, at, 1, "no name begins here", kNameRule);
  while (at < line_.end && continues_name(text_[at])) ++at;
  entry.name = text_.substr(name, at - name);
  const std::size_t behind = skip_blanks(at);
  if (behind == line_.end || text_[behind] == '#')
    return complain(line_, at, 1, "'=' is missing behind the name", "NAME=value; one that is to go is left out");
  if (text_[behind] != '=') {
    const bool in_name = behind == at && text_.substr(at, line_.end - at).find('=') != std::string_view::npos;
    return complain(line_, behind, 1, in_name ? "this is no part of a name" : "'=' is missing behind the name",
                    kNameRule);
  }
  line_.value = behind + 1;
  return read_value(entry, skip_blanks(behind + 1));
}

bool EnvReader::read_value(EnvEntry& entry, std::size_t at) {
  const bool quoted = at < line_.end && (text_[at] == '"' || text_[at] == '\'');
  if (quoted) return read_quoted(entry, at);
  const bool blank_before = at > line_.value;
  const bool only_comment = blank_before && at < line_.end && text_[at] == '#';
  if (!only_comment) entry.value = plain(at);
  if (!check(entry, at, line_.end)) return false;
  entries_.push_back(std::move(entry));
  return true;
}

// To the end of the line or to a comment, without the blanks in front of either.
std::string EnvReader::plain(std::size_t at) const {
  std::size_t end = at;
  while (end < line_.end && !(text_[end] == '#' && end > at && is_gap(text_[end - 1]))) ++end;
  while (end > at && is_gap(text_[end - 1])) --end;
  return std::string(text_.substr(at, end - at));
}

bool EnvReader::read_quoted(EnvEntry& entry, std::size_t open) {
  const Line opened = line_;
  const char quote = text_[open];
  const auto letter_of = [](char c) { return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c; };
  std::size_t at = open + 1;
  for (;; ++at) {
    if (at >= line_.end) {
      if (line_.next >= text_.size()) {
        lost_ = true;
        return complain(opened, open, 1, "this quote is never closed");
      }
      entry.value += '\n';
      line_ = line_at(line_.next, line_.number + 1);
      line_.value = line_.begin;
      at = line_.begin - 1;
      continue;
    }
    if (text_[at] == quote) break;
    constexpr std::string_view kEscaped = "nrt\"\\$";
    const bool escape = quote == '"' && text_[at] == '\\' && at + 1 < line_.end &&
                        kEscaped.find(text_[at + 1]) != std::string_view::npos;
    entry.value += escape ? letter_of(text_[++at]) : text_[at];
  }
  const std::size_t closed = at;
  at = skip_blanks(closed + 1);
  const bool comment = at < line_.end && text_[at] == '#' && at > closed + 1;
  if (at < line_.end && !comment) {
    if (line_.number == opened.number)
      return complain(line_, at, 1, "text follows the closing quote", "quote all of the value, or write \\\" in it");
    lost_ = true;
    return complain(opened, open, 1,
                    "this quote is not closed here, and where it would be, on line " + std::to_string(line_.number) +
                        ", text follows it");
  }
  if (line_.number == opened.number ? !check(entry, open, closed) : !check(entry, line_.begin, closed)) return false;
  entries_.push_back(std::move(entry));
  return true;
}

// What no process can be given, or no channel told. `at` to `end`: where the value is, on the line at hand.
bool EnvReader::check(const EnvEntry& entry, std::size_t at, std::size_t end) {
  if (const std::size_t nul = entry.value.find('\0'); nul != std::string::npos) {
    const std::size_t here = std::min(text_.find('\0', at), end);
    return complain(line_, here, 1, "a value has no NUL byte");
  }
  if (entry.name.size() + 1 + entry.value.size() > kMaxVariable) {
    return complain(line_, at, 1,
                    "a value of " + with_thousands(entry.value.size()) + " bytes; the system takes at most " +
                        with_thousands(kMaxVariable) + " with the name");
  }
  return true;
}

std::size_t EnvReader::secret_from(const Line& line) const {
  if (line.value != std::string_view::npos) return line.value;
  const std::string_view text = text_.substr(line.begin, line.end - line.begin);
  const std::size_t equals = text.find('=');
  if (equals != std::string_view::npos) return line.begin + (equals <= kLongName ? equals + 1 : 0);
  // A word alone may be a part of a value that somebody did not quote; one of capitals is a name.
  constexpr std::string_view kExport = "export ";
  const std::size_t from = text.starts_with(kExport) ? kExport.size() : 0;
  const bool name = text.size() <= kLongName && std::all_of(text.begin() + from, text.end(), [](char c) {
                      return !(c >= 'a' && c <= 'z') && (continues_name(c) || is_gap(c));
                    });
  return name ? line.end : line.begin + from;
}

bool EnvReader::complain(const Line& line, std::size_t at, std::size_t length, std::string message, std::string help) {
  const std::size_t secret = secret_from(line);
  std::string shown;
  std::size_t place = std::string::npos;
  for (std::size_t i = line.begin; i < line.end;) {
    if (i >= at && place == std::string::npos) place = shown.size();
    const Utf8Char c = decode_utf8(text_, i);
    const bool open = c.size > 0 && (i < secret || is_gap(text_[i]) || text_[i] == '"' || text_[i] == '\'');
    shown += open ? text_.substr(i, c.size) : std::string_view("*");
    i += std::max<std::size_t>(c.size, 1);
  }
  if (place == std::string::npos) place = shown.size();
  Diagnostic d = diagnostic_at(shown, 1, std::string_view(shown).substr(place, length));
  d.line = line.number;
  d.message = std::move(message);
  d.help = std::move(help);
  wrong_.push_back(std::move(d));
  return false;
}

}  // namespace

tl::expected<std::vector<EnvEntry>, Diagnostics> parse_env(std::string_view text) {
  if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    const auto line =
        static_cast<std::uint32_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n')) + 1;
    const std::size_t begin = bad == 0 ? 0 : text.rfind('\n', bad - 1) + 1;
    // Only the place is shown: what is no text may be anything.
    std::string stars = "*";
    for (std::size_t i = begin; i < bad; i += decode_utf8(text, i).size) stars += '*';
    Diagnostic d = diagnostic_at(stars, 1, std::string_view(stars).substr(stars.size() - 1));
    d.line = line;
    d.message = "this byte is no UTF-8";
    return tl::unexpected(Diagnostics{std::move(d)});
  }
  return EnvReader(text).read();
}

}  // namespace zeroth
