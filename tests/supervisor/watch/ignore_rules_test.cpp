#include "supervisor/watch/ignore_rules.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

constexpr auto kNone = IgnoreVerdict::None;
constexpr auto kIgnored = IgnoreVerdict::Ignored;
constexpr auto kIncluded = IgnoreVerdict::Included;

}  // namespace

TEST_CASE("ignore rules: each form of a line") {
  struct Case {
    std::string_view text, path;
    bool is_folder;
    IgnoreVerdict verdict;
  };
  constexpr Case kCases[] = {
      {"*.log", "a/b/x.log", false, kIgnored},
      {"*.log", "x.logs", false, kNone},
      {"build/*.o", "build/x.o", false, kIgnored},
      {"build/*.o", "build/a/x.o", false, kNone},
      {"build/*.o", "a/build/x.o", false, kNone},
      {"/top", "top", false, kIgnored},
      {"/top", "a/top", false, kNone},
      {"out/", "a/out", true, kIgnored},
      {"out/", "a/out", false, kNone},
      {"a/out/", "a/out", true, kIgnored},
      {"a/out/", "b/a/out", true, kNone},
      {"**/x/y", "q/x/y", false, kIgnored},
      {"doc/**/x", "doc/x", false, kIgnored},
      {"*.c\n!keep.c", "keep.c", false, kIncluded},
      {"!keep.c\n*.c", "keep.c", false, kIgnored},
      {"*.c\n!a/", "a", true, kIncluded},
      {"# x", "# x", false, kNone},
      {"\\# x", "# x", false, kIgnored},
      {"\\!x", "!x", false, kIgnored},
      {"x  ", "x", false, kIgnored},
      {"x\\ ", "x ", false, kIgnored},
      {"x\\  ", "x ", false, kIgnored},
      {"x\\\\ ", "x\\", false, kIgnored},
      {"x\t", "x", false, kNone},
      {" x", "x", false, kNone},
      {" x", " x", false, kIgnored},
      {"x\r\ny\r\n", "x", false, kIgnored},
      {"x\r\ny\r\n", "y", false, kIgnored},
      {"x\r", "x", false, kIgnored},
      {"\r\n\n/\n!\n!/\n", "x", false, kNone},
      {"\xef\xbb\xbfx", "x", false, kIgnored},
      {"y\n\xef\xbb\xbfx", "x", false, kNone},
      {"[[:digit:]]x", "4x", false, kIgnored},
      {"foo[/]bar", "foo/bar", false, kNone},
      {"a\\", "a\\", false, kNone},
      {"", "x", false, kNone},
  };
  for (const Case& each : kCases) {
    CAPTURE(each.text);
    CAPTURE(each.path);
    CHECK(IgnoreRules::parse(each.text).verdict(each.path, each.is_folder) == each.verdict);
  }
}

TEST_CASE("ignore rules: those of --ignore are lines of their own, the last one counts") {
  const IgnoreRules rules = IgnoreRules::of({"*.log", "!keep.log", "#no rule"});
  CHECK(rules.verdict("a.log", false) == kIgnored);
  CHECK(rules.verdict("keep.log", false) == kIncluded);
  CHECK(rules.verdict("#no rule", false) == kNone);
  CHECK(IgnoreRules::of({}).empty());
}

}  // namespace zeroth
