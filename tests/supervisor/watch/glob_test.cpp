#include "supervisor/watch/glob.h"

#include <doctest/doctest.h>

namespace zeroth {

TEST_CASE("glob: what each wildcard takes and where it stops") {
  struct Case {
    std::string_view pattern, text;
    bool matches;
  };
  constexpr Case kCases[] = {
      {"abc", "abc", true},
      {"abc", "abcd", false},
      {"a?c", "abc", true},
      {"a?c", "a/c", false},
      {"*", "", true},
      {"a*", "a", true},
      {"a*c", "abbbc", true},
      {"a*c", "ab/bc", false},
      {"*.o", "x.o", true},
      {"a/*/c", "a/b/c", true},
      {"a/*/c", "a/b/b/c", false},
      {"a/**/c", "a/c", true},
      {"a/**/c", "a/b/b/c", true},
      {"a/**/c", "a/bc", false},
      {"a/**", "a/b/c", true},
      {"**/c", "c", true},
      {"**/c", "a/b/c", true},
      {"**/c", "a/bc", false},
      {"a/b**c", "a/bxc", true},
      {"a/b**c", "a/bx/c", false},
      {"**/**/c", "c", true},
      {"a***c", "abc", true},
      {"[abc]", "b", true},
      {"[!abc]", "b", false},
      {"[^abc]", "d", true},
      {"[!a]", "/", false},
      {"[a-c]x", "bx", true},
      {"[c-a]x", "bx", false},
      {"[]a]", "]", true},
      {"[]-]", "-", true},
      {"[a-]", "-", true},
      {"[\\]]", "]", true},
      {"[a-\\z]", "q", true},
      {"[[:alpha:]]", "q", true},
      {"[[:alpha:]]", "5", false},
      {"[[:digit:][:upper:]]", "Q", true},
      {"[[:xdigit:]]", "g", false},
      {"[[:space:]]", "\t", true},
      {"[[:punct:]]", "~", true},
      {"[[:nonsense:]]", "a", false},
      {"[[:]", ":", true},
      {"[abc", "a", false},
      {"a[", "a[", false},
      {"\\*", "*", true},
      {"\\*", "a", false},
      {"\\\\", "\\", true},
      {"a\\", "a\\", false},
      {"a\\", "a", false},
      {"\xc3\xa4*", "\xc3\xa4x", true},
      {"[\x80-\xff]", "\xc3", true},
  };
  for (const Case& each : kCases) {
    CAPTURE(each.pattern);
    CAPTURE(each.text);
    CHECK(Glob(each.pattern).matches(each.text) == each.matches);
  }
}

TEST_CASE("glob: no pattern takes more steps than its length times the text's") {
  std::string pattern, text = std::string(2'000, 'a');
  for (int i = 0; i < 20; ++i) pattern += "**/";
  for (int i = 0; i < 20; ++i) pattern += "*a";
  pattern += "b";
  for (std::size_t i = 50; i < text.size(); i += 50) text[i] = '/';
  for (const std::string& tried : {pattern, std::string("*a*a*a*a*a*a*a*a*b"), std::string("**/*/**/*/**/*a**b")}) {
    CAPTURE(tried);
    std::size_t steps = 0;
    CHECK_FALSE(Glob(tried).matches(text, &steps));
    CHECK(steps > 0);
    CHECK(steps <= (tried.size() + 1) * (text.size() + 1));
  }
}

}  // namespace zeroth
