#include "supervisor/process/http_answer.h"

#include <algorithm>
#include <cerrno>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::size_t kShownAnswer = 40;  // bytes of what is no HTTP

bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

// "HTTP/1.1 204", then a space or the end; 0 if it is none.
int status_of_line(std::string_view line) {
  constexpr std::string_view kBegin = "HTTP/1.";
  if (!line.starts_with(kBegin) || line.size() < 12 || !is_decimal(line[7]) || line[8] != ' ') return 0;
  const std::string_view digits = line.substr(9, 3);
  if (!std::all_of(digits.begin(), digits.end(), is_decimal)) return 0;
  if (line.size() > 12 && line[12] != ' ') return 0;
  const int status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  return status >= 100 ? status : 0;
}

// Behind the empty line that ends a head; npos if it is not there yet.
std::size_t end_of_head(std::string_view text) {
  const std::size_t strict = text.find("\r\n\r\n"), lax = text.find("\n\n");
  if (strict == std::string_view::npos && lax == std::string_view::npos) return std::string_view::npos;
  return strict < lax ? strict + 4 : lax + 2;
}

Error no_http(std::string_view line) {
  return {EPROTO, "no HTTP answer: '" + escape_control(line.substr(0, kShownAnswer)) + "'"};
}

}  // namespace

Result<std::optional<int>> http_status(std::string_view received) {
  for (;;) {
    const std::size_t end = received.find('\n');
    if (end == std::string_view::npos) {
      constexpr std::string_view kName = "HTTP/";
      const std::size_t known = std::min(received.size(), kName.size());
      if (received.substr(0, known) != kName.substr(0, known) || received.size() > kMaxHttpHead)
        return fail(no_http(received));
      return std::nullopt;
    }
    std::string_view line = received.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const int status = status_of_line(line);
    if (status == 0) return fail(no_http(line));
    if (status >= 200) return std::optional(status);
    const std::size_t next = end_of_head(received);
    if (next == std::string_view::npos) {
      if (received.size() > kMaxHttpHead) return fail("an interim answer without end", EPROTO);
      return std::nullopt;
    }
    received.remove_prefix(next);
  }
}

}  // namespace zeroth
