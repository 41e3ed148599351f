// Programs and command lines that make no sense: a clear word and the right exit code.

#include <sys/stat.h>

#include <filesystem>

#include "common/hash.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

// Runs zeroth-supervise in folders of its own, for starts that are to fail.
struct Start {
  TempDir dir;

  ProcessResult operator()(const std::vector<std::string>& arguments) const {
    std::vector<std::string> words = {built("zeroth-supervise")};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run_process(words, {{"XDG_STATE_HOME", dir.path("state")},
                               {"XDG_RUNTIME_DIR", dir.path("run")},
                               {"ZEROTH_STATE_DIR", ""},
                               {"ZEROTH_RUNTIME_DIR", ""},
                               {"ZEROTH_CONTROL_PORT", "off"}});
  }
};

TEST_CASE("bad input: a program that is no file of ours is 66, and the message names it") {
  Start start;
  std::string path = start.dir.path("missing.zero");
  SUBCASE("missing") {}
  SUBCASE("a folder") {
    path = start.dir.path("folder.zero");
    std::filesystem::create_directory(path);
  }
  SUBCASE("a FIFO") {
    path = start.dir.path("fifo.zero");
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  }
  const ProcessResult ended = start({path});
  CHECK(ended.exit_code == 66);
  CHECK(ended.err.find(path) != std::string::npos);
  CHECK(ended.out.empty());
}

TEST_CASE("bad input: a program that is no program is 65, with its position") {
  Start start;
  std::string content;
  SUBCASE("empty") {}
  SUBCASE("NULs") {
    content = std::string(1000, '\0');
  }
  SUBCASE("a NUL in a name") {
    content = std::string("state A\0B\nobserve convergence epsilon 0.1\n", 42);
  }
  SUBCASE("invalid UTF-8") {
    content = "state A\xff\nobserve convergence epsilon 0.1\n";
  }
  SUBCASE("a cut UTF-8 sequence at the end") {
    content = "state A\nobserve convergence epsilon 0.1\n# \xe2\x82";
  }
  SUBCASE("100 MB of garbage") {
    content.resize(100'000'000);
    std::uint32_t seed = 1;
    for (char& byte : content) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  }
  SUBCASE("100 MB of one line") {
    content.assign(100'000'000, 'x');
  }
  const std::string path = start.dir.write("bad.zero", content);
  const ProcessResult ended = start({path});
  CHECK(ended.exit_code == 65);
  CHECK(ended.err.find("bad.zero:") != std::string::npos);
  CHECK(ended.err.find("error:") != std::string::npos);
  CHECK(ended.err.size() < 100'000);
}

TEST_CASE("bad input: a compiled program cut short anywhere is 65, naming the offset") {
  Start start;
  const std::string source = start.dir.write("day.zero", kDay);
  REQUIRE(run_process({built("zeroth-worker"), "compile", source, start.dir.path("day.z")}).exit_code == 0);
  const std::string whole = start.dir.read("day.z");
  for (const std::size_t size : {std::size_t(0), std::size_t(3), std::size_t(12), std::size_t(31), std::size_t(40),
                                 whole.size() / 2, whole.size() - 1}) {
    CAPTURE(size);
    const ProcessResult ended = start({start.dir.write("cut.z", whole.substr(0, size))});
    CHECK(ended.exit_code == 65);
    CHECK(ended.err.find("cut.z") != std::string::npos);
  }
}

TEST_CASE("bad input: an unknown option is 2, with the nearest one") {
  Start start;
  const ProcessResult ended = start({"--rat", "5", start.dir.write("day.zero", kDay)});
  CHECK(ended.exit_code == 2);
  CHECK(ended.err.find("did you mean '--rate'") != std::string::npos);
}

TEST_CASE("bad input: command lines that make no sense are 2") {
  Start start;
  const std::string program = start.dir.write("day.zero", kDay);
  const std::vector<std::vector<std::string>> lines = {{},
                                                       {"--rate", "fast", program},
                                                       {"--rate", "-1", program},
                                                       {"--reload", "sideways", program},
                                                       {"--checkpoint-interval", "-1s", program},
                                                       {program, program},
                                                       {"--protocol", program}};
  for (const auto& line : lines) {
    CAPTURE(Json(line).dump());
    const ProcessResult ended = start(line);
    CHECK(ended.exit_code == 2);
    CHECK(!ended.err.empty());
  }
}

TEST_CASE("bad input: broken while it was stopped, the last kept copy runs and says so") {
  Daemon daemon(kDay, kStandingStill);
  daemon.ask("state", {{"name", "NOON"}, {"inject", 0.25}});
  const Json before = daemon.worker();
  CHECK(daemon.terminate() == 0);
  daemon.write(kBroken);
  daemon.restart();
  const Json now = daemon.worker();
  CHECK(now["program_hash"] == before["program_hash"]);
  CHECK(now["rejected"]["hash"] == xxh3_hex(kBroken));
  CHECK(now["rejected"]["diagnostics"].size() == 1);
  CHECK(daemon.ask("state", {{"name", "NOON"}})["divergence"] == 0.25);
  EventStream reloads = daemon.events({"reload"});
  daemon.write(kDay);
  // The rejection of the start is told once the content has stood still, which may be now.
  reloads.wait_for("reload", [](const Json& told) { return told["verdict"] == "unchanged"; });
  CHECK(daemon.worker()["rejected"].is_null());
}

TEST_CASE("bad input: with --strict a program broken while it was stopped is 65") {
  Daemon daemon(kDay);
  CHECK(daemon.terminate() == 0);
  daemon.write(kBroken);
  daemon.launch(std::vector<std::string>{"--strict"});
  CHECK(daemon.wait_exit() == 65);
  CHECK(daemon.err().find("unknown state 'WORLD'") != std::string::npos);
  daemon.write(kDay);
  daemon.restart();
  CHECK(daemon.worker()["last_reload"]["restored_generation"] == 1);
}

}  // namespace
}  // namespace zeroth::scenario
