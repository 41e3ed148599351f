#include "supervisor/worker/changed_defaults.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("changed defaults: what the code changed and the state overrides is named, with all three values") {
  const Json before = {{"speed", "5"}, {"name", R"("a")"}, {"same", "1"}};
  const Json after = {{"speed", "10"}, {"name", R"("b")"}, {"same", "1"}, {"added", "2"}};
  const Json changed = changed_defaults(before, after, R"({"speed": 7, "same": 1})");
  REQUIRE(changed.size() == 1);  // `name` is not in the state: the new default applies
  CHECK(changed[0] == Json{{"key", "speed"}, {"from", "5"}, {"to", "10"}, {"live", "7"}});
}

TEST_CASE("changed defaults: long values and unknown states are told without values") {
  const Json changed = changed_defaults({{"map", std::string(64, 'a')}}, {{"map", std::string(64, 'b')}}, "");
  REQUIRE(changed.size() == 1);
  CHECK(changed[0] == Json{{"key", "map"}, {"from", nullptr}, {"to", nullptr}, {"live", nullptr}});
}

TEST_CASE("changed defaults: without an announcement nothing is said") {
  CHECK(changed_defaults(nullptr, {{"speed", "10"}}, "{}").empty());
  CHECK(changed_defaults({{"speed", "10"}}, nullptr, "{}").empty());
  CHECK(changed_defaults({{"speed", 1}}, {{"speed", 2}}, R"({"speed":1})").empty());
}

}  // namespace zeroth
