#include "worker/language/parser.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/hash.h"

namespace zeroth {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The "LINE:COL: message" of every "# expect:" comment in `source`.
std::vector<std::string> expectations(const std::string& source) {
  constexpr std::string_view kExpect = "# expect: ";
  std::vector<std::string> found;
  std::istringstream lines(source);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.starts_with(kExpect)) found.push_back(line.substr(kExpect.size()));
  }
  return found;
}

std::vector<std::string> diagnostics(std::string_view source) {
  std::vector<std::string> found;
  const auto result = parse(source);
  if (result) return found;
  for (const Diagnostic& d : result.error()) {
    found.push_back(std::to_string(d.line) + ":" + std::to_string(d.column) + ": " + d.message);
  }
  return found;
}

std::string help_of(std::string_view source) {
  const auto result = parse(source);
  REQUIRE(!result.has_value());
  return result.error()[0].help;
}

Program parsed(std::string_view source) {
  auto result = parse(source);
  REQUIRE(result.has_value());
  return std::move(*result);
}

constexpr std::string_view kObserve = "observe convergence epsilon 1\n";

}  // namespace

TEST_CASE("parser: every file of tests/language has the diagnostics it expects and no others") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ZEROTH_SOURCE_DIR "/tests/language")) {
    if (entry.path().extension() != ".zero") continue;
    CAPTURE(entry.path().filename().string());
    const std::string source = read(entry.path());
    CHECK(diagnostics(source) == expectations(source));
    ++files;
  }
  CHECK(files >= 25);
}

TEST_CASE("parser: a program is its states, alignments, former names and epsilon") {
  const std::string source =
      "align B A strength 1e-400\nstate A was OLD\nalign A B strength +.25e1# no\nstate B\n"
      "observe convergence epsilon 5e-324";
  CHECK(diagnostics(source) == std::vector<std::string>{"3:20: strength '+.25e1' is not between 0 and 1"});
  const std::string right =
      "align B A strength 1e-400\nstate A was OLD\nalign A B strength +.25e0#\nstate B\n"
      "observe convergence epsilon 5e-324";
  const Program program = parsed(right);
  CHECK(program.states == std::vector<std::string>{"A", "B"});
  REQUIRE(program.alignments.size() == 2);
  CHECK(program.alignments[0].a == 1);
  CHECK(program.alignments[0].b == 0);
  CHECK(program.alignments[0].strength == 0);
  CHECK(program.alignments[1].strength == 0.25);
  REQUIRE(program.renames.size() == 1);
  CHECK(program.renames[0].state == 0);
  CHECK(program.renames[0].was == "OLD");
  CHECK(program.epsilon == 5e-324);
  CHECK(program.seed_potential);
  CHECK(program.hash == xxh3_hex(right));
}

TEST_CASE("parser: an empty file lacks a state and an observe statement") {
  const std::vector<std::string> both = {"1:1: no state is declared", "1:1: no 'observe' statement"};
  CHECK(diagnostics("") == both);
  CHECK(diagnostics("\xef\xbb\xbf") == both);
  CHECK(diagnostics("\n\n") == both);
}

TEST_CASE("parser: a byte order mark is part of the hash and of no column") {
  CHECK(parsed("\xef\xbb\xbfstate A\nobserve convergence epsilon 1").hash !=
        parsed("state A\nobserve convergence epsilon 1").hash);
  CHECK(diagnostics("\xef\xbb\xbf?") == std::vector<std::string>{"1:1: character '?' is not allowed here",
                                                                 "1:1: no state is declared",
                                                                 "1:1: no 'observe' statement"});
}

TEST_CASE("parser: suggestions name what was meant and where it is") {
  const std::string program = "state HELLO\nstate WORDS\n" + std::string(kObserve);
  CHECK(help_of(program + "align HELLO WORLD strength 0.7") == "did you mean 'WORDS' (line 2)?");
  CHECK(help_of(program + "align HELLO words strength 0.7") == "did you mean 'WORDS' (line 2)?");
  CHECK(help_of(program + "align HELLO FAREWELL strength 0.7") == "");
  CHECK(help_of(program + "allign HELLO WORDS strength 0.7") == "did you mean 'align'?");
  CHECK(help_of(program + "State X") == "did you mean 'state'?");
  CHECK(help_of(program + "align HELLO WORDS Strength 0.7") == "did you mean 'strength'?");
  CHECK(help_of(program + "state X wsa Y") == "did you mean 'was'?");
  CHECK(help_of(program + "zzz") == "a line begins with 'state', 'align' or 'observe'");
  CHECK(help_of(program + "state align") == "'align' is a keyword");
}

TEST_CASE("parser: a name may have 65,535 bytes and no more") {
  const std::string longest(65'535, 'n');
  CHECK(parsed("state " + longest + "\n" + std::string(kObserve)).states[0] == longest);
  CHECK(diagnostics("state " + longest + "n\n" + std::string(kObserve)) ==
        std::vector<std::string>{"1:7: a name of more than 65,535 bytes"});
  CHECK(diagnostics("state A\nalign A " + longest + " strength 1\n" + std::string(kObserve)).size() == 1);
}

TEST_CASE("parser: of many errors the first twenty are kept, whichever pass finds them") {
  std::string source;
  for (int i = 0; i < 100'000; ++i) source += "align A X strength 7\n";
  const auto errors = diagnostics(source);
  REQUIRE(errors.size() == kReportedErrors);
  CHECK(errors[0] == "1:1: no state is declared");
  CHECK(errors[2] == "1:7: unknown state 'A'");
  CHECK(errors[3] == "1:9: unknown state 'X'");
  CHECK(errors[4] == "1:20: strength '7' is not between 0 and 1");
  CHECK(errors[19] == "6:20: strength '7' is not between 0 and 1");
}

TEST_CASE("parser: a number may be as long as it likes") {
  const std::string digits(100'000, '3');
  CHECK(parsed("state A\nstate B\nalign A B strength 0." + digits + "\n" + std::string(kObserve))
            .alignments[0]
            .strength == doctest::Approx(1.0 / 3));
  CHECK(diagnostics("state A\nobserve convergence epsilon " + digits).size() == 1);
}

TEST_CASE("parser: many names are told apart") {
  std::string source(kObserve);
  for (int i = 0; i < 100'000; ++i) source += "state s" + std::to_string(i) + "\n";
  source += "align s7 s99999 strength 1\n";
  const Program program = parsed(source);
  REQUIRE(program.states.size() == 100'000);
  CHECK(program.alignments[0].a == 7);
  CHECK(program.alignments[0].b == 99'999);
}

}  // namespace zeroth
