// When a command that does not speak counts as ready: it lived, its check succeeded, or it said so.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/exit_codes.h"
#include "tests/scenario/fake.h"
#include "tests/scenario/scenario.h"

namespace zeroth::scenario {
namespace {

constexpr const char* kStays = "exec sleep 100000\n";

// `PROGRAM FILE`, where the file is what is watched.
class Mute : public Daemon {
 public:
  Mute(const std::string& program, const std::string& script, std::vector<std::string> options = {})
      : Daemon(script, with_program(program, std::move(options)), "job") {}

 private:
  static std::vector<std::string> with_program(const std::string& program, std::vector<std::string> options) {
    options.insert(options.end(), {kMuteCommand, program});
    return options;
  }
};

Json wait_for_state(Daemon& daemon, const std::string& state) {
  return daemon.wait_until([&](const Json& worker) { return worker["state"] == state; });
}

// What a Python program says to $NOTIFY_SOCKET.
std::string notifies(const std::string& text) {
  return "import os, signal, socket, sys\n"
         "address = os.environ['NOTIFY_SOCKET']\n"
         "notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
         "notify.connect('\\0' + address[1:] if address[0] == '@' else address)\n"
         "notify.send(b'" +
         text + "')\n";
}

}  // namespace

TEST_CASE("readiness: a check gates ready at each start, and what it waits for is told") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  Mute daemon("sh", kStays, {"--health", "exec:test -f " + marker, "--start-timeout", "60s"});
  CHECK(daemon.worker()["mode"] == "recreate");
  ::unlink(marker.c_str());
  daemon.write_renamed(std::string("echo second\n") + kStays);
  const Json waits = daemon.wait_until([](const Json& worker) {
    return worker["state"] == "starting" && worker["waits_for"].is_string() &&
           says(worker["waits_for"].get<std::string>(), "exited with code 1");
  });
  CHECK(says(waits["waits_for"], "exec:test -f " + marker));
  CHECK(waits["pid"].is_null());
  place.write("marker", "");
  const Json ready = daemon.wait_generation(2);
  CHECK(ready["waits_for"].is_null());
  CHECK(ready["last_reload"]["verdict"] == "ok");
  // The same after a crash.
  ::unlink(marker.c_str());
  daemon.kill_worker();
  daemon.wait_until([](const Json& worker) { return worker["waits_for"].is_string() && worker["restarts"] == 1; });
  place.write("marker", "");
  CHECK(daemon.wait_generation(3)["last_reload"]["operation"] == "crash-restart");
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("readiness: a check that never succeeds fails the start in time, and says what it was") {
  const TempDir place;
  const std::string marker = place.write("marker", "");
  Mute daemon("sh", kStays, {"--health", "exec:test -f " + marker, "--start-timeout", "1s", "--retry-failed", "0"});
  const Json first = daemon.worker()["pid"];
  ::unlink(marker.c_str());
  daemon.write_renamed(std::string("echo second\n") + kStays);
  const Json failed = wait_for_state(daemon, "failed");
  CHECK(says(failed["last_failure"]["summary"],
             "not ready within 1 s: exec:test -f " + marker + " (exited with code 1)"));
  CHECK(wait_reaped(first.get<pid_t>()));
  CHECK(daemon.wait_no_workers());
  CHECK(failed["last_reload"]["verdict"] == "rejected");
}

TEST_CASE("readiness: a port is asked until somebody listens there") {
  const std::string serves =
      "import signal, socket\n"
      "s = socket.socket()\n"
      "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
      "s.bind(('127.0.0.1', PORT))\n"
      "s.listen()\n"
      "signal.pause()\n";
  std::uint16_t port = 0;
  {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::listen(fd.get(), 1) == 0);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
  std::string script = serves;
  script.replace(script.find("PORT"), 4, std::to_string(port));
  Mute daemon("python3", script, {"--health", "tcp:" + std::to_string(port), "--start-timeout", "20s"});
  CHECK(daemon.worker()["state"] == "ready");
}

TEST_CASE("readiness: READY=1 makes it ready at once, STATUS= is shown, and our own socket does not reach it") {
  // With this check nothing else would.
  Mute daemon("python3", notifies("STATUS=reading the index\\nREADY=1") + "signal.pause()\n",
              {"--health", "notify", "--start-timeout", "60s"});
  const Json worker = daemon.worker();
  CHECK(worker["beat"]["status"] == "reading the index");
  CHECK(worker["mode"] == "recreate");
  daemon.write_renamed("print('told nothing')\nimport signal\nsignal.pause()\n");
  CHECK(daemon.wait_until([](const Json& now) { return now["waits_for"].is_string(); })["waits_for"] ==
        "READY=1 on $NOTIFY_SOCKET");
  daemon.write_renamed(notifies("READY=1") + "print('address', address, flush=True)\nsignal.pause()\n");
  wait_for_state(daemon, "ready");
  daemon.wait_until([&](const Json&) { return says(daemon.out(), "address " + daemon.worker_dir() + "/own/notify"); });
}

TEST_CASE("readiness: only the worker's own processes are believed") {
  const TempDir place;
  Mute daemon("sh", std::string("echo $NOTIFY_SOCKET > ") + place.path("address") + "\n" + kStays);
  const std::string address = daemon.worker_dir() + "/own/notify";
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  REQUIRE(address.size() < sizeof to.sun_path);
  address.copy(to.sun_path, address.size());
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  for (int i = 0; i < 100; ++i) REQUIRE(::send(fd.get(), "STATUS=from outside", 19, 0) == 19);
  CHECK(daemon.ask("status")["workers"][0]["beat"]["status"].is_null());
  // A descendant is one of them.
  daemon.write_renamed("python3 -c \"" + notifies("STATUS=from within") + "signal.pause()\" &\nwait\n");
  daemon.wait_until([](const Json& worker) { return worker["beat"]["status"] == "from within"; });
}

TEST_CASE("readiness: one that says READY=1 and hello in the same moment speaks, and keeps its state") {
  const std::string speaks = notifies("READY=1") + "sys.path.insert(0, '" + std::string(ZEROTH_SOURCE_DIR) +
                             "/worker/sdk')\n"
                             "import zeroth\n"
                             "w = zeroth.worker(schema='both/1')\n"
                             "S = w.restore({'ticks': 0})\n"
                             "for _ in w.every(0.05):\n"
                             "    with w.atomic():\n"
                             "        S['ticks'] += 1\n"
                             "        w.beat(iteration=S['ticks'])\n";
  Mute daemon("python3", speaks);
  const Json worker = daemon.wait_until(
      [](const Json& now) { return now["state"] == "ready" && now["mode"] == "overlap" && now["generation"] == 1; });
  CHECK(worker["restarts"] == 0);
  CHECK(daemon.terminate() == kExitOk);
}

TEST_CASE("readiness: new code of a mute command that fails is said to be the end of it, until a save or the retry") {
  const TempDir place;
  Mute daemon("sh", kStays, {"--retry-failed", "500ms"});
  EventStream told = daemon.events({"crash", "rejected"});
  daemon.write_renamed("echo 'no such thing' >&2\n[ -e " + place.path("fixed") + " ] || exit 1\n" + kStays);
  const Json crash = told.wait_for("crash");
  CHECK(crash["next"] == "failed");
  CHECK(says(crash["reason"], "the code before it is not kept, so nothing runs"));
  const Json failed = wait_for_state(daemon, "failed");
  CHECK(failed["last_reload"]["verdict"] == "rejected");
  CHECK(failed["rejected"].is_object());
  CHECK(says(daemon.err(), "exited with code 1; the code before it is not kept, so nothing runs; edit the program"));
  CHECK_FALSE(says(daemon.err(), "goes on"));
  place.write("fixed", "");
  const Json back = wait_for_state(daemon, "ready");
  CHECK(back["last_reload"]["operation"] == "crash-restart");
  CHECK(back["rejected"].is_null());
  daemon.write_renamed("exit 7\n");
  wait_for_state(daemon, "failed");
  daemon.write_renamed(kStays);
  CHECK(wait_for_state(daemon, "ready")["last_exit"]["code"] == 7);
}

TEST_CASE("readiness: a command that has done its work before it would count as ready is finished, not rejected") {
  const TempDir place;
  const std::string ran = place.path("ran");
  Mute daemon("sh", kStays);
  EventStream told = daemon.events({"reload", "rejected"});
  daemon.write_renamed("echo 22 >>" + ran + "\n");
  const Json receipt = told.wait_for("reload", is_receipt);
  CHECK(receipt["verdict"] == "ok");
  CHECK(receipt["reason"] == "exited with code 0");
  const Json after = wait_for_state(daemon, "finished");
  CHECK(after["rejected"].is_null());
  CHECK(place.read("ran") == "22\n");
  daemon.write_renamed("echo 3 >>" + ran + "; exit 4\n");
  CHECK(told.wait_for("rejected")["verdict"] == "rejected");
}

TEST_CASE("readiness: what --health takes is said where it is wrong") {
  const auto refused = [](std::vector<std::string> options) {
    options.insert(options.begin(), built("zeroth-supervise"));
    const ProcessResult result = run_process(options);
    CHECK(result.exit_code == kExitUsage);
    return result.err;
  };
  CHECK(says(refused({"--health", "https://127.0.0.1/", "--", "true"}), "https is not offered; there are tcp:PORT"));
  CHECK(says(refused({"--health", "8080", "--", "true"}), "exec:COMMAND, heartbeat and notify"));
  CHECK(says(refused({"--health", "exec:'x", "--", "true"}), "has no end"));
  CHECK(says(refused({"--health", "notify", "x.zero"}), "commands that do not speak"));
  CHECK(says(refused({"--health", "notify", "--protocol", "--", "true"}), "commands that do not speak"));
  CHECK(says(refused({"--health", "tcp:8080", "--listen", "8080", "--", "true"}), "is lent with --listen"));
  CHECK(says(run_process({built("zeroth-supervise"), "--help"}).out, "--health CHECK"));
}

}  // namespace zeroth::scenario
