// How zerothctl shows kept snapshots and what differs between them.

#include "supervisor/ctl/snapshots.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace zeroth {
namespace {

Json side(int sequence) {
  return {{"sequence", sequence}, {"generation", 1}, {"created_at", "2026-01-31T10:02:11.123Z"}};
}

struct Locale {
  explicit Locale(const char* name) { ::setenv("LC_ALL", name, 1); }
  ~Locale() { ::unsetenv("LC_ALL"); }
};

}  // namespace

TEST_CASE("zerothctl: snapshots are a table with what is pinned and what was imported") {
  const Json result = {{"total", 2},
                       {"snapshots",
                        {{{"sequence", 12},
                          {"generation", 3},
                          {"cause", "manual"},
                          {"created_at", "t"},
                          {"bytes", 1234},
                          {"pinned", false}},
                         {{"sequence", 4},
                          {"generation", 0},
                          {"cause", "stop"},
                          {"created_at", "t"},
                          {"bytes", 5},
                          {"pinned", true},
                          {"imported", {{"sequence", 1}}}}}}};
  CHECK(snapshots_text(result) ==
        "Sequence  Generation  Cause           Created  Bytes  Pin\n"
        "12        3           manual          t        1,234\n"
        "4         0           stop, imported  t        5      pinned\n");
  CHECK(snapshots_text(Json::object()) == "Sequence  Generation  Cause  Created  Bytes  Pin\n");
}

TEST_CASE("zerothctl: a diff shows changes, additions, removals, and how many more there are") {
  const Locale utf8("C.UTF-8");
  const Json result = {{"changed", {{"/a", {{"from", 3}, {"to", "x\n"}}}, {"", {{"from", 1}, {"to", 2}}}}},
                       {"added", {{"/b\x1b", {{"$shortened", "[1,2"}, {"bytes", 12345}}}}},
                       {"removed", {{"/c", nullptr}}},
                       {"total", 1234},
                       {"counts", {{"changed", 1200}, {"added", 30}, {"removed", 4}}},
                       {"a", side(1)},
                       {"b", side(2)}};
  CHECK(diff_text(result) ==
        "snapshot 1 (generation 1, 2026-01-31T10:02:11.123Z) → snapshot 2 (generation 1, 2026-01-31T10:02:11.123Z)\n"
        "~ /a  3 → \"x\\n\"\n~ (the whole state)  1 → 2\n+ /b\\x1b  [1,2… (12,345 bytes)\n- /c  null\n"
        "and 1,230 more\n1,200 changed, 30 added, 4 removed\n");
  const Locale plain("C");
  CHECK(diff_text(result).find("\xe2") == std::string::npos);
}

TEST_CASE("zerothctl: answers of another shape are shown without harm") {
  for (const Json& result :
       {Json(), Json::array(), Json("x"), Json{{"total", "x"}, {"added", 1}, {"changed", {1, 2}}}}) {
    CHECK_FALSE(diff_text(result).empty());
    CHECK_FALSE(snapshots_text(result).empty());
    CHECK_FALSE(import_text(result).empty());
    CHECK_FALSE(export_text(result).empty());
    CHECK_FALSE(pin_text(result).empty());
  }
}

}  // namespace zeroth
