// A restart cannot be seen in the state: N iterations straight equal k, a restart and N - k, bit for bit.

#include <algorithm>
#include <random>

#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

struct Random {
  std::mt19937 engine;

  int below(int limit) { return static_cast<int>(engine() % static_cast<unsigned>(limit)); }

  std::string program() {
    const int states = 1 + below(12);
    std::string text;
    for (int i = 0; i < states; ++i) text += "state S" + std::to_string(i) + "\n";
    for (int i = below(2 * states); states > 1 && i > 0; --i) {
      const int a = below(states);
      const int b = (a + 1 + below(states - 1)) % states;
      text += "align S" + std::to_string(a) + " S" + std::to_string(b) + " strength 0." + std::to_string(below(1000)) +
              "\n";
    }
    return text + "observe convergence epsilon 0." + std::to_string(1 + below(999)) + "\n";
  }
};

std::string join(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

// Runs the program from one state file to another.
void run(const std::string& program, int iterations, const std::vector<int>& observe_at, const std::string& from,
         const std::string& to) {
  std::vector<std::string> words = {built("zeroth-worker"), "run", program, "--iterations", std::to_string(iterations)};
  if (!from.empty()) words.insert(words.end(), {"--state-in", from});
  if (!observe_at.empty()) words.insert(words.end(), {"--observe-at", join(observe_at)});
  words.insert(words.end(), {"--state-out", to});
  const ProcessResult ended = run_process(words);
  CHECK_MESSAGE(ended.exit_code == 0, ended.err);
}

TEST_CASE("invisible: random programs, split anywhere, observations included") {
  const TempDir dir;
  for (unsigned seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    Random random{std::mt19937(seed)};
    const std::string program = dir.write("random.zero", random.program());
    const int total = 2 + random.below(400);
    const int split = 1 + random.below(total - 1);
    std::vector<int> all;
    for (int i = random.below(30); i > 0; --i) all.push_back(1 + random.below(total));
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::vector<int> first, second;
    for (const int at : all) at <= split ? first.push_back(at) : second.push_back(at - split);

    run(program, total, all, "", dir.path("straight"));
    run(program, split, first, "", dir.path("half"));
    run(program, total - split, second, dir.path("half"), dir.path("resumed"));
    CHECK(dir.read("straight") == dir.read("resumed"));
  }
}

TEST_CASE("invisible: through SIGTERM, start, reload and restart the state document stays the same") {
  Daemon daemon(kDay, kStandingStill);
  daemon.ask("state", {{"name", "NOON"}, {"inject", 0.1}});
  daemon.ask("align", {{"a", "NOON"}, {"b", "DUSK"}, {"strength", 0.25}});
  for (int i = 0; i < 3; ++i) daemon.ask("observe");
  CHECK(daemon.terminate() == 0);
  daemon.restart();
  const Json first = daemon.worker()["last_reload"]["snapshot"];
  const Json stopped = state_of(daemon, first);
  // Every restart cuts anew: what it restored from is what the generation before it had.
  for (int i = 0; i < 3; ++i) {
    const Json receipt = daemon.ask("restart");
    CHECK(receipt["verdict"] == "ok");
    CHECK(receipt["snapshot"] > first);
    CHECK(state_of(daemon, receipt["snapshot"]).dump() == stopped.dump());
  }
}

TEST_CASE("invisible: what zeroth-worker writes without a supervisor equals what the supervisor kept") {
  Daemon daemon(kDay, {"--rate", "1000"});
  daemon.wait_until([](const Json& worker) { return worker["beat"]["iteration"] > 20; });
  CHECK(daemon.terminate() == 0);
  daemon.restart(kStandingStill);
  const Json kept = state_of(daemon, daemon.worker()["last_reload"]["snapshot"]);
  const std::string out = daemon.dir().path("straight");
  run(daemon.program(), kept["iteration"].get<int>(), {}, "", out);
  CHECK(Json::parse(daemon.dir().read("straight")) == kept);
}

}  // namespace
}  // namespace zeroth::scenario
