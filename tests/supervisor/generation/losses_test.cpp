// What of a state counts as lost, over several reloads.

#include <doctest/doctest.h>

#include "supervisor/generation/receipt.h"

namespace zeroth {
namespace {

Json live_without(const std::vector<std::string>& names, std::uint64_t snapshot, const std::string& verdict = "ok") {
  return {{"verdict", verdict}, {"snapshot", snapshot}, {"removed", {{"count", names.size()}, {"names", names}}}};
}

}  // namespace

TEST_CASE("losses: a part that is named at each restore was lost once") {
  Losses losses;
  CHECK(losses.note(live_without({}, 1)) == 0);
  CHECK(losses.note(live_without({"b"}, 2)) == 2);
  CHECK(losses.note(live_without({"b"}, 3)) == 0);
  CHECK(losses.note(live_without({"b", "c"}, 4)) == 4);
  CHECK(losses.fresh({2, {"b", "d"}}).names == std::vector<std::string>{"d"});
  CHECK(losses.note(live_without({}, 5)) == 0);
  CHECK(losses.note(live_without({"b"}, 6)) == 6);
}

TEST_CASE("losses: what did not go live lost nothing") {
  Losses losses;
  for (const char* verdict : {"rejected", "abandoned", "failed", "unchanged"})
    CHECK(losses.note(live_without({"b"}, 2, verdict)) == 0);
  CHECK(losses.fresh({1, {"b"}}).count == 1);
}

TEST_CASE("losses: of more parts than are named the number decides; nonsense is no loss") {
  Losses losses;
  std::vector<std::string> twenty;
  for (int i = 0; i < 20; ++i) twenty.push_back("part" + std::to_string(i));
  const Json many = {{"verdict", "ok"}, {"snapshot", 7}, {"removed", {{"count", 50}, {"names", twenty}}}};
  CHECK(losses.note(many) == 7);
  CHECK(losses.note(many) == 0);
  CHECK(losses.fresh({51, twenty}).count == 1);
  for (const char* text :
       {"{}", "{\"verdict\":\"ok\",\"removed\":7}", "{\"verdict\":\"ok\",\"removed\":{\"count\":-1}}"})
    CHECK(losses.note(Json::parse(text)) == 0);
}

}  // namespace zeroth
