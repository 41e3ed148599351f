// The real zeroth-worker, run as a user runs it.

#include "worker/cli/compile_command.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

using test::Finished;
using test::TempDir;

constexpr std::string_view kGood = "state A\nstate B\nalign A B strength 0.5\nobserve convergence epsilon 0.0001\n";

Finished worker(std::vector<std::string> words) {
  words.insert(words.begin(), test::built("zeroth-worker"));
  return test::run_process(words);
}

std::size_t files_in(const TempDir& dir) {
  const std::filesystem::directory_iterator files(dir.path());
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

}  // namespace

TEST_CASE("check: says what a program consists of, source or compiled") {
  const TempDir dir;
  const std::string source = dir.write("p.zero", kGood);
  const Finished checked = worker({"check", source});
  CHECK(checked.exit_code == 0);
  CHECK(checked.out == source + ": 2 states, 1 alignment, epsilon 1e-04\n");
  CHECK(checked.err == "");
  REQUIRE(worker({"compile", source}).exit_code == 0);
  CHECK(worker({"check", dir.path("p.z")}).out == dir.path("p.z") + ": 2 states, 1 alignment, epsilon 1e-04\n");
}

TEST_CASE("check: a program that does not compile is shown on stderr and exits 65") {
  const TempDir dir;
  const std::string file = dir.write("p.zero", "state A\nalign A a strength 1\nobserve convergence epsilon 1\n");
  const Finished text = worker({"check", file});
  CHECK(text.exit_code == 65);
  CHECK(text.out == "");
  CHECK(text.err == file +
                        ":2:9: error: unknown state 'a'\n    align A a strength 1\n            ^\n"
                        "    help: did you mean 'A' (line 1)?\n");
  const Finished json = worker({"check", "--diagnostics=json", file});
  CHECK(json.exit_code == 65);
  CHECK(nlohmann::json::parse(json.err)[0]["line"] == 2);
}

TEST_CASE("check: an empty file has no state") {
  const TempDir dir;
  const Finished empty = worker({"check", dir.write("p.zero", "")});
  CHECK(empty.exit_code == 65);
  CHECK(empty.err.find("p.zero:1:1: error: no state is declared\n") != std::string::npos);
  const Finished compiled = worker({"check", dir.write("p.z", "")});
  CHECK(compiled.exit_code == 65);
  CHECK(compiled.err == dir.path("p.z") + ": error: offset 0: the magic is not Z0RT\n");
}

TEST_CASE("check: what is no regular file exits 66 without waiting") {
  const TempDir dir;
  const Finished missing = worker({"check", dir.path("p.zero")});
  CHECK(missing.exit_code == 66);
  CHECK(missing.err == dir.path("p.zero") + ": error: open: No such file or directory\n");
  CHECK(worker({"check", dir.path()}).exit_code == 66);
  REQUIRE(::mkfifo(dir.path("fifo.zero").c_str(), 0600) == 0);
  const Finished fifo = worker({"check", dir.path("fifo.zero")});
  CHECK(fifo.exit_code == 66);
  CHECK(fifo.err == dir.path("fifo.zero") + ": error: is not a regular file\n");
  CHECK(worker({"check", "/dev/zero"}).exit_code == 66);
  CHECK(worker({"check", dir.path("p.zero"), "--diagnostics=json"}).err.starts_with("[{"));
}

TEST_CASE("check: a file that may not be read exits 77") {
  if (::geteuid() == 0) return;  // root may read everything
  const TempDir dir;
  const std::string file = dir.write("p.zero", kGood);
  REQUIRE(::chmod(file.c_str(), 0) == 0);
  CHECK(worker({"check", file}).exit_code == 77);
}

TEST_CASE("check: NULs and invalid UTF-8 are errors with a position") {
  const TempDir dir;
  const Finished nul = worker({"check", dir.write("nul.zero", std::string_view("state A\nst\0te", 13))});
  CHECK(nul.exit_code == 65);
  CHECK(nul.err.find("nul.zero:2:3: error: NUL byte") != std::string::npos);
  const Finished invalid = worker({"check", dir.write("utf8.zero", "state \xc3\xa4\xff")});
  CHECK(invalid.exit_code == 65);
  CHECK(invalid.err.find("utf8.zero:1:8: error: byte 0xff is not valid UTF-8") != std::string::npos);
}

TEST_CASE("check: 100 MB of garbage end in a short answer") {
  const TempDir dir;
  const std::string zeros = dir.write("zeros.zero", "");
  std::filesystem::resize_file(zeros, 100'000'000);  // one line of NULs
  std::string noise(100'000'000, '\0');
  std::uint64_t random = 1;
  for (char& c : noise) c = static_cast<char>((random = random * 6364136223846793005u + 1442695040888963407u) >> 56);
  std::string words(99'999'999, ' ');
  for (std::size_t i = 0; i < words.size(); i += 3) words.replace(i, 3, "xy\n");
  for (const std::string& file : {zeros, dir.write("noise.zero", noise), dir.write("words.zero", words),
                                  dir.write("line.zero", std::string(100'000'000, 'x'))}) {
    CAPTURE(file);
    const Finished garbage = worker({"check", file});
    CHECK(garbage.exit_code == 65);
    CHECK(garbage.err.size() < 16'000);
  }
}

TEST_CASE("compile: writes beside the source, or where it is told, and nothing else") {
  const TempDir dir;
  const std::string source = dir.write("p.zero", kGood);
  REQUIRE(worker({"compile", source}).exit_code == 0);
  REQUIRE(worker({"compile", source, dir.path("other")}).exit_code == 0);
  REQUIRE(worker({"compile", dir.path("p.z"), dir.path("again.z")}).exit_code == 0);
  CHECK(dir.read("p.z").starts_with("Z0RT"));
  CHECK(dir.read("other") == dir.read("p.z"));
  CHECK(dir.read("again.z") == dir.read("p.z"));
  CHECK(files_in(dir) == 4);
}

TEST_CASE("compile: a program that does not compile leaves the old file") {
  const TempDir dir;
  dir.write("p.z", "old");
  CHECK(worker({"compile", dir.write("p.zero", "state")}).exit_code == 65);
  CHECK(dir.read("p.z") == "old");
  CHECK(files_in(dir) == 2);
}

TEST_CASE("compile: never writes over its own source, a folder or a device") {
  const TempDir dir;
  const std::string source = dir.write("p.z", kGood.substr(0, 0));
  const std::string odd = dir.write("odd", kGood);
  std::filesystem::create_hard_link(odd, dir.path("odd.z"));
  std::filesystem::create_directory(dir.path("folder.z"));
  CHECK(worker({"compile", odd}).exit_code == 2);
  CHECK(worker({"compile", odd, odd}).exit_code == 2);
  CHECK(dir.read("odd") == kGood);
  CHECK(worker({"compile", odd, dir.path("folder.z")}).exit_code == 66);
  CHECK(worker({"compile", odd, "/dev/null"}).exit_code == 66);
  CHECK(worker({"compile", odd, dir.path("missing/p.z")}).exit_code == 66);
  REQUIRE(worker({"compile", odd, source}).exit_code == 0);
  CHECK(worker({"compile", source}).exit_code == 2);
}

TEST_CASE("verbs: a wrong command line exits 2 and says what was meant") {
  CHECK(worker({}).exit_code == 2);
  CHECK(worker({"check"}).exit_code == 2);
  CHECK(worker({"check", "a", "b"}).exit_code == 2);
  CHECK(worker({"check", "a", "--diagnostics=xml"}).exit_code == 2);
  const Finished option = worker({"check", "--diagnostic=json", "a"});
  CHECK(option.exit_code == 2);
  CHECK(option.err.find("did you mean '--diagnostics'?") != std::string::npos);
  const Finished verb = worker({"chekc", "a"});
  CHECK(verb.exit_code == 2);
  CHECK(verb.err.find("did you mean 'check'?") != std::string::npos);
}

TEST_CASE("verbs: help goes to stdout") {
  const Finished help = worker({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.out.find("zeroth-worker compile IN.zero") != std::string::npos);
  CHECK(worker({"check", "--help"}).out.find("zeroth-worker check FILE") != std::string::npos);
  CHECK(worker({"--version"}).out == "zeroth-worker " ZEROTH_VERSION "\n");
}

}  // namespace zeroth
