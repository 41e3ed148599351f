#include "supervisor/process/health_check.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

using CheckKind = HealthCheck::Kind;

HealthCheck parsed_check(const std::string& text) {
  auto check = parse_health(text);
  REQUIRE_MESSAGE(check.has_value(), (check ? "" : check.error().message));
  return *check;
}

std::string refusal_of(const std::string& text) {
  const auto check = parse_health(text);
  return check ? "" : check.error().message;
}

}  // namespace

TEST_CASE("health: what may be given") {
  CHECK(parsed_check("tcp:8080").address.text == "127.0.0.1:8080");
  CHECK(parsed_check("tcp:localhost:8080").address.text == "127.0.0.1:8080");
  CHECK(parsed_check("tcp:[::1]:8080").address.text == "[::1]:8080");
  CHECK(parsed_check("notify").kind == CheckKind::Notify);
  CHECK(parsed_check("heartbeat").kind == CheckKind::Heartbeat);
  CHECK_FALSE(parsed_check("heartbeat").asks());
  CHECK(parsed_check("exec:curl -fs 'a b' \"c \\\" d\" e\\ f ''").argv ==
        std::vector<std::string>{"curl", "-fs", "a b", "c \" d", "e f", ""});
  CHECK(parsed_check("exec: sh  -c 'a; b'").argv == std::vector<std::string>{"sh", "-c", "a; b"});
  for (const char* text :
       {"", "tcp", "tcp:", "tcp:0", "tcp:x", "tcp:70000", "tcp:example.org:80", "tcp:*:80", "tcp::80", "tcp:a=80",
        "tcp:unix:/x", "exec:", "exec:  ", "exec:''", "exec:'a", "https:", "NOTIFY", "udp:1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_health(text));
  }
  CHECK(refusal_of("https://127.0.0.1/health").find("https is not offered; there are tcp:PORT") != std::string::npos);
}

TEST_CASE("health: an http check takes an address, a port and a path") {
  const HealthCheck whole = parsed_check("http://127.0.0.1:8080/health?deep=1&x=%20");
  CHECK(whole.kind == CheckKind::Http);
  CHECK(whole.asks());
  CHECK(whole.address.text == "127.0.0.1:8080");
  CHECK(whole.host == "127.0.0.1:8080");
  CHECK(whole.path == "/health?deep=1&x=%20");
  const HealthCheck least = parsed_check("http://localhost");
  CHECK(least.address.text == "127.0.0.1:80");
  CHECK(least.host == "localhost");
  CHECK(least.path == "/");
  CHECK(parsed_check("http://[::1]:81/x").address.text == "[::1]:81");
  CHECK(parsed_check("http://[::1]/x").address.text == "[::1]:80");
  for (const std::string& text :
       {std::string("http:"), std::string("http://"), std::string("http:///x"), std::string("http://:80/"),
        std::string("http://example.org/"), std::string("http://127.0.0.1:0/"), std::string("http://127.0.0.1:x/"),
        std::string("http://me@127.0.0.1/"), std::string("http://127.0.0.1/a b"), std::string("http://127.0.0.1/#x"),
        std::string("http://127.0.0.1/a\r\nX: y"), "http://127.0.0.1/" + std::string(3'000, 'a')}) {
    CAPTURE(text);
    CHECK_FALSE(parse_health(text));
  }
}

}  // namespace zeroth
