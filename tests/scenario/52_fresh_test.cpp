// Leaving state behind on purpose, and trying code on kept states before it runs.

#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

const std::string kPython =
    "import zeroth\n"
    "w = zeroth.worker(schema='shop/1')\n"
    "S = w.restore({'speed': 5, 'visits': {}})\n"
    "@w.command('put')\n"
    "def put(**parts):\n"
    "    S.update(parts)\n"
    "    return {}\n"
    "@w.command('show')\n"
    "def show():\n"
    "    return S\n"
    "for _ in w.every(1000): pass\n";

std::vector<std::string> with_python() {
  return {"--env",  "PYTHONPATH=" ZEROTH_SOURCE_DIR "/worker/sdk", "--checkpoint-interval", "0", Daemon::kCommand,
          "python3"};
}

}  // namespace

TEST_CASE("fresh: a restart without state pins the present one, and there is a way back") {
  Daemon daemon(kApart, kByHand);
  const Json start = living_state(daemon);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.25}});
  const Json grown = living_state(daemon);
  const Json receipt = daemon.ask("restart", {{"fresh", true}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["restored_generation"].is_null());
  REQUIRE(receipt["pinned"].is_number());
  CHECK(living_state(daemon)["divergence"] == start["divergence"]);
  // It stays so over a crash, before and after a snapshot of its own.
  daemon.kill_worker();
  daemon.wait_generation(3);
  CHECK(living_state(daemon)["divergence"] == start["divergence"]);
  CHECK(daemon.ask("rollback", {{"sequence", receipt["pinned"]}})["verdict"] == "ok");
  CHECK(living_state(daemon)["divergence"] == grown["divergence"]);
}

TEST_CASE("fresh: --fresh at the start pins what it passes over and says how to get back") {
  Daemon daemon(kApart, kByHand);
  const Json start = living_state(daemon);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.25}});
  const Json grown = living_state(daemon);
  CHECK(daemon.terminate() == 0);
  daemon.restart(std::vector<std::string>{"--rate", "0.001", "--checkpoint-interval", "0", "--fresh"});
  CHECK(daemon.generation() == 2);
  const std::string back = "zerothctl rollback --sequence ";
  REQUIRE(says(daemon.err(), back));
  const std::string err = daemon.err();
  const int sequence = std::stoi(err.substr(err.find(back) + back.size()));
  CHECK(living_state(daemon)["divergence"] == start["divergence"]);
  CHECK(daemon.ask("rollback", {{"sequence", sequence}})["verdict"] == "ok");
  CHECK(living_state(daemon)["divergence"] == grown["divergence"]);
}

TEST_CASE("fresh: zerothctl asks before it, and in a pipe needs --yes") {
  Daemon daemon(kApart, kByHand);
  const auto ctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, daemon.environment());
  };
  const ProcessResult asked = ctl({"restart", "--fresh"});
  CHECK(asked.exit_code == 2);
  CHECK(says(asked.err, "--yes"));
  CHECK(daemon.generation() == 1);
  const ProcessResult done = ctl({"restart", "--fresh", "--yes"});
  CHECK(done.exit_code == 0);
  CHECK(says(done.out, "zerothctl rollback --sequence "));
  CHECK(daemon.generation() == 2);
  CHECK(ctl({"restart", "--fresh", "--fresh-key", "x", "--yes"}).exit_code == 2);
  const ProcessResult now = ctl({"restart", "--no-wait"});
  CHECK(now.exit_code == 0);
  CHECK(now.out == "accepted\n");
  daemon.wait_generation(3);
}

TEST_CASE("fresh: one key takes the code's default, the others stay") {
  Daemon daemon(kPython, with_python(), "shop.py");
  daemon.ask("put", {{"speed", 9}, {"visits", {{"alice", 2}}}});
  const Refusal unknown = daemon.refused("restart", {{"fresh_key", "sped"}});
  CHECK(unknown.code == ErrorCode::NotFound);
  CHECK(says(unknown.hint, "'speed'"));
  const Json receipt = daemon.ask("restart", {{"fresh_key", "speed"}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["added"]["names"] == Json::array({"speed"}));
  const Json state = daemon.ask("show");
  CHECK(state["speed"] == 5);
  CHECK(state["visits"]["alice"] == 2);
  REQUIRE(receipt["pinned"].is_number());
  CHECK(daemon.ask("rollback", {{"sequence", receipt["pinned"]}, {"state_only", true}})["verdict"] == "ok");
  CHECK(daemon.ask("show")["speed"] == 9);
}

TEST_CASE("adopt: a renamed program finds its state, also the older ones, and later without --adopt") {
  Daemon daemon(kApart, kByHand);
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.25}});
  const Json old = living_state(daemon);
  const Json sequence = daemon.worker()["snapshot"]["sequence"];
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.25}});
  CHECK(daemon.terminate() == 0);
  const std::string renamed = daemon.dir().write("code/renamed.zero", kApart);
  const auto run = [&](const std::string& options) {
    const std::string ctl = built("zerothctl");
    return run_process(
        {"sh", "-c",
         built("zeroth-supervise") + " --rate 0.001 --checkpoint-interval 0 " + options + renamed + " & until " + ctl +
             " status 2>/dev/null | grep -q ready; do :; done; " + ctl + " rollback --yes --sequence " +
             sequence.dump() + " && " + ctl + " --json state LEFT; " + ctl + " stop; wait"},
        {{"ZEROTH_STATE_DIR", daemon.state_dir()}, {"ZEROTH_RUNTIME_DIR", daemon.dir().path("other")}});
  };
  const std::string expected = "\"divergence\":" + Json(divergence(old, "LEFT")).dump();
  for (const char* options : {"--adopt ", ""}) {
    const ProcessResult result = run(options);
    CAPTURE(result.err);
    CHECK(says(result.err, "restored: 2 kept"));
    CHECK(says(result.out, expected));
  }
}

TEST_CASE("fresh: a default that an edit changed and the state overrides is told") {
  Daemon daemon(kPython, with_python(), "shop.py");
  EventStream events = daemon.events({"reload"});
  std::string edited = kPython;
  edited.replace(edited.find("'speed': 5"), 10, "'speed': 8");
  daemon.write_renamed(edited);
  const Json receipt = events.wait_for("reload", is_receipt);
  REQUIRE(receipt["defaults"].size() == 1);
  CHECK(receipt["defaults"][0] == Json{{"key", "speed"}, {"from", "5"}, {"to", "8"}, {"live", "5"}});
  CHECK(says(daemon.err(), ", live 5 kept"));
}

TEST_CASE("check: the code on disk, or of a file, meets kept snapshots and never goes live") {
  Daemon daemon(kApart, {"--rate", "0.001", "--checkpoint-interval", "0", "--no-watch"});
  daemon.ask("checkpoint");
  daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.25}});
  daemon.ask("checkpoint");
  const Json before = daemon.worker();
  daemon.write(std::string(kApart) + "state MIDDLE\n");
  const Json report = daemon.ask("check", {{"last", 2}});
  CHECK(report["verdict"] == "ok");
  REQUIRE(report["snapshots"].size() == 2);
  CHECK(report["snapshots"][0]["sequence"] > report["snapshots"][1]["sequence"]);
  CHECK(report["snapshots"][0]["kept"]["count"] == 2);
  CHECK(report["snapshots"][0]["added"]["names"] == Json::array({"MIDDLE"}));
  const Json broken = daemon.ask("check", {{"file", daemon.dir().write("other.zero", kBroken)}});
  CHECK(broken["verdict"] == "rejected");
  CHECK(broken["diagnostics"][0]["line"] == 2);
  CHECK(daemon.refused("check", {{"file", "/nowhere.zero"}}).code == ErrorCode::NotFound);
  CHECK(daemon.refused("check", {{"last", 0}}).code == ErrorCode::BadParams);
  const Json after = daemon.worker();
  CHECK(after["pid"] == before["pid"]);
  CHECK(after["generation"] == before["generation"]);
  CHECK(daemon.ask("generations")["total"] == 1);
  const auto ctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, daemon.environment());
  };
  CHECK(ctl({"check"}).exit_code == 0);
  const ProcessResult other = ctl({"check", "--last", "2", daemon.dir().path("other.zero")});
  CHECK(other.exit_code == 1);
  CHECK(says(other.out, "unknown state 'WORLD'"));
  CHECK(ctl({"check", daemon.dir().path("other.zero")}).exit_code == 65);
  CHECK(daemon.wait_until([](const Json& worker) { return worker["state"] == "ready"; })["pid"] == before["pid"]);
}

TEST_CASE("check: one at a time, and a candidate that refuses is told") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", "0", "--no-watch"});
  daemon.ask("checkpoint");
  daemon.edit({{"at", {{"in_restore", {"wait on", "error"}}}}});
  ControlClient client = connected(daemon.socket());
  client.send("check");
  client.send("check");
  const auto second = client.receive();
  REQUIRE(second);
  CHECK(std::get<Response>(*second).outcome.error().code == ErrorCode::Busy);
  CHECK(daemon.count() == 0);
  daemon.touch("on");
  const auto first = client.receive();
  REQUIRE(first);
  const Json report = std::get<Response>(*first).outcome.value();
  CHECK(report["verdict"] == "refused");
  CHECK(report["snapshots"][0]["verdict"] == "refused");
}

}  // namespace zeroth::scenario
