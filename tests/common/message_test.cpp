#include "common/message.h"

#include <doctest/doctest.h>

#include "common/line_splitter.h"

namespace zeroth {
namespace {

Undecodable refused(std::string_view line) {
  const auto decoded = decode_message(line);
  REQUIRE_FALSE(decoded.has_value());
  return decoded.error();
}

}  // namespace

TEST_CASE("message: requests, responses and events are told apart") {
  const auto request = decode_message(R"({"id":"a","command":"observe","params":{"limit":3},"timestamp":1.5})");
  REQUIRE(request.has_value());
  CHECK(std::get<Request>(*request).command == "observe");
  CHECK(std::get<Request>(*request).params["limit"] == 3);
  CHECK(std::get<Request>(*request).timestamp == 1.5);
  const std::string line = R"({"id":7,"success":true,"result":{"x":1.0e0},"error":null})";
  const auto response = decode_message(line);
  CHECK(std::get<Response>(*response).result_text == R"({"x":1.0e0})");
  const auto refusal = decode_message(R"({"id":7,"success":false,"error":{"code":"busy","message":"m","hint":"h"}})");
  CHECK(std::get<Response>(*refusal).outcome.error().code == ErrorCode::Busy);
  CHECK(std::get<Event>(*decode_message(R"({"event":"beat","data":{"iteration":1}})")).name == "beat");
}

TEST_CASE("message: what is no JSON object closes the connection, a bad request does not") {
  for (const char* line :
       {"", "GET / HTTP/1.1", "[1]", "{\"id\":1", "{\"id\":1}x", "\"x\"", "{\"id\":NaN}", "{\"a\":\"\xff\"}",
        R"({"a":"\ud800"})", R"({"a":1e999})", R"({"a":9223372036854775808})", "\xef\xbb\xbf{}"}) {
    CAPTURE(line);
    CHECK(refused(line).close);
  }
  CHECK_FALSE(refused(R"({"id":1})").close);
  CHECK_FALSE(refused(R"({"id":1.5,"command":"x"})").close);
  CHECK_FALSE(refused(R"({"id":1,"command":"x","params":[]})").close);
}

TEST_CASE("message: a duplicate key is refused under the request's id") {
  const Undecodable undecodable = refused(R"({"id":4,"command":"ping","params":{"a":1,"a":2}})");
  CHECK_FALSE(undecodable.close);
  CHECK(undecodable.id == 4);
  CHECK(undecodable.reason == "duplicate key 'a'");
}

TEST_CASE("message: depth and number of members are bounded, a state apart") {
  const auto nested = [](int depth) {
    return R"({"id":1,"success":true,"result":{"state":)" + std::string(depth, '[') + std::string(depth, ']') + "}}";
  };
  CHECK_FALSE(decode_message(nested(63)).has_value());
  CHECK(decode_message(nested(63), {.exempt_state = true}).has_value());
  CHECK_FALSE(decode_message(nested(127), {.exempt_state = true}).has_value());
  std::string wide = R"({"id":1,"command":"x","params":{"value":[0)";
  for (int i = 0; i < 10'000; ++i) wide += ",0";
  CHECK(refused(wide + "]}}").reason == "more than 10000 members and elements");
}

TEST_CASE("message: integers keep all 64 bits and doubles all digits") {
  const auto decoded =
      decode_message(R"({"id":1,"command":"x","params":{"i":-9223372036854775808,"j":9223372036854775807,"d":0.1}})");
  REQUIRE(decoded.has_value());
  CHECK(dump(std::get<Request>(*decoded).params) == R"({"i":-9223372036854775808,"j":9223372036854775807,"d":0.1})");
}

TEST_CASE("message: a value passes through as it was written") {
  const std::string line =
      R"({"id":1,"success":true,"result":{"a":"\"}{","state": {"big":123456789012345678901234567890, "f":1.00} ,"b":[]}})";
  CHECK(json_span(line, "result", "state") == R"({"big":123456789012345678901234567890, "f":1.00})");
  CHECK(json_span(line, "result", "b") == "[]");
  CHECK(json_span(line, "id") == "1");
  CHECK(json_span(line, "nothing").empty());
}

TEST_CASE("json: a member is left out, and every other byte stays") {
  const std::string_view object = R"({ "a" : 1.00, "b":{"a":2,"x":"}"} , "\u0061":3,"c": [1, 2] })";
  CHECK(json_without(object, "a") == R"({"b":{"a":2,"x":"}"},"c": [1, 2]})");
  CHECK(json_without(object, "b") == R"({"a" : 1.00,"\u0061":3,"c": [1, 2]})");
  CHECK(json_without(R"({"only":1})", "only") == "{}");
  CHECK_FALSE(json_without(object, "x"));
  CHECK_FALSE(json_without("{}", "a"));
  CHECK_FALSE(json_without("[1]", "a"));
}

TEST_CASE("message: what is encoded decodes to the same") {
  const std::string line = encode_refusal("x", {ErrorCode::NotFound, "no", "try", {{"k", 1}}});
  CHECK(line ==
        "{\"id\":\"x\",\"success\":false,\"result\":null,\"error\":{\"code\":\"not_found\",\"message\":\"no\",\"hint\":"
        "\"try\",\"data\":{\"k\":1}}}\n");
  const auto decoded = decode_message(std::string_view(line).substr(0, line.size() - 1));
  CHECK(std::get<Response>(*decoded).outcome.error().data["k"] == 1);
}

TEST_CASE("lines: cut at line feeds however the bytes arrive, and bounded") {
  std::vector<std::string> lines;
  LineSplitter splitter(5);
  const auto keep = [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  };
  CHECK(splitter.feed("ab", keep));
  CHECK(splitter.feed("c\n\nde\nf", keep));
  CHECK(lines == std::vector<std::string>{"abc", "", "de"});
  CHECK(splitter.partial() == "f");
  CHECK(splitter.feed("1234", keep));
  CHECK_FALSE(splitter.feed("5", keep));
  splitter.clear();
  CHECK_FALSE(splitter.feed("123456\n", keep));
}

}  // namespace zeroth
