// What people meet on an ordinary day: a program at rest, a state that cannot be saved, a reload right after a save, a
// mistake that is mended at once.

#include <filesystem>

#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

const std::string kShop =
    "import zeroth\n"
    "w = zeroth.worker(schema='shop/1')\n"
    "S = w.restore({'visits': {}})\n"
    "@w.command('visit')\n"
    "def visit(who):\n"
    "    S['visits'][who] = S['visits'].get(who, 0) + 1\n"
    "    return S\n"
    "@w.command('spoil')\n"
    "def spoil():\n"
    "    S['visits'][42] = 1\n"
    "@w.command('mend')\n"
    "def mend():\n"
    "    del S['visits'][42]\n"
    "@w.command('saved')\n"
    "def saved():\n"
    "    return {'sequence': w.save()}\n"
    "for _ in w.every(1000): pass\n";

class Shop : public Daemon {
 public:
  explicit Shop(std::vector<std::string> options) : Daemon(kShop, with_python(std::move(options)), "shop.py") {}

 private:
  static std::vector<std::string> with_python(std::vector<std::string> options) {
    options.insert(options.end(),
                   {"--env", "PYTHONPATH=" ZEROTH_SOURCE_DIR "/worker/sdk", Daemon::kCommand, "python3"});
    return options;
  }
};

// Snapshots are taken often, so that many of a state that stands still would be seen.
const std::vector<std::string> kOften = {"--checkpoint-interval", "20ms"};
const std::vector<std::string> kNever = {"--checkpoint-interval", "0"};

}  // namespace

TEST_CASE("everyday: a state that stands still is not written again, and a change is") {
  Shop shop(kOften);
  shop.ask("visit", {{"who", "anna"}});
  EventStream saved = shop.events({"checkpoint"});
  saved.wait_for("checkpoint");
  // The loss window tells that it is asked all the same; the newest snapshot stays the one it was.
  const Json still = shop.wait_until(
      [](const Json& worker) { return worker["snapshot"]["age_s"] > 0.5 && worker["loss_window_s"] < 0.3; });
  EventStream next = shop.events({"checkpoint"});
  shop.ask("visit", {{"who", "anna"}});
  CHECK(next.wait_for("checkpoint")["sequence"] > still["snapshot"]["sequence"]);
  CHECK(living_state(shop)["visits"]["anna"] == 2);
  // Who waits for a snapshot gets one of its own, and the crash loses nothing.
  const Json by_hand = shop.ask("checkpoint")["sequence"];
  CHECK(shop.ask("saved")["sequence"] > by_hand);
  shop.kill_worker();
  shop.wait_generation(2);
  CHECK(living_state(shop)["visits"]["anna"] == 2);
}

TEST_CASE("everyday: a snapshot that is taken away is written again, also by a program at rest") {
  Shop shop(kOften);
  shop.ask("visit", {{"who", "anna"}});
  EventStream saved = shop.events({"checkpoint"});
  saved.wait_for("checkpoint");
  shop.wait_until([](const Json& worker) { return worker["snapshot"]["age_s"] > 0.3; });
  for (const std::string& file : shop.snapshot_files()) std::filesystem::remove(file);
  EventStream again = shop.events({"checkpoint"});
  again.wait_for("checkpoint");
  CHECK_FALSE(shop.snapshot_files().empty());
  shop.kill_worker();
  shop.wait_generation(2);
  CHECK(living_state(shop)["visits"]["anna"] == 1);
}

TEST_CASE("everyday: where only young snapshots count, an equal one is written all the same") {
  Shop shop({"--checkpoint-interval", "20ms", "--max-snapshot-age", "30s"});
  EventStream saved = shop.events({"checkpoint"});
  for (int i = 0; i < 5; ++i) CHECK(saved.wait_for("checkpoint")["cause"] == "periodic");
}

TEST_CASE("everyday: zerothctl shows the state of any worker as the newest snapshot has it") {
  const auto ctl = [](const Daemon& daemon, std::vector<std::string> words) {
    words.insert(words.begin(), built("zerothctl"));
    return run_process(words, daemon.environment());
  };
  {
    Shop shop(kNever);
    shop.ask("visit", {{"who", "anna"}});
    shop.ask("checkpoint");
    CHECK(ctl(shop, {"state", "/visits/anna"}).out == "1\n");
    CHECK(ctl(shop, {"state", "--json"}).out == "{\"visits\":{\"anna\":1}}\n");
    CHECK(says(ctl(shop, {"state", "/visits/ana"}).err, "did you mean '/visits/anna'?"));
    CHECK(says(ctl(shop, {"state", "visits"}).err, "did you mean '/visits'?"));
  }
  Daemon zero(kDay, kByHand);
  const auto sequence = zero.ask("checkpoint")["sequence"];
  CHECK(ctl(zero, {"state", "--json"}).out == dump(state_of(zero, sequence)) + "\n");
  CHECK(ctl(zero, {"state", "/states/0"}).out == "\"DAWN\"\n");
  CHECK(says(ctl(zero, {"state", "NOON"}).out, "NOON"));
}

TEST_CASE("everyday: a state that cannot be saved blocks nothing for ever, and what can be done is said") {
  Shop shop(kNever);
  shop.ask("visit", {{"who", "anna"}});
  const Json kept = shop.ask("checkpoint")["sequence"];
  shop.ask("visit", {{"who", "anna"}});
  shop.ask("spoil");
  const std::string why = "/visits: key 42 is int; use str or a map";
  const Json abandoned = shop.ask("restart");
  CHECK(abandoned["verdict"] == "abandoned");
  CHECK(says(abandoned["reason"], why));
  const std::string newest = "snapshot " + kept.dump();
  for (const std::string& way :
       {std::string("mend it through a command"), std::string("restart --fresh, or stop --force"), newest})
    CHECK(says(abandoned["hint"], way));
  const Refusal refused = shop.refused("stop");
  CHECK(says(refused.message, why));
  CHECK(says(refused.hint, "restart --fresh"));
  CHECK(says(shop.err(), "mend it through a command"));
  CHECK(shop.worker()["state"] == "ready");
  SUBCASE("mended") {
    shop.ask("mend");
    CHECK(shop.ask("restart")["verdict"] == "ok");
    CHECK(living_state(shop)["visits"]["anna"] == 2);
  }
  SUBCASE("left behind") {
    const pid_t old = shop.worker_pid();
    const Json fresh = shop.ask("restart", {{"fresh", true}});
    CHECK(fresh["verdict"] == "ok");
    CHECK(fresh["mode"] == "recreate");
    CHECK(fresh["pinned"] == kept);
    CHECK(says(fresh["warnings"][0], why));
    CHECK(wait_reaped(old));
    CHECK(living_state(shop)["visits"] == Json::object());
    CHECK(shop.worker()["restarts"] == 0);
    CHECK(shop.ask("rollback", {{"sequence", kept}})["verdict"] == "ok");
    CHECK(living_state(shop)["visits"]["anna"] == 1);
  }
  SUBCASE("left behind for code that does not start: the old process goes on") {
    shop.write_renamed("raise SystemExit(3)\n");
    CHECK(shop.ask("restart", {{"fresh", true}})["verdict"] == "rejected");
    shop.ask("mend");
    CHECK(living_state(shop)["visits"]["anna"] == 2);
  }
}

TEST_CASE("everyday: a reload right after a save names the file as the watch would have") {
  Daemon daemon(kDay, {"--no-watch"});
  daemon.write(std::string(kDay) + "# more\n");
  CHECK(daemon.ask("reload")["changed"] == Json::array({daemon.program()}));
  CHECK(says(daemon.err(), "generation 2  greeting.zero changed"));
  Shop shop({"--checkpoint-interval", "0", "--debounce", "10s"});
  shop.write(kShop + "# more\n");
  CHECK(shop.ask("reload")["changed"] == Json::array({shop.program()}));
}

TEST_CASE("everyday: a mistake that is mended at once is in the log and the events all the same") {
  FakeDaemon daemon;
  EventStream told = daemon.events();
  daemon.edit(behaviour_at("before_loaded", "exit 3"));
  while (daemon.worker()["rejected"].is_null()) {  // known before it is told
  }
  daemon.edit(Json::object());
  const Json rejected = told.wait_for("rejected");
  CHECK(rejected["verdict"] == "rejected");
  CHECK(rejected["at"].is_string());
  daemon.wait_until([](const Json& worker) { return worker["rejected"].is_null() && worker["state"] == "ready"; });
  CHECK(daemon.logs("rejected"));
  // Every event has a time.
  daemon.increment(1);
  daemon.ask("checkpoint");
  CHECK(told.wait_for("checkpoint")["at"].get<std::string>().ends_with("Z"));
}

TEST_CASE("everyday: what is watched is moved away: that is said, what runs goes on, and its return is an edit") {
  Shop shop(kNever);
  shop.ask("visit", {{"who", "anna"}});
  EventStream told = shop.events({"log", "reload"});
  const std::string away = shop.program() + ".away";
  std::filesystem::rename(shop.program(), away);
  const auto is_gone = [](const Json& log) { return says(log["message"].get<std::string>(), "shop.py is gone"); };
  told.wait_for("log", is_gone);
  const ControlClient::Outcome refused = shop.call("reload");
  REQUIRE_FALSE(refused);
  CHECK(says(refused.error().message, "no edit is seen until it is back"));
  CHECK(shop.ask("visit", {{"who", "anna"}})["visits"]["anna"] == 2);
  CHECK(shop.generation() == 1);
  shop.dir().write("code/shop.py.away", kShop + "# edited\n");
  std::filesystem::rename(away, shop.program());
  CHECK(told.wait_for("reload", is_receipt)["verdict"] == "ok");
  CHECK(shop.ask("visit", {{"who", "anna"}})["visits"]["anna"] == 3);
}

}  // namespace zeroth::scenario
