#include "worker/cli/arguments.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

constexpr Option kOptions[] = {{"--iterations", "N", ""}, {"--state-in", "FILE", ""}, {"--quiet", "", ""}};

Result<Arguments> parse_words(std::vector<std::string> words, std::size_t max_positionals = 1) {
  static std::vector<std::string> kept;
  kept = std::move(words);
  static std::vector<char*> pointers;
  pointers.clear();
  for (std::string& word : kept) pointers.push_back(word.data());
  return Arguments::parse(pointers, kOptions, max_positionals);
}

}  // namespace

TEST_CASE("arguments: options with a space or an equals sign, flags and positionals mix") {
  const auto got = parse_words({"--iterations", "5", "file.zero", "--state-in=-", "--quiet"});
  REQUIRE(got.has_value());
  CHECK(got->value("--iterations") == "5");
  CHECK(got->value("--state-in") == "-");
  CHECK(got->has("--quiet"));
  CHECK(got->positionals() == std::vector<std::string_view>{"file.zero"});
}

TEST_CASE("arguments: two dashes end the options") {
  CHECK(parse_words({"--", "--iterations"})->positionals().at(0) == "--iterations");
  CHECK(parse_words({"-"})->positionals().at(0) == "-");
}

TEST_CASE("arguments: mistakes are named, with the nearest option") {
  CHECK(parse_words({"--iteration", "5"}).error().message ==
        "unknown option '--iteration', did you mean '--iterations'?");
  CHECK(parse_words({"--iterations"}).error().message == "option '--iterations' needs a value: --iterations N");
  CHECK(parse_words({"--quiet=1"}).error().message == "option '--quiet' takes no value");
  CHECK(parse_words({"--quiet", "--quiet"}).error().message == "option '--quiet' is given twice");
  CHECK(parse_words({"a", "b\x1b"}).error().message == "unexpected argument 'b\\x1b'");
}

TEST_CASE("arguments: numbers are whole, finite and nothing else") {
  CHECK(parse_count("--n", "18446744073709551615").value() == UINT64_MAX);
  for (const char* bad : {"", "-1", "1.5", "1x", "18446744073709551616"})
    CHECK_FALSE(parse_count("--n", bad).has_value());
  CHECK(parse_real("--h", "1e2").value() == 100.0);
  for (const char* bad : {"", "nan", "inf", "1e999", "1,5"}) CHECK_FALSE(parse_real("--h", bad).has_value());
}

}  // namespace zeroth
