// Workers that run as another user, who can enter neither the state folder nor what root wrote there.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "common/exit_codes.h"
#include "common/files.h"
#include "tests/scenario/counter.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

constexpr uid_t kNobody = 65534;
constexpr int kLarge = 300'000;  // bytes of a state that does not come inline

// To others: the file may be read, and each folder above it entered.
bool is_open(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0 || (info.st_mode & S_IROTH) == 0) return false;
  for (std::filesystem::path at = std::filesystem::path(file).parent_path(); at != at.root_path();
       at = at.parent_path()) {
    if (::stat(at.c_str(), &info) != 0 || (info.st_mode & S_IXOTH) == 0) return false;
  }
  return true;
}

bool can_run_as_nobody() {
  const bool open = is_open(ZEROTH_SOURCE_DIR "/worker/sdk/zeroth.py") && is_open(built("zeroth-worker"));
  if (::geteuid() == 0 && open) return true;
  MESSAGE("skipped: ", open ? "only root may run a worker as nobody" : "nobody cannot enter the folder of the sources");
  return false;
}

const std::string kApp = R"(
import os
own, state_dir = os.environ["ZEROTH_WORKER_DIR"], os.environ["ROOTS"]
import zeroth
w = zeroth.worker(schema="app/1")
S = w.restore({"n": 0, "big": ""})
@w.command("inc")
def inc(by):
    S["n"] += by
    return S["n"]
@w.command("grow")
def grow(size):
    S["big"] = "x" * size
@w.command("told")
def told():
    with open("/dev/stdout", "w") as out:
        out.write("written by name\n")
    with open(own + "/mine", "w") as file:
        file.write("x")
    return {"uids": list(os.getresuid()), "gids": list(os.getresgid()), "groups": os.getgroups(),
            "names": [os.environ.get(name) for name in ("HOME", "USER", "LOGNAME")],
            "enters": os.access(state_dir, os.X_OK), "n": S["n"], "big": len(S["big"])}
for _ in w.every(1000): pass
)";

std::vector<std::string> as_nobody(std::vector<std::string> options, std::vector<std::string> command = {"python3"}) {
  options.insert(options.begin(), {"--user", "nobody", "--env", "PYTHONPATH=" ZEROTH_SOURCE_DIR "/worker/sdk"});
  options.push_back(Daemon::kCommand);
  options.insert(options.end(), command.begin(), command.end());
  return options;
}

class App : public Daemon {
 public:
  explicit App(std::vector<std::string> options = {}, std::vector<std::string> command = {"python3"})
      : Daemon(kApp, with_roots(as_nobody(std::move(options), std::move(command))), "app.py") {}

  std::string place() const { return runtime_dir() + "/users/65534/app"; }
  Json told() { return ask("told"); }
  void check_kept(int n) {
    const Json now = told();
    CHECK(now["n"] == n);
    CHECK(now["big"] == kLarge);
    CHECK(now["uids"] == Json({kNobody, kNobody, kNobody}));
  }
  std::string edited(int times) const { return kApp + std::string(static_cast<std::size_t>(times), '#') + "\n"; }

 private:
  static std::vector<std::string> with_roots(std::vector<std::string> options) {
    options.insert(options.begin(), {"--env", "ROOTS=/root"});
    return options;
  }
};

uid_t owner_of(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_uid : static_cast<uid_t>(-1);
}

bool none_begins(const std::string& folder, const std::string& prefix) {
  return std::ranges::none_of(std::filesystem::directory_iterator(folder),
                              [&](const auto& entry) { return entry.path().filename().string().starts_with(prefix); });
}

ProcessResult supervise(const Daemon& daemon, std::vector<std::string> words) {
  words.insert(words.begin(), built("zeroth-supervise"));
  return run_process(words, daemon.environment());
}

}  // namespace

TEST_CASE("user: the worker is that user alone, and its state survives edits, crashes and rollbacks") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0", "--verify-restore"});
  const Json first = app.told();
  CHECK(first["uids"] == Json({kNobody, kNobody, kNobody}));
  CHECK(first["gids"] == first["uids"]);
  CHECK(first["groups"] == Json({kNobody}));
  CHECK(first["names"][1] == "nobody");
  CHECK(first["names"][2] == "nobody");
  CHECK(first["names"][0] != "/root");
  CHECK(first["enters"] == false);
  CHECK(owner_of(app.place() + "/own/mine") == kNobody);
  CHECK(app.ask("config")["user"]["value"] == "nobody");
  CHECK(app.ask("config")["user"]["origin"] == "flag");

  app.ask("grow", {{"size", kLarge}});
  CHECK(app.ask("inc", {{"by", 3}}) == 3);
  CHECK(edit(app, app.edited(1))["generation"] == 2);
  app.check_kept(3);
  CHECK(app.ask("inc", {{"by", 1}}) == 4);
  const Json saved = app.ask("checkpoint")["sequence"];
  CHECK(app.ask("check", {{"last", 1}})["verdict"] == "ok");
  app.kill_worker();
  app.wait_until([](const Json& worker) { return worker["restarts"] == 1 && worker["state"] == "ready"; });
  app.check_kept(4);
  CHECK(app.ask("inc", {{"by", 1}}) == 5);
  CHECK(app.ask("rollback", {{"sequence", saved}, {"state_only", true}})["verdict"] == "ok");
  app.check_kept(4);
  app.wait_until([&](const Json&) { return none_begins(app.place(), "state-"); });
  CHECK(says(app.out(), "written by name"));
  CHECK(app.terminate() == kExitOk);
  CHECK(none_begins(app.place(), "alive-"));
  app.restart();
  app.check_kept(4);
}

TEST_CASE("user: a state that cannot be handed over is tried again, and its snapshot is not to blame") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0"});
  app.ask("grow", {{"size", kLarge}});
  app.ask("inc", {{"by", 3}});
  app.ask("checkpoint");
  app.wait_until([&](const Json&) { return none_begins(app.place(), "state-"); });
  for (int i = 0; i < 100; ++i) REQUIRE(std::filesystem::create_directory(app.place() + "/state-" + std::to_string(i)));
  app.kill_worker();
  app.wait_until([&](const Json&) {
    const std::string log = app.log();
    std::size_t times = 0;
    for (std::size_t at = log.find("handing the state"); at != std::string::npos; ++times)
      at = log.find("handing the state", at + 1);
    return times >= 3;
  });
  for (int i = 0; i < 100; ++i) std::filesystem::remove(app.place() + "/state-" + std::to_string(i));
  CHECK(app.wait_until([](const Json& worker) { return worker["state"] == "ready"; })["snapshot"]["rejected"].empty());
  app.check_kept(3);
}

TEST_CASE("user: reloads by recreate and exec keep a large state, and so does the death of the supervisor") {
  if (!can_run_as_nobody()) return;
  for (const std::string mode : {"recreate", "exec"}) {
    CAPTURE(mode);
    App app({"--checkpoint-interval", "0", "--reload", mode});
    app.ask("grow", {{"size", kLarge}});
    app.ask("inc", {{"by", 2}});
    const pid_t before = app.worker_pid();
    CHECK(edit(app, app.edited(1))["mode"] == mode);
    CHECK((app.worker_pid() == before) == (mode == "exec"));
    app.check_kept(2);
    CHECK(app.ask("inc", {{"by", 1}}) == 3);
    app.kill_supervisor();
    app.restart();
    app.check_kept(3);
    CHECK(says(app.err(), "had saved itself when its supervisor died"));
    CHECK(none_begins(app.place() + "/saved", "emergency-"));
    CHECK(app.wait_workers(1));
  }
}

TEST_CASE("user: numbers are not used again, if only a file in that user's place tells of them") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0"});
  app.kill_supervisor();
  REQUIRE(app.wait_no_workers());
  std::ofstream(app.place() + "/alive-41").close();
  app.restart();
  CHECK(app.wait_generation(2)["generation"] == 42);
}

TEST_CASE("user: root goes on from what was a snapshot, and believes nothing that the former user left behind") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0"});
  app.ask("inc", {{"by", 7}});
  app.ask("checkpoint");
  app.ask("inc", {{"by", 5}});
  app.kill_supervisor();
  REQUIRE(app.wait_no_workers());
  REQUIRE(owner_of(app.place() + "/saved/emergency-1.json") == kNobody);
  app.restart(std::vector<std::string>{"--env", "ROOTS=/root", "--env", "PYTHONPATH=" ZEROTH_SOURCE_DIR "/worker/sdk",
                                       Daemon::kCommand, "python3"});
  const Json now = app.told();
  CHECK(now["n"] == 7);
  CHECK(now["uids"][0] == 0);
}

TEST_CASE("user: an emergency file that leads elsewhere is not followed") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0"});
  app.ask("inc", {{"by", 2}});
  app.ask("checkpoint");
  const std::string generation = std::to_string(app.generation());
  app.kill_supervisor();
  const std::string file = app.place() + "/saved/emergency-" + generation + ".json";
  REQUIRE(app.wait_no_workers());
  REQUIRE(owner_of(file) == kNobody);
  const std::string secret = app.dir().write("secret.json", R"({"n":1000,"big":""})");
  REQUIRE(::unlink(file.c_str()) == 0);
  SUBCASE("by a symbolic link") {
    REQUIRE(::symlink(secret.c_str(), file.c_str()) == 0);
  }
  SUBCASE("by a hard link") {
    REQUIRE(::link(secret.c_str(), file.c_str()) == 0);
  }
  app.restart();
  CHECK(app.told()["n"] == 2);
  CHECK(read_file(secret).value_or("") == R"({"n":1000,"big":""})");
  CHECK(owner_of(secret) == 0);
}

TEST_CASE("user: a worker whose wrapper closed its channel connects to the socket") {
  if (!can_run_as_nobody()) return;
  App app({"--checkpoint-interval", "0"},
          {"python3", "-c", "import subprocess, sys; sys.exit(subprocess.call(['python3', sys.argv[1]]))"});
  CHECK(owner_of(app.place() + "/worker.sock") == kNobody);
  app.ask("grow", {{"size", kLarge}});
  CHECK(app.ask("inc", {{"by", 5}}) == 5);
  CHECK(edit(app, app.edited(1))["generation"] == 2);
  app.check_kept(5);
}

TEST_CASE("user: a Zero program runs as that user, from a copy that it can read") {
  if (!can_run_as_nobody()) return;
  Daemon daemon(kDay, {"--user", "nobody", "--rate", "0.001"});
  const auto runs_as = [&] { return owner_of("/proc/" + std::to_string(daemon.worker_pid())); };
  CHECK(runs_as() == kNobody);
  CHECK(edit(daemon, std::string(kDay) + "\n")["generation"] == 2);
  CHECK(runs_as() == kNobody);
  CHECK(daemon.ask("check", {{"last", 1}})["verdict"] == "ok");
  const double before = divergence(living_state(daemon), "DAWN");
  daemon.kill_supervisor();
  daemon.restart();
  CHECK(runs_as() == kNobody);
  CHECK(divergence(living_state(daemon), "DAWN") == before);
  CHECK_FALSE(std::filesystem::exists(daemon.dir().path("code/greeting.z")));
  CHECK(daemon.terminate() == kExitOk);

  REQUIRE(::chmod(daemon.dir().path("code").c_str(), 0777) == 0);
  const ProcessResult open = supervise(daemon, {"--user", "nobody", daemon.program()});
  CHECK(open.exit_code == kExitPermission);
  CHECK_MESSAGE(says(open.err, "lies where only root can write"), open.err);
}

TEST_CASE("user: READY=1, health checks and state files are that user's") {
  if (!can_run_as_nobody()) return;
  SUBCASE("a check runs as it") {
    Daemon daemon("exec sleep 1000\n",
                  {"--user", "nobody", "--health", R"(exec:sh -c 'test "$(id -un) $USER" = "nobody nobody"')",
                   Daemon::kMuteCommand, "sh"},
                  "job");
    CHECK(daemon.worker()["state"] == "ready");
    daemon.kill_supervisor();
    CHECK(daemon.wait_no_workers());  // SIGTERM reaches it, though it changed its user
  }
  SUBCASE("it may say that it is ready") {
    Daemon daemon(
        "import os, signal, socket\n"
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
        "signal.pause()\n",
        {"--user", "nobody", "--health", "notify", Daemon::kMuteCommand, "python3"}, "job");
    CHECK(owner_of(daemon.runtime_dir() + "/users/65534/job/notify") == kNobody);
  }
  SUBCASE("a state file") {
    const TempDir files;
    REQUIRE(::chown(files.path().c_str(), kNobody, kNobody) == 0);
    Daemon daemon(counter(1), {"--user", "nobody", "--state-file", files.path("count"), Daemon::kMuteCommand, "sh"},
                  "counter.sh");
    tick(files);
    CHECK(owner_of(files.path("count")) == kNobody);
    CHECK(daemon.terminate() == kExitOk);
    std::filesystem::remove(files.path("count"));
    daemon.restart();
    tick(files);
    CHECK(files.read("count") == "2\n");
    CHECK(owner_of(files.path("count")) == kNobody);
  }
}

TEST_CASE("user: each worker of a fleet has its own, and a change of it starts the worker anew") {
  if (!can_run_as_nobody()) return;
  const auto worker = [](const std::string& name, const std::string& more) {
    return "[worker." + name + "]\ncommand = [\"" + built("fake_worker") + "\", \"" + name +
           ".json\"]\nprotocol = true\n" + more;
  };
  Daemon daemon(worker("a", "user = \"nobody\"\n") + worker("b", "user = \"65534:0\"\n") + worker("c", ""), {},
                "fleet.toml");
  const auto one = [&](const std::string& name) {
    const Json all = daemon.status();
    for (const Json& each : all["workers"]) {
      if (each["name"] == name) return each;
    }
    return Json();
  };
  // Of the process of this generation, when it is ready.
  const auto owner = [&](const std::string& name, int generation) {
    Json now;
    daemon.wait_until([&](const Json&) {
      now = one(name);
      return now.is_object() && now["state"] == "ready" && now["generation"] == generation;
    });
    return owner_of("/proc/" + std::to_string(now["pid"].get<pid_t>()));
  };
  CHECK(owner("a", 1) == kNobody);
  CHECK(owner("b", 1) == kNobody);
  CHECK(owner("c", 1) == 0);
  CHECK(daemon.ask("inc", {{"worker", "a"}, {"by", 4}})["count"] == 4);
  daemon.write_renamed(worker("a", "") + worker("b", "user = \"65534:0\"\n") + worker("c", ""));
  CHECK(owner("a", 2) == 0);
  CHECK(daemon.ask("get", {{"worker", "a"}})["count"] == 4);
  REQUIRE(::chmod(daemon.dir().path("run/zeroth").c_str(), 0700) == 0);
  daemon.write_renamed(worker("a", "user = \"nobody\"\n") + worker("b", "user = \"65534:0\"\n") + worker("c", ""));
  daemon.wait_until([&](const Json&) {
    return says(daemon.err(), "goes on as before the change of the fleet file: user 'nobody' of worker 'a'");
  });
  CHECK(owner("a", 2) == 0);
  daemon.write_renamed("[worker.a]\ncommand = [\"true\"]\nuser = \"no such user\"\n");
  CHECK(daemon.terminate() == kExitOk);
  const ProcessResult refused = supervise(daemon, {daemon.program()});
  CHECK(refused.exit_code == kExitConfiguration);
  CHECK_MESSAGE(says(refused.err, "fleet.toml:3:8: error: user: there is no user 'no such user'"), refused.err);
}

TEST_CASE("user: what cannot be is refused before anything runs") {
  const TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0711) == 0);
  const auto refused = [&](std::vector<std::string> words, int exit_code, const std::string& why) {
    words.insert(words.end(), {"--state-dir", dir.path("state"), "--", "true"});
    const ProcessResult told = run_process(words, {{"ZEROTH_CONTROL_PORT", "off"}});
    CHECK_MESSAGE(told.exit_code == exit_code, told.err);
    CHECK_MESSAGE(says(told.err, why), told.err);
  };
  const std::string us = built("zeroth-supervise");
  refused({us, "--user", "no such user"}, kExitUsage, "--user: there is no user 'no such user'");
  refused({us, "--user", "root:no such group"}, kExitUsage, "there is no group 'no such group'");
  if (!can_run_as_nobody()) return;
  refused({us, "--user", "nobody", "--runtime-dir", dir.path("state/run")}, kExitPermission,
          "cannot enter " + dir.path("state") + ", where it is handed its files");
  std::filesystem::remove_all(dir.path("state"));
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  refused({"setpriv", "--reuid", "65534", "--clear-groups", us, "--user", "root", "--runtime-dir", dir.path("run")},
          kExitPermission, "only root may start processes as user 'root'; we are nobody (uid 65534)");
}

}  // namespace zeroth::scenario
