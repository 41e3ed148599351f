#include "supervisor/process/health_check.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/text.h"

namespace zeroth {
namespace {

constexpr const char* kForms =
    "tcp:PORT, tcp:ADDRESS:PORT, http://ADDRESS:PORT/PATH, exec:COMMAND, heartbeat and notify";

// Words as a shell splits them, without anything else a shell does.
Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < text.size();
    if (quote == 0 && !escapes && (c == ' ' || c == '\t')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (escapes) {
      words.back() += text[++i];
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) return fail(std::string("the quote ") + quote + " has no end", EINVAL);
  return words;
}

Result<ListenAddress> parse_tcp(std::string_view text) {
  auto address = parse_listen_address(text);
  const bool one_address = address && address->address.ss_family != AF_UNIX &&
                           text.find('=') == std::string_view::npos && !text.starts_with('*') &&
                           !text.starts_with(':') && !address->text.ends_with(":0");
  if (!one_address)
    return fail("'" + escape_control(text) + "' is neither PORT nor ADDRESS:PORT (an IP address or localhost)", EINVAL);
  return address;
}

// What stands in a request line: no spaces, no control characters, nothing a header could be made of.
bool is_request_target(std::string_view path) {
  constexpr std::size_t kLongest = 2'048;
  return path.size() <= kLongest && std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < 127; });
}

Status parse_http(std::string_view text, HealthCheck& check) {
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return fail("http is written http://ADDRESS:PORT/PATH", EINVAL);
  text.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(text.find('/'), text.size());
  check.host = text.substr(0, slash);
  check.path = slash < text.size() ? std::string(text.substr(slash)) : "/";
  if (!is_request_target(check.path) || check.path.find('#') != std::string::npos)
    return fail("'" + escape_control(check.path) + "' is no path: write %20 for a space, and no #", EINVAL);
  const bool bracketed = check.host.starts_with('[');
  const std::size_t colon = check.host.find(':', bracketed ? std::min(check.host.find(']'), check.host.size()) : 0);
  if (check.host.empty() || colon == 0) return fail("there is no address behind http://", EINVAL);
  auto address = parse_tcp(colon == std::string::npos ? check.host + ":80" : check.host);
  if (!address) return fail(std::move(address.error()));
  check.address = std::move(*address);
  return {};
}

}  // namespace

Result<HealthCheck> parse_health(std::string_view text) {
  HealthCheck check;
  check.text = text;
  if (text == "notify") return check;
  if (text == "heartbeat") {
    check.kind = HealthCheck::Kind::Heartbeat;
    return check;
  }
  if (text.starts_with("http:")) {
    check.kind = HealthCheck::Kind::Http;
    if (Status parsed = parse_http(text, check); !parsed) return fail(std::move(parsed.error()));
    return check;
  }
  if (text.starts_with("tcp:")) {
    check.kind = HealthCheck::Kind::Tcp;
    auto address = parse_tcp(text.substr(4));
    if (!address) return fail(std::move(address.error()));
    check.address = std::move(*address);
    return check;
  }
  if (text.starts_with("exec:")) {
    check.kind = HealthCheck::Kind::Exec;
    auto words = split_words(text.substr(5));
    if (!words) return fail(std::move(words.error()));
    check.argv = std::move(*words);
    if (check.argv.empty() || check.argv[0].empty()) return fail("there is no command behind exec:", EINVAL);
    return check;
  }
  const bool https = text.starts_with("https:");
  return fail("'" + escape_control(text) + "': " + (https ? "https is not offered; " : "") + "there are " + kForms,
              EINVAL);
}

}  // namespace zeroth
