#include "supervisor/process/http_answer.h"

#include <doctest/doctest.h>

#include <string>

namespace zeroth {
namespace {

// 0: not enough yet, -1: it is no HTTP.
int answered(std::string_view text) {
  const auto status = http_status(text);
  return !status ? -1 : status->value_or(0);
}

}  // namespace

TEST_CASE("http answer: the status is read as soon as its line is there") {
  const std::string whole = "HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n";
  for (std::size_t size = 0; size < 25; ++size) CHECK(answered(whole.substr(0, size)) == 0);
  CHECK(answered(whole.substr(0, 25)) == 204);
  CHECK(answered(whole) == 204);
  CHECK(answered("HTTP/1.0 200\n") == 200);
  CHECK(answered("HTTP/1.1 503 \r\n") == 503);
  CHECK(answered("HTTP/1.1 999 who knows\r\n") == 999);
}

TEST_CASE("http answer: interim answers are passed over, with their headers") {
  CHECK(answered("HTTP/1.1 100 Continue\r\n") == 0);
  CHECK(answered("HTTP/1.1 100 Continue\r\n\r\n") == 0);
  CHECK(answered("HTTP/1.1 103 Early Hints\r\nLink: HTTP/1.1 500 x\r\n\r\nHTTP/1.1 301 Moved\r\n") == 301);
  CHECK(answered("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\n") == 200);
}

TEST_CASE("http answer: what is no HTTP is refused at once, and nothing is waited for without end") {
  for (const char* text : {"SSH-2.0-OpenSSH\r\n", "\n", "\r\n", "HTTP/2 200\r\n", "HTTP/1.1 20\r\n",
                           "HTTP/1.1 2x0 OK\r\n", "HTTP/1.1  200 OK\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 099 x\r\n",
                           "http/1.1 200 OK\r\n", "x", "HTTQ", "HTTP/1.1 100 a\r\n\r\nnonsense\r\n"}) {
    CAPTURE(text);
    CHECK(answered(text) == -1);
  }
  CHECK(answered("HTTP/" + std::string(2 * kMaxHttpHead, 'a')) == -1);
  CHECK(answered("HTTP/1.1 100 a\r\n" + std::string(2 * kMaxHttpHead, 'a')) == -1);
  CHECK(http_status("\x1b[31mred\n").error().message.find('\x1b') == std::string::npos);
}

}  // namespace zeroth
