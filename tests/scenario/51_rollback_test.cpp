// Going back by hand: code and state together and apart, what is pinned, and what is held back then.

#include <filesystem>

#include "common/hash.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

// Generation 1 ran kApart and ended with `first`; generation 2 runs kApartWider with `second`. Nothing moves by itself.
struct TwoGenerations {
  Daemon daemon;
  Json first, second;

  explicit TwoGenerations(const std::vector<std::string>& options = kByHand) : daemon(kApart, options) {
    daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.1}});
    first = living_state(daemon);
    edit(daemon, kApartWider);
    daemon.ask("state", {{"name", "RIGHT"}, {"inject", 0.3}});
    second = living_state(daemon);
    REQUIRE(first["divergence"] != second["divergence"]);
  }

  Json held_back() { return daemon.worker()["held_back"]; }
};

bool same_memory(const Json& a, const Json& b) {
  return a["states"] == b["states"] && a["divergence"] == b["divergence"] && a["iteration"] == b["iteration"] &&
         a["dimensions"] == b["dimensions"];
}

// Neither the worker nor what it may leave behind survives.
void kill_all(Daemon& daemon) {
  daemon.kill_supervisor();
  CHECK(daemon.wait_no_workers());
  for (const auto& entry : fs::directory_iterator(daemon.worker_dir())) {
    if (entry.path().filename().string().starts_with("emergency-")) fs::remove(entry.path());
  }
}

}  // namespace

TEST_CASE("rollback: code and state of a generation return, the present ones are pinned, and there is a way back") {
  TwoGenerations two;
  const Json receipt = two.daemon.ask("rollback", {{"generation", 1}});
  CHECK(receipt["operation"] == "rollback");
  CHECK(receipt["cause"] == "rollback");
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["from"] == 2);
  CHECK(receipt["to"] == 3);
  CHECK(receipt["restored_generation"] == 1);
  CHECK(receipt["code"] == true);
  CHECK(receipt["iteration_lost"] == 0);
  REQUIRE(receipt["pinned"].is_number());
  CHECK(same_memory(living_state(two.daemon), two.first));
  CHECK(two.daemon.worker()["program_hash"] == xxh3_hex(kApart));
  CHECK(two.held_back()["hash"] == xxh3_hex(kApartWider));
  CHECK(two.held_back()["generation"] == 1);

  const Json back = two.daemon.ask("rollback", {{"sequence", receipt["pinned"]}});
  CHECK(back["verdict"] == "ok");
  CHECK(back["to"] == 4);
  CHECK(back["restored_generation"] == 2);
  CHECK(same_memory(living_state(two.daemon), two.second));
  CHECK(two.daemon.worker()["program_hash"] == xxh3_hex(kApartWider));
  CHECK(two.held_back().is_null());  // what runs is what is on disk
  CHECK(two.daemon.ask("generations")["generations"][0]["operation"] == "rollback");
}

TEST_CASE("rollback: only the code, or only the state") {
  TwoGenerations two;
  SUBCASE("old code with the living state") {
    const Json receipt = two.daemon.ask("rollback", {{"generation", 1}, {"code_only", true}});
    CHECK(receipt["verdict"] == "ok");
    CHECK(receipt["code"] == true);
    CHECK(receipt["restored_generation"] == 1);
    CHECK(same_memory(living_state(two.daemon), two.second));
    CHECK(two.daemon.worker()["program_hash"] == xxh3_hex(kApart));
    CHECK(two.held_back()["hash"] == xxh3_hex(kApartWider));
  }
  SUBCASE("old state with the present code") {
    const Json receipt = two.daemon.ask("rollback", {{"generation", 1}, {"state_only", true}});
    CHECK(receipt["verdict"] == "ok");
    CHECK(receipt["code"] == false);
    CHECK(same_memory(living_state(two.daemon), two.first));
    CHECK(two.daemon.worker()["program_hash"] == xxh3_hex(kApartWider));
    CHECK(two.held_back().is_null());
  }
}

TEST_CASE("rollback: what it went back to survives every death before the first snapshot of its own") {
  TwoGenerations two;
  two.daemon.ask("rollback", {{"generation", 1}});
  SUBCASE("of the worker") {
    two.daemon.kill_worker();
    two.daemon.wait_generation(4);
  }
  SUBCASE("of both") {
    kill_all(two.daemon);
    two.daemon.restart();
  }
  CHECK(same_memory(living_state(two.daemon), two.first));
  CHECK(two.daemon.worker()["program_hash"] == xxh3_hex(kApart));
  // And from then on there is a snapshot of this life.
  kill_all(two.daemon);
  two.daemon.restart();
  CHECK(same_memory(living_state(two.daemon), two.first));
}

TEST_CASE("rollback: the cut of it does not prune what it goes back to") {
  TwoGenerations two;
  Json oldest, sequence;
  for (int i = 0; i < 4; ++i) {  // with that of living_state as many as are kept: the cut is one more
    two.daemon.ask("state", {{"name", "LEFT"}, {"inject", 0.1}});
    const Json saved = two.daemon.ask("checkpoint")["sequence"];
    if (i > 0) continue;
    oldest = living_state(two.daemon);
    sequence = saved;
  }
  CHECK(two.daemon.ask("rollback", {{"sequence", sequence}, {"state_only", true}})["verdict"] == "ok");
  kill_all(two.daemon);
  two.daemon.restart();
  CHECK(same_memory(living_state(two.daemon), oldest));
}

TEST_CASE("rollback: to an imported snapshot, and a death before the first snapshot of its own") {
  TwoGenerations two;
  const std::string path = two.daemon.dir().path("moved.json");
  two.daemon.ask("export", {{"sequence", 1}, {"path", path}});
  const Json imported = two.daemon.ask("import", {{"path", path}});
  CHECK(two.daemon.ask("rollback", {{"sequence", imported["sequence"]}, {"state_only", true}})["verdict"] == "ok");
  const std::uint64_t generation = two.daemon.generation();
  two.daemon.kill_worker();
  two.daemon.wait_generation(generation + 1);
  CHECK(same_memory(living_state(two.daemon), two.first));
}

TEST_CASE("rollback: code on disk is held back over restarts, and ends with another content") {
  TwoGenerations two;
  Daemon& daemon = two.daemon;
  const pid_t replaced = daemon.worker_pid();
  daemon.ask("rollback", {{"generation", 1}});
  CHECK(wait_reaped(replaced));  // then the rollback is over
  const Json held = two.held_back();
  REQUIRE(held["hash"] == xxh3_hex(kApartWider));

  EventStream events = daemon.events({"reload"});
  daemon.write_renamed(kApartWider);  // saved again, the same
  CHECK(events.wait_for("reload")["verdict"] == "unchanged");
  CHECK(daemon.ask("reload")["verdict"] == "unchanged");
  CHECK(says(daemon.ask("reload")["reason"].get<std::string>(), "held back"));
  CHECK(daemon.generation() == 3);
  CHECK(daemon.ask("restart")["verdict"] == "ok");
  CHECK(daemon.worker()["program_hash"] == xxh3_hex(kApart));
  CHECK(two.held_back() == held);

  CHECK(daemon.terminate() == 0);
  daemon.restart();
  CHECK(daemon.worker()["program_hash"] == xxh3_hex(kApart));
  CHECK(two.held_back() == held);
  kill_all(daemon);
  daemon.restart();
  CHECK(daemon.worker()["program_hash"] == xxh3_hex(kApart));
  CHECK(two.held_back() == held);
  daemon.kill_worker();
  daemon.wait_until([](const Json& worker) { return worker["state"] == "ready" && worker["restarts"] == 1; });
  CHECK(two.held_back() == held);

  SUBCASE("an edit") {
    const Json now = edit(daemon, std::string(kApartWider) + "# another\n");
    CHECK(now["held_back"].is_null());
    CHECK(now["program_hash"] != xxh3_hex(kApart));
    CHECK(says(daemon.err(), "no longer held back"));
    edit(daemon, kApartWider);
  }
  SUBCASE("an edit while nothing runs") {
    CHECK(daemon.terminate() == 0);
    daemon.write(kDay);
    daemon.restart();
    CHECK(daemon.worker()["program_hash"] == xxh3_hex(kDay));
    CHECK(two.held_back().is_null());
  }
  SUBCASE("restart --release") {
    CHECK(daemon.ask("restart", {{"release", true}})["verdict"] == "ok");
    CHECK(daemon.worker()["program_hash"] == xxh3_hex(kApartWider));
    CHECK(two.held_back().is_null());
  }
  SUBCASE("reload --force") {
    CHECK(daemon.ask("reload", {{"force", true}})["verdict"] == "ok");
    CHECK(daemon.worker()["program_hash"] == xxh3_hex(kApartWider));
    CHECK(two.held_back().is_null());
  }
}

TEST_CASE("rollback: asked for nonsense, it says what exists nearby and changes nothing") {
  TwoGenerations two;
  const pid_t pid = two.daemon.worker_pid();
  const auto error = [&](const Json& params) { return two.daemon.refused("rollback", params); };
  CHECK(error(Json::object()).code == ErrorCode::BadParams);
  CHECK(error({{"generation", 1}, {"sequence", 1}}).code == ErrorCode::BadParams);
  CHECK(error({{"generation", 1}, {"code_only", true}, {"state_only", true}}).code == ErrorCode::BadParams);
  CHECK(error({{"generation", "one"}}).code == ErrorCode::BadParams);
  CHECK(error({{"sequence", -1}}).code == ErrorCode::BadParams);
  const Refusal unknown = error({{"generation", 99}});
  CHECK(unknown.code == ErrorCode::NotFound);
  CHECK(says(unknown.hint, "1, 2"));
  CHECK(error({{"sequence", 99}}).code == ErrorCode::NotFound);
  fs::remove_all(two.daemon.worker_dir() + "/programs");
  const Refusal gone = error({{"generation", 1}});
  CHECK(gone.code == ErrorCode::Refused);
  CHECK(says(gone.message, xxh3_hex(kApart)));
  CHECK(says(gone.hint, "--state-only"));
  CHECK(two.daemon.worker_pid() == pid);
  CHECK(two.daemon.ask("rollback", {{"generation", 1}, {"state_only", true}})["verdict"] == "ok");
}

TEST_CASE("rollback: a candidate that dies or refuses leaves the running one untouched") {
  const char* action = "die";
  SUBCASE("dies") {}
  SUBCASE("refuses") {
    action = "error";
  }
  FakeDaemon daemon(behaviour_at("in_restore", action, {2}), {"--checkpoint-interval", "0"});
  daemon.increment(3);
  const Json sequence = daemon.ask("checkpoint")["sequence"];
  daemon.increment(4);
  const pid_t pid = daemon.worker_pid();
  const Json receipt = daemon.ask("rollback", {{"sequence", sequence}});
  CHECK(receipt["verdict"] == "abandoned");
  CHECK(receipt["pinned"].is_null());
  CHECK(daemon.worker_pid() == pid);
  CHECK(daemon.count() == 7);
  const Json again = daemon.ask("rollback", {{"sequence", sequence}});
  CHECK(again["verdict"] == "ok");
  CHECK(again["to"] == 3);
  CHECK(again["iteration_lost"].is_null());  // this worker does not say what it restored
  CHECK(daemon.count() == 3);
}

TEST_CASE("rollback: the code of a command does not return, its state does") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", "0"});
  daemon.increment(5);
  daemon.edit({{"ignore_term", true}});
  daemon.wait_generation(2);  // its cut may still be on its way to the disk
  const Refusal refused = daemon.refused("rollback", {{"generation", 1}});
  CHECK(refused.code == ErrorCode::Refused);
  CHECK(says(refused.hint, "--state-only"));
  CHECK(refused.data["program_hash"].is_string());
  daemon.increment(2);
  const Json receipt = daemon.ask("rollback", {{"generation", 1}, {"state_only", true}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(daemon.count() == 5);
}

TEST_CASE("rollback: asked for during a reload, it comes after it") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", "0"});
  daemon.increment(5);
  const Json sequence = daemon.ask("checkpoint")["sequence"];
  daemon.increment(1);
  EventStream states = daemon.events();
  daemon.edit(behaviour_at("before_ready", "wait on", {2}));
  states.wait_for("worker-state", [](const Json& data) { return data["state"] == "reloading"; });
  ControlClient client = connected(daemon.socket());
  client.send("rollback", {{"sequence", sequence}, {"state_only", true}});
  CHECK(daemon.worker()["generation"] == 1);
  daemon.touch("on");
  const auto answer = client.receive();
  REQUIRE(answer);
  const Json receipt = std::get<Response>(*answer).outcome.value();
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["from"] == 2);
  CHECK(receipt["to"] == 3);
  CHECK(daemon.count() == 5);
}

TEST_CASE("rollback: nobody is live") {
  FakeDaemon daemon(Json::object(), {"--checkpoint-interval", "0", "--restart", "never"});
  daemon.increment(5);
  const Json sequence = daemon.ask("checkpoint")["sequence"];
  daemon.increment(5);
  daemon.ask("checkpoint");
  daemon.kill_worker();
  daemon.wait_until([](const Json& worker) { return worker["state"] == "failed"; });
  const Json receipt = daemon.ask("rollback", {{"sequence", sequence}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["operation"] == "rollback");
  CHECK(receipt["pinned"].get<int>() > sequence.get<int>());
  CHECK(daemon.count() == 5);
}

TEST_CASE("rollback: zerothctl says what would be lost, and in a pipe does nothing without --yes") {
  TwoGenerations two;
  const auto ctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, two.daemon.environment());
  };
  const ProcessResult asked = ctl({"rollback", "1"});
  CHECK(asked.exit_code == 2);
  CHECK(says(asked.err, "would be lost"));
  CHECK(says(asked.err, "0 iterations"));
  CHECK(says(asked.err, "--yes"));
  CHECK(two.daemon.generation() == 2);
  CHECK(ctl({"rollback"}).exit_code == 2);
  CHECK(ctl({"rollback", "99", "--yes"}).exit_code == 1);
  const ProcessResult done = ctl({"rollback", "1", "--yes"});
  CHECK(done.exit_code == 0);
  const std::string back = "zerothctl rollback --sequence ";
  REQUIRE(says(done.out, back));
  CHECK(same_memory(living_state(two.daemon), two.first));
  const std::string sequence = done.out.substr(done.out.find(back) + back.size());
  CHECK(ctl({"rollback", "--sequence", sequence.substr(0, sequence.find('\n')), "--yes"}).exit_code == 0);
  CHECK(same_memory(living_state(two.daemon), two.second));
}

}  // namespace zeroth::scenario
