#include "supervisor/process/memory_use.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

namespace zeroth {

TEST_CASE("memory: group and pages are found behind any name") {
  const std::string rest = " S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 900 12345678 321 18446744073709551615 1\n";
  for (const char* name : {"4242 (sleep)", "4242 (a b)", "4242 () 9 9 9 (x)"}) {
    const auto found = parse_group_memory(name + rest);
    REQUIRE(found.has_value());
    CHECK(found->group == 77);
    CHECK(found->pages == 321);
  }
  for (const char* text : {"", "1", "1 (x", "1 (x)", "1 (x) ", "1 (x) S 1", "1 (x) S 1 a 1", "1 (x) S 1 2 3 4 5 6\n"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_group_memory(text));
  }
}

TEST_CASE("memory: our own group takes some") {
  CHECK(memory_of_groups()[::getpgrp()] > 100'000);
}

}  // namespace zeroth
