#include "common/display_width.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("display width: wide characters take two columns, combining ones none, broken bytes one") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("\xc3\xa4") == 1);
  CHECK(display_width("a\xcc\x88") == 1);                 // a and a combining diaeresis
  CHECK(display_width("\xe4\xb8\xad\xe6\x96\x87") == 4);  // Chinese
  CHECK(display_width("\xf0\x9f\x98\x80") == 2);          // a face
  CHECK(display_width("\xff\xfe") == 2);
}

TEST_CASE("display width: cut between characters") {
  CHECK(cut_to_width("abc", 2) == "ab");
  CHECK(cut_to_width("\xe4\xb8\xad\xe6\x96\x87", 3) == "\xe4\xb8\xad");
  CHECK(cut_to_width("a\xcc\x88"
                     "b",
                     1) == "a\xcc\x88");
  CHECK(cut_to_width("abc", 9) == "abc");
  CHECK(cut_to_width("abc", 0).empty());
}

}  // namespace zeroth
