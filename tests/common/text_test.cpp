#include "common/text.h"

#include <doctest/doctest.h>

#include <array>

namespace zeroth {

TEST_CASE("text: invalid UTF-8 is found at its offset") {
  CHECK(find_invalid_utf8("plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x98\x80") == std::string_view::npos);
  CHECK(find_invalid_utf8("ab\xff") == 2);
  CHECK(find_invalid_utf8("\xc0\xaf") == 0);          // overlong
  CHECK(find_invalid_utf8("a\xed\xa0\x80") == 1);     // surrogate
  CHECK(find_invalid_utf8("\xf4\x90\x80\x80") == 0);  // above U+10FFFF
  CHECK(find_invalid_utf8("abc\xe2\x82") == 3);       // cut short
}

TEST_CASE("text: control characters and bad bytes cannot reach a terminal") {
  CHECK(escape_control("a\x1b[31mb\n\tc\x7f") == "a\\x1b[31mb\\n\\tc\\x7f");
  CHECK(escape_control("\xc2\x9b") == "\\x9b");
  CHECK(escape_control("x\xffy") == "x\xef\xbf\xbdy");
  CHECK(escape_control("\xc3\xa4") == "\xc3\xa4");
}

TEST_CASE("text: the nearest word is what was meant, or nothing") {
  constexpr std::array<std::string_view, 4> verbs = {"status", "start", "stop", "restart"};
  CHECK(nearest("statsu", verbs) == "status");
  CHECK(nearest("STOP", verbs) == "stop");
  CHECK(nearest("sotp", verbs) == "stop");
  CHECK(nearest("strto", verbs) == "start");
  CHECK(nearest("observe", verbs) == "");
  CHECK(nearest("x", verbs) == "");
}

TEST_CASE("text: numbers are grouped by thousands") {
  CHECK(with_thousands(0) == "0");
  CHECK(with_thousands(999) == "999");
  CHECK(with_thousands(18204) == "18,204");
  CHECK(with_thousands(1234567) == "1,234,567");
}

TEST_CASE("text: sizes are told in the unit that a person would choose") {
  CHECK(human_size(0) == "0 bytes");
  CHECK(human_size(900) == "900 bytes");
  CHECK(human_size(1'024) == "1 KB");
  CHECK(human_size(std::uint64_t(3) << 29) == "1.5 GB");
  CHECK(human_size((std::uint64_t(512) << 20) + 3'000) == "512 MB");
  CHECK(human_size((std::uint64_t(1) << 30) - 1) == "1 GB");
  CHECK(human_size(~std::uint64_t(0)) == "16 EB");
}

}  // namespace zeroth
