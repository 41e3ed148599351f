// Commands that do not speak the protocol: restarted, kept running, without state.

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

constexpr const char* kWaits = "exec sleep 100000\n";

// `sh FILE`, restarted when the file changes.
class ShellDaemon : public Daemon {
 public:
  explicit ShellDaemon(const std::string& script, std::vector<std::string> options = {})
      : Daemon(script, with_shell(std::move(options)), "job.sh") {}

 private:
  static std::vector<std::string> with_shell(std::vector<std::string> options) {
    options.insert(options.end(), {kMuteCommand, "sh"});
    return options;
  }
};

bool connects(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// A port that somebody listens on, for as long as the object lives.
struct TakenPort {
  TakenPort() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 1) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
  UniqueFd fd;
  std::uint16_t port = 0;
};

}  // namespace

TEST_CASE("commands: one that does not speak runs, is restarted by a save and by its death, and is stopped") {
  ShellDaemon daemon(std::string("echo first\n") + kWaits);
  const Json first = daemon.worker();
  CHECK(first["mode"] == "recreate");
  CHECK(says(first["mode_reason"].get<std::string>(), "does not speak"));
  CHECK(says(daemon.err(), "recreate (it does not speak the worker protocol)"));
  const ProcessResult status = run_process({built("zerothctl"), "status"}, daemon.environment());
  CHECK(says(status.out, "Program               sh " + daemon.program() + "\n"));
  daemon.write_renamed(std::string("echo second\n") + kWaits);
  const Json second = daemon.wait_generation(2);
  CHECK(second["pid"] != first["pid"]);
  CHECK(wait_reaped(first["pid"].get<pid_t>()));
  CHECK(second["last_reload"]["verdict"] == "ok");
  CHECK(second["last_reload"]["changed"].size() == 1);
  daemon.kill_worker();
  CHECK(daemon.wait_generation(3)["last_reload"]["operation"] == "crash-restart");
  CHECK(says(daemon.out(), "second"));
  CHECK(daemon.refused("observe").code == ErrorCode::UnknownCommand);
  const auto refused = daemon.call("checkpoint");
  REQUIRE(!refused);
  CHECK(says(refused.error().message, "keeps no state"));
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE(
    "commands: two restarts while one that does not speak is still starting leave one copy, which restarts again") {
  ShellDaemon daemon(std::string("echo first\n") + kWaits);
  CHECK(daemon.terminate() == kExitOk);
  daemon.launch();
  daemon.wait_answering();
  for (int i = 0; i < 2; ++i) CHECK(daemon.ask("restart", {{"wait", false}})["accepted"] == true);
  CHECK(daemon.ask("restart")["verdict"] == "ok");
  CHECK(daemon.ask("restart")["verdict"] == "ok");
  CHECK(daemon.wait_workers(1));
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("commands: one that ends well is finished until the next save; one that fails is tried again") {
  ShellDaemon daemon(kWaits);
  daemon.write_renamed("exit 0\n");
  daemon.wait_until([](const Json& worker) { return worker["state"] == "finished"; });
  CHECK(daemon.worker()["last_exit"]["code"] == 0);
  daemon.write_renamed("exit 3\n");
  const Json failed = daemon.wait_until([](const Json& worker) { return worker["restarts"] >= 2; });
  CHECK(failed["last_exit"]["code"] == 3);
  daemon.write_renamed(kWaits);
  daemon.wait_until([](const Json& worker) { return worker["state"] == "ready"; });
}

TEST_CASE("commands: one that speaks late is restored and keeps its state from then on") {
  const std::string behaviour = dump(behaviour_at("before_hello", "wait speak", {1}));
  Daemon daemon(behaviour, {Daemon::kMuteCommand, built("fake_worker")}, "behaviour.json");
  CHECK(daemon.worker()["mode"] == "recreate");
  const pid_t pid = daemon.worker_pid();
  daemon.dir().write("code/speak", "");
  daemon.wait_until([](const Json& worker) { return worker["state"] == "ready" && worker["mode"] == "overlap"; });
  CHECK(daemon.worker_pid() == pid);
  daemon.ask("inc", {{"by", 7}});
  daemon.write_renamed("{}");
  daemon.wait_generation(2);
  CHECK(daemon.ask("get")["count"] == 7);
}

TEST_CASE("commands: new code that ends before it speaks is rejected once, if the code before it speaks") {
  for (const char* mode : {"overlap", "recreate", "exec"}) {
    CAPTURE(mode);
    const bool overlap = std::string(mode) == "overlap";
    Daemon daemon("{}", {"--reload", mode, Daemon::kMuteCommand, built("fake_worker")}, "behaviour.json");
    daemon.ask("inc", {{"by", 7}});
    EventStream told = daemon.events({"rejected", "reload"});
    daemon.write_renamed(dump(behaviour_at("before_hello", "exit 0", {2})));
    CHECK(told.wait_for("rejected")["verdict"] == "rejected");
    CHECK(!told.next("rejected", nullptr, Milliseconds(300)));
    const Json worker = daemon.worker();
    CHECK(worker["rejected"].is_object());
    CHECK(worker["state"] == (overlap ? "ready" : "finished"));
    daemon.write_renamed(dump(Json{{"next", 1}}));
    CHECK(daemon.wait_generation(3)["last_reload"]["verdict"] == "ok");
    CHECK(daemon.ask("get")["count"] == 7);
    CHECK(daemon.worker()["rejected"].is_null());
  }
}

TEST_CASE("commands: a socket is opened before the worker, lent to each generation, and never refuses") {
  std::uint16_t port = 0;
  {
    const TakenPort free_soon;
    port = free_soon.port;
  }
  ShellDaemon daemon(std::string("echo lent $LISTEN_FDS $LISTEN_FDNAMES $(readlink /proc/$$/fd/3)\n") + kWaits,
                     {"--listen", "web=127.0.0.1:" + std::to_string(port)});
  CHECK(connects(port));
  CHECK(says(daemon.out(), "lent 1 web socket:["));
  daemon.write_renamed(std::string("echo again $LISTEN_FDS\n") + kWaits);
  for (Json now = daemon.worker(); now["generation"] != 2; now = daemon.worker()) CHECK(connects(port));
  daemon.wait_generation(2);
  CHECK(says(daemon.out(), "again 1"));
  CHECK(daemon.terminate() == kExitOk);
  CHECK_FALSE(connects(port));
}

TEST_CASE("commands: a socket that is taken is an error that names its holder") {
  const TakenPort taken;
  const TempDir dir;
  const ProcessResult result =
      run_process({built("zeroth-supervise"), "--listen", std::to_string(taken.port), "--", "true"},
                  {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}});
  CHECK(result.exit_code == kExitTaken);
  CHECK(says(result.err, "pid " + std::to_string(::getpid())));
  CHECK(says(result.err, "--listen 127.0.0.1:" + std::to_string(taken.port) + " is taken by"));
}

TEST_CASE("commands: an address that is none is a usage error that says what is one") {
  for (const char* address : {"", "x", "70000", "http=", "a b=80", "999.1.1.1:80", "unix:", "::1"}) {
    CAPTURE(address);
    const ProcessResult result = run_process({built("zeroth-supervise"), "--listen", address, "--", "true"});
    CHECK(result.exit_code == kExitUsage);
    CHECK(says(result.err, "--listen"));
  }
}

TEST_CASE("commands: a file that it writes at each start does not reload it for ever, but another one's edit does") {
  const TempDir folder;
  const std::string stamp = folder.path("stamp");
  const std::string writes = "date +%N > " + stamp + "\n" + kWaits;
  ShellDaemon daemon(kWaits, {"--watch", folder.path()});
  EventStream notes = daemon.events({"log"});
  daemon.write_renamed(writes);
  notes.wait_for("log",
                 [&](const Json& log) { return says(log.dump(), stamp + " changes whenever the command starts"); });
  const Json calm = daemon.wait_until([](const Json& worker) { return worker["state"] == "ready"; });
  folder.write("code", "edited by somebody");
  daemon.wait_generation(calm["generation"].get<std::uint64_t>() + 1);
}

TEST_CASE("commands: without --watch it is the working folder, with what .gitignore names left out") {
  const TempDir folder;
  folder.write(".gitignore", "*.log\n");
  const TempDir dir;
  const ProcessResult result = run_process(
      {"sh", "-c",
       "cd " + folder.path() + " && { " + built("zeroth-supervise") +
           " -- sh -c 'echo started; exec sleep 1000' & } && until [ -n \"$(" + built("zerothctl") +
           " status 2>/dev/null | grep ready)\" ]; do :; done; echo x > a.log; echo x > a.txt; until " +
           built("zerothctl") + " generations --json | grep -q 'a.txt'; do :; done; " + built("zerothctl") +
           " generations --json; " + built("zerothctl") + " stop; wait"},
      {{"ZEROTH_STATE_DIR", dir.path("state")}, {"ZEROTH_RUNTIME_DIR", dir.path("run")}}, "", Milliseconds(60'000));
  CAPTURE(result.err);
  CHECK(says(result.out, "a.txt"));
  CHECK_FALSE(says(result.out, "a.log"));
}

}  // namespace zeroth::scenario
