#include "supervisor/env/variables.h"

#include <doctest/doctest.h>
#include <stdlib.h>

namespace zeroth {

TEST_CASE("env change: what is new or different is set, what is gone is unset, the rest is not told") {
  const EnvChange change =
      change_between({{"KEEP", "1"}, {"OTHER", "1"}, {"GONE", "1"}}, {{"KEEP", "1"}, {"OTHER", "2"}, {"NEW", ""}}, {});
  CHECK(change.set == EnvMap{{"NEW", ""}, {"OTHER", "2"}});
  CHECK(change.unset == std::vector<std::string>{"GONE"});
  CHECK(change_between({{"A", "1"}}, {{"A", "1"}}, {}).empty());
}

TEST_CASE("env change: one that goes returns to what the supervisor has, if it has it") {
  const EnvMap inherited = {{"PATH", "/bin"}, {"HOME", "/root"}};
  const EnvChange change = change_between({{"PATH", "/opt"}, {"X", "1"}}, {}, inherited);
  CHECK(change.set == EnvMap{{"PATH", "/bin"}});
  CHECK(change.unset == std::vector<std::string>{"X"});
  CHECK(change_between({{"HOME", "/root"}}, {}, inherited).empty());
  CHECK(change_between({}, {{"HOME", "/root"}}, inherited).empty());
}

TEST_CASE("env change: what nobody knows the process has is told again") {
  const EnvChange change = change_between({{"A", "1"}}, {{"A", "1"}}, {}, {"A", "B"});
  CHECK(change.set == EnvMap{{"A", "1"}});
  CHECK(change.unset == std::vector<std::string>{"B"});
}

TEST_CASE("env change: only names are shown, and a text that quotes a value is shown without it") {
  const EnvChange change = change_between({{"GONE", "x"}}, {{"KEY", "hunter2"}}, {});
  CHECK(names_of(change) == Json{{"set", {"KEY"}}, {"unset", {"GONE"}}});
  CHECK(without_values("bad: hunter2, hunter2!", change.set) == "bad: ***, ***!");
  CHECK(without_values("port 80", {{"PORT", "80"}}) == "port 80");
  CHECK(without_values("abcdefgh abcd", {{"A", "abcd"}, {"B", "abcdefgh"}}) == "*** ***");
}

TEST_CASE("env: what is the supervisor's own is neither passed on nor taken from a file") {
  ::setenv("ZEROTH_STATE_DIR", "/x", 1);
  ::setenv("ENV_TEST_PASSED_ON", "yes", 1);
  const EnvMap passed = inherited_variables();
  CHECK_FALSE(passed.contains("ZEROTH_STATE_DIR"));
  CHECK(passed.at("ENV_TEST_PASSED_ON") == "yes");
  ::unsetenv("ZEROTH_STATE_DIR");
  ::unsetenv("ENV_TEST_PASSED_ON");
  for (const char* own : {"ZEROTH_FD", "ZEROTH_ANYTHING", "NOTIFY_SOCKET", "LISTEN_FDS"}) CHECK(is_own_variable(own));
  for (const char* free : {"PATH", "ZEROTHS", "LISTEN_PORT"}) CHECK_FALSE(is_own_variable(free));
}

}  // namespace zeroth
