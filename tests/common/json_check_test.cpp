#include "common/json_check.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/json.h"

namespace zeroth {
namespace {

bool is_json(std::string_view text, std::size_t piece) {
  JsonCheck check;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (!check.feed(text.substr(at, piece))) break;
  }
  return check.finish().has_value();
}

}  // namespace

TEST_CASE("json check: takes what a parser takes and refuses what it refuses, however the text is cut") {
  const std::vector<std::string> texts = {
      "{}", "[]", "0", "-0", "-1", "12", "1.5", "1e5", "1E-5", "1.25e+10", "\"\"", "\"a\"", "true", "false", "null",
      " [ 1 , 2 ] \n", R"({"a":{"b":[1,"c",null,{}]},"d":[]})", R"(["\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"])",
      "[\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\"]", "[[[[[]]]]]", R"([1,[2,{"x":3}],4])",
      // and these not
      "", " ", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
      "{1:2}", "[}", "{]", "01", "-", "1.", ".5", "1e", "1e+", "+1", "0x1", "tru", "truer", "True", "nul", "NaN",
      "Infinity", "[1]]", "1 2", "\"", "\"a", "\"\n\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\\\"", "[\"\xff\"]",
      "[\"\xc3\"]", "[\"\xc0\x80\"]", "[\"\xed\xa0\x80\"]", "[\"\xf5\x80\x80\x80\"]", "[\"\xe0\x80\x80\"]", "'a'",
      std::string("[1,\0]", 5), std::string(3, '\0'), "{\"count\":1}x", "[1]//"};
  for (const std::string& text : texts) {
    CAPTURE(text);
    const bool expected = Json::accept(text);
    CHECK(is_json(text, 1) == expected);
    CHECK(is_json(text, 3) == expected);
    CHECK(is_json(text, text.size() + 1) == expected);
  }
}

TEST_CASE("json check: half a pair is what JSON's grammar allows, and Node writes it") {
  CHECK(is_json(R"(["\ud800"])", 4));
}

TEST_CASE("json check: the error says where, and depth costs nothing but bits") {
  JsonCheck check;
  CHECK_FALSE(check.feed("[1,2,x]"));
  CHECK(check.finish().error().message == "not JSON at byte 5");
  JsonCheck open;
  CHECK(open.feed("[1,2"));
  CHECK(open.finish().error().message == "not JSON at byte 4: it ends there");
  CHECK(is_json(std::string(100'000, '[') + std::string(100'000, ']'), 4096));
  CHECK_FALSE(is_json(std::string(100'000, '[') + std::string(99'999, ']'), 4096));
}

}  // namespace zeroth
