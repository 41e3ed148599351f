// --state-file: an unmodified command keeps its state in a file, which becomes snapshots and is put back.

#include <unistd.h>

#include <filesystem>

#include "common/exit_codes.h"
#include "tests/scenario/counter.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kBySignal = {"--state-signal", "USR1", "--checkpoint-interval", "0"};

// The file lies in a folder of its own.
struct Kept {
  TempDir files;
  Daemon daemon;

  explicit Kept(const std::string& code, const std::vector<std::string>& options = {})
      : daemon(code, with_file(options), "counter.sh") {}

  std::string file() const { return files.path("count.json"); }
  std::string count() const { return files.read("count.json"); }
  void tick() const { scenario::tick(files); }
  Json checkpoint() { return daemon.ask("snapshot", {{"sequence", daemon.ask("checkpoint")["sequence"]}}); }

 private:
  std::vector<std::string> with_file(const std::vector<std::string>& options) const {
    std::vector<std::string> all = {"--state-file", files.path("count.json")};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), {Daemon::kMuteCommand, "sh"});
    return all;
  }
};

ProcessResult supervise(std::vector<std::string> words) {
  words.insert(words.begin(), built("zeroth-supervise"));
  return run_process(words);
}

}  // namespace

TEST_CASE("state file: without a signal, what is in the file when the command ends is kept") {
  Kept kept(counter(1));
  kept.tick();
  kept.tick();
  CHECK(kept.daemon.worker()["mode"] == "recreate");
  CHECK(says(kept.daemon.worker()["mode_reason"].get<std::string>(), "its state is a file"));
  SUBCASE("an edit") {
    kept.daemon.write_renamed(counter(10));
    CHECK(kept.daemon.wait_generation(2)["last_reload"]["mode"] == "recreate");
    kept.tick();
    CHECK(kept.count() == "12\n");
  }
  SUBCASE("a crash") {
    tell(kept.files, "do", "kill -ABRT $$");
    CHECK(kept.daemon.wait_generation(2)["last_exit"]["signal"] == SIGABRT);
    kept.tick();
    CHECK(kept.count() == "3\n");
  }
  SUBCASE("a stop, and a start without the file") {
    CHECK(kept.daemon.terminate() == 0);
    fs::remove(kept.file());
    kept.daemon.restart();
    kept.tick();
    CHECK(kept.count() == "3\n");
  }
  SUBCASE("the death of the supervisor, and a start without the file") {
    kept.daemon.kill_supervisor();
    CHECK(kept.daemon.wait_no_workers());
    fs::remove(kept.file());
    kept.daemon.restart();
    kept.tick();
    CHECK(kept.count() == "3\n");
  }
}

TEST_CASE("state file: a signal has it saved, for a checkpoint and for a reload") {
  Kept kept(counter(1, kRarely), kBySignal);
  kept.tick();
  kept.tick();
  CHECK_FALSE(fs::exists(kept.file()));
  CHECK(kept.checkpoint()["state"] == 2);
  kept.tick();
  kept.daemon.write_renamed(counter(10, kRarely));
  CHECK(kept.daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  kept.tick();
  CHECK(kept.checkpoint()["state"] == 13);
}

TEST_CASE("state file: a rollback by generation puts the file back before the command starts") {
  Kept kept(counter(1, kRarely), kBySignal);
  kept.tick();
  kept.daemon.write_renamed(counter(10, kRarely));
  kept.daemon.wait_generation(2);
  kept.tick();
  const Json receipt = kept.daemon.ask("rollback", {{"generation", 1}, {"state_only", true}});
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["restored_generation"] == 1);
  CHECK(kept.count() == "1\n");
  CHECK(kept.daemon.ask("rollback", {{"sequence", receipt["pinned"]}, {"state_only", true}})["verdict"] == "ok");
  CHECK(kept.count() == "11\n");
}

TEST_CASE("state file: periodically by an interval that was given") {
  Kept kept(counter(1, kRarely), {"--state-signal", "USR1", "--checkpoint-interval", "100ms"});
  kept.tick();
  EventStream saved = kept.daemon.events({"checkpoint"});
  saved.wait_for("checkpoint");
  kept.tick();
  saved.wait_for("checkpoint");
  saved.wait_for("checkpoint");  // begun after that tick
  kept.daemon.kill_worker();
  kept.daemon.wait_generation(2);
  CHECK(kept.count() == "2\n");
}

TEST_CASE("state file: a command that does not save in time is degraded, and goes on") {
  Kept kept(counter(1, kInVain), kBySignal);
  kept.tick();
  const pid_t pid = kept.daemon.worker_pid();
  const Refusal refused = kept.daemon.refused("checkpoint");
  CHECK(says(refused.message, kept.file() + " was not saved within"));
  CHECK(says(refused.message, "of USR1"));
  CHECK(says(kept.daemon.worker()["snapshot"]["degraded"].get<std::string>(), "was not saved within"));
  kept.tick();
  CHECK(kept.daemon.worker_pid() == pid);
}

TEST_CASE("state file: a command has it saved; one that fails is told of") {
  Kept kept(counter(1, "rare=yes\n"),
            {"--checkpoint-interval", "0", "--state-command",
             "d=${ZEROTH_STATE_FILE%/*}; : > \"$d/save\"; while [ -e \"$d/save\" ]; do sleep 0.01; done; "
             "[ ! -e \"$d/broken\" ]"});
  kept.tick();
  CHECK(kept.checkpoint()["state"] == 1);
  kept.files.write("broken", "");
  CHECK(says(kept.daemon.refused("checkpoint").message, "ended with exit code 1"));
  fs::remove(kept.files.path("broken"));
  kept.tick();
  CHECK(kept.checkpoint()["state"] == 2);
}

TEST_CASE("state file: what is written there is no edit") {
  const TempDir files;
  Daemon daemon(counter(1),
                {"--state-file", files.path("count.json"), "--watch", files.path(), "--ignore", "tick", "--ignore",
                 "tick.new", Daemon::kMuteCommand, "sh"},
                "counter.sh");
  tick(files);
  CHECK(files.read("count.json") == "1\n");
  CHECK(daemon.ask("reload")["verdict"] == "unchanged");
  CHECK(daemon.generation() == 1);
}

TEST_CASE("state file: how often it is asked for by itself") {
  const auto interval = [](const std::vector<std::string>& options) {
    Kept kept(counter(1, kRarely), options);
    return kept.daemon.ask("config")["checkpoint-interval"]["value"];
  };
  CHECK(interval({}) == 0);
  CHECK(interval({"--state-signal", "USR1"}) == 60'000);
  CHECK(interval({"--state-signal", "USR1", "--checkpoint-interval", "5s"}) == 5'000);
}

TEST_CASE("state file: a command that is not well is replaced with its file, once it has been well") {
  const TempDir place;
  Kept kept(counter(1), {"--health", "exec:test -f " + place.path("well"), "--health-interval", "50ms",
                         "--health-failures", "1", "--state-signal", "USR1", "--checkpoint-interval", "0"});
  kept.daemon.wait_until([](const Json& worker) { return worker["health"]["last_error"].is_string(); });
  kept.tick();
  CHECK(kept.daemon.worker()["generation"] == 1);
  const std::string marker = place.write("well", "");
  kept.daemon.wait_until([](const Json& worker) { return worker["health"]["last_error"].is_null(); });
  ::unlink(marker.c_str());
  CHECK(kept.daemon.wait_generation(2)["last_reload"]["cause"] == "unhealthy");
  kept.tick();
  CHECK(kept.count() == "2\n");
}

TEST_CASE("state file: options that do not fit together are refused") {
  const auto refused = [](std::vector<std::string> options, const std::string& why) {
    const ProcessResult told = supervise(std::move(options));
    CHECK(told.exit_code == kExitUsage);
    CHECK_MESSAGE(says(told.err, why), told.err);
  };
  refused({"--state-signal", "USR1", "--", "true"}, "go with --state-file PATH");
  refused({"--state-file", "a", "a.zero"}, "--state-file is for commands");
  refused({"--state-file", "a", "--protocol", "--", "true"}, "do not speak the protocol");
  refused({"--state-file", "a", "--health", "notify", "--", "true"}, "--health notify does not go with --state-file");
  refused({"--state-file", "a", "--state-signal", "KILL", "--", "true"}, "'KILL' is no signal to ask by");
  refused({"--state-file", "a", "--state-signal", "USR1", "--state-command", "true", "--", "true"}, "not both");
}

TEST_CASE("state file: redis, unmodified, keeps what it knows over a restart, a crash and a rollback") {
  if (::access("/usr/bin/redis-server", X_OK) != 0) {
    MESSAGE("skipped: there is no redis-server (apt install redis-server)");
    return;
  }
  const TempDir files;
  const std::string socket = files.path("redis.sock");
  const std::string ask = "redis-cli -s " + socket + " ";
  const auto redis = [&](const std::string& words) {
    const std::string until_it_answers = "until " + ask + "ping >/dev/null 2>&1; do sleep 0.02; done; " + ask + words;
    return run_process({"sh", "-c", until_it_answers}, {}, "", kPatience).out;
  };
  Daemon daemon("# redis\n",
                {"--state-file", files.path("dump.rdb"), "--state-command", ask + "save", "--checkpoint-interval", "0",
                 Daemon::kMuteCommand, "sh", "-c",
                 "exec redis-server --port 0 --unixsocket " + socket + " --dir " + files.path() +
                     " --dbfilename dump.rdb --save ''"},
                "redis.conf");
  redis("set visits 3");
  const Json first = daemon.ask("checkpoint")["sequence"];
  CHECK(daemon.ask("snapshot", {{"sequence", first}})["state"].contains("$bytes"));
  redis("set visits 4");
  CHECK(daemon.ask("restart")["verdict"] == "ok");
  CHECK(redis("get visits") == "4\n");
  redis("set visits 5");
  daemon.ask("checkpoint");
  const std::uint64_t generation = daemon.generation();
  daemon.kill_worker();
  daemon.wait_generation(generation + 1);
  CHECK(redis("get visits") == "5\n");
  CHECK(daemon.ask("rollback", {{"sequence", first}, {"state_only", true}})["verdict"] == "ok");
  CHECK(redis("get visits") == "3\n");
}

}  // namespace zeroth::scenario
