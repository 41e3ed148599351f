#include "common/diagnostic.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "worker/language/parser.h"

namespace zeroth {
namespace {

Diagnostics errors_of(std::string_view source) {
  auto result = parse(source);
  REQUIRE(!result.has_value());
  return result.error();
}

// The rendering of the one error `place` in a source of that one line.
std::string rendered(std::string_view source, std::size_t offset, std::size_t size) {
  Diagnostic d = diagnostic_at(source, 1, source.substr(offset, size));
  d.message = "no";
  return render_text("f", {&d, 1});
}

}  // namespace

TEST_CASE("diagnostic: text shows the line, a caret under the place, and the help") {
  const auto errors =
      errors_of("state HELLO\nstate WORDS\nobserve convergence epsilon 0.0001\nalign HELLO WORLD strength 0.7\n");
  CHECK(render_text("greeting.zero", errors) ==
        "greeting.zero:4:13: error: unknown state 'WORLD'\n"
        "    align HELLO WORLD strength 0.7\n"
        "                ^~~~~\n"
        "    help: did you mean 'WORDS' (line 2)?\n");
}

TEST_CASE("diagnostic: columns and carets count characters, a tab is one") {
  CHECK(rendered("\t\xc3\xa4\xe7\x8a\xb6 XY", 7, 2) == "f:1:5: error: no\n     \xc3\xa4\xe7\x8a\xb6 XY\n        ^~\n");
}

TEST_CASE("diagnostic: an error at the end of the line points behind it") {
  CHECK(rendered("abc", 3, 0) == "f:1:4: error: no\n    abc\n       ^\n");
  CHECK(rendered("abc\r\nnext", 3, 0) == "f:1:4: error: no\n    abc\n       ^\n");
  CHECK(rendered("", 0, 0) == "f:1:1: error: no\n    \n    ^\n");
}

TEST_CASE("diagnostic: what a terminal would obey is shown as a replacement character") {
  CHECK(rendered("a\x1b\xe2\x80\xae\xff"
                 "b",
                 6, 1) ==
        "f:1:5: error: no\n    a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
        "b\n        ^\n");
  Diagnostic d = diagnostic_of_file("no");
  CHECK(render_text("\x1b[31m", {&d, 1}) == "\\x1b[31m: error: no\n");
}

TEST_CASE("diagnostic: a long line is clipped around the place") {
  const std::string line = std::string(1000, 'a') + "X" + std::string(1000, 'b');
  const std::string dots = "\xe2\x80\xa6";
  CHECK(rendered(line, 1000, 1) == "f:1:1001: error: no\n    " + dots + std::string(60, 'a') + "X" +
                                       std::string(59, 'b') + dots + "\n    " + std::string(61, ' ') + "^\n");
  CHECK(rendered(line, 0, 2001) ==
        "f:1:1: error: no\n    " + std::string(60, 'a') + dots + "\n    ^" + std::string(60, '~') + "\n");
}

TEST_CASE("diagnostic: JSON is one line with every field") {
  const auto errors = errors_of("state HELLO\nalign HELLO hello strength 0.7\nobserve convergence epsilon 1");
  const std::string json = render_json("a \"b\"\xff.zero", errors);
  CHECK(json.find('\n') == json.size() - 1);
  const auto array = nlohmann::json::parse(json);
  REQUIRE(array.size() == 1);
  CHECK(array[0] == nlohmann::json{{"file", "a \"b\"\xef\xbf\xbd.zero"},
                                   {"line", 2},
                                   {"column", 13},
                                   {"length", 5},
                                   {"severity", "error"},
                                   {"message", "unknown state 'hello'"},
                                   {"help", "did you mean 'HELLO' (line 1)?"},
                                   {"source", "align HELLO hello strength 0.7"},
                                   {"source_column", 13}});
}

TEST_CASE("diagnostic: quoted words are clipped between characters") {
  CHECK(in_quotes("it\n") == "'it\\n'");
  CHECK(in_quotes(std::string(59, 'a') + "\xc3\xa4\xc3\xa4") == "'" + std::string(59, 'a') + "\xe2\x80\xa6'");
}

}  // namespace zeroth
