#include "supervisor/watch/debounce.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

const MonotonicTime kStart{};
MonotonicTime at(int ms) {
  return kStart + Milliseconds(ms);
}

}  // namespace

TEST_CASE("debounce: nothing is due before something happened, or after it was reported") {
  Debounce debounce({Milliseconds(20)});
  CHECK_FALSE(debounce.due());
  debounce.saved("a", at(0));
  debounce.clear();
  CHECK_FALSE(debounce.due());
}

TEST_CASE("debounce: a save of one watched file is due at once") {
  Debounce debounce({default_quiet(true, true)});
  debounce.saved("a", at(7));
  CHECK(debounce.due() == at(7));
  CHECK(debounce.first() == at(7));
}

TEST_CASE("debounce: folders settle in 20 ms, in mode recreate in 100 ms") {
  CHECK(default_quiet(false, false) == Milliseconds(20));
  CHECK(default_quiet(false, true) == Milliseconds(100));
}

TEST_CASE("debounce: a change during the quiet time restarts it") {
  Debounce debounce({Milliseconds(20)});
  debounce.saved("a", at(0));
  debounce.saved("b", at(15));
  CHECK(debounce.due() == at(35));
  CHECK(debounce.first() == at(0));
}

TEST_CASE("debounce: a bare modify waits for its close") {
  Debounce debounce({Milliseconds(0)});
  debounce.modified("a", at(0));
  debounce.modified("a", at(100));
  CHECK(debounce.due() == at(500));
  debounce.saved("a", at(120));
  CHECK(debounce.due() == at(120));
}

TEST_CASE("debounce: a writer that never closes settles 500 ms after it began, however often it writes") {
  Debounce debounce({Milliseconds(20)});
  for (int ms = 0; ms < 480; ms += 40) debounce.modified("a", at(ms));
  CHECK(debounce.due() == at(500));
}

TEST_CASE("debounce: one file's close does not settle another that is still open") {
  Debounce debounce({Milliseconds(20)});
  debounce.modified("a", at(0));
  debounce.saved("b", at(10));
  CHECK(debounce.due() == at(500));
  debounce.saved("a", at(40));
  CHECK(debounce.due() == at(60));
}

TEST_CASE("debounce: a stream of events is due 2 s after its first") {
  Debounce debounce({Milliseconds(20)});
  for (int ms = 0; ms < 4000; ms += 10) debounce.saved("a", at(ms));
  CHECK(debounce.due() == at(2000));
}

TEST_CASE("debounce: a long quiet time counts against the longest wait too") {
  Debounce debounce({Milliseconds(500)});
  for (int ms = 0; ms <= 1800; ms += 300) debounce.saved("a", at(ms));
  CHECK(debounce.due() == at(2000));
}

}  // namespace zeroth
