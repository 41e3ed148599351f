#include "supervisor/process/alive_lock.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "common/files.h"
#include "supervisor/process/child.h"
#include "supervisor/process/emergency_files.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct AliveLockFixture {
  Loop loop;
  TempDir folder;
  std::string out;
  std::vector<std::string> notes;
  std::optional<ExitInfo> exit;
  std::optional<AliveSweep> sweep;
  bool done = false;

  // As a worker of the dead supervisor; this process only lent its loop.
  std::unique_ptr<Child> worker(const std::string& script) {
    SpawnRequest request;
    request.argv = {"/bin/sh", "-c", script};
    request.env = {"PATH=/usr/bin:/bin"};
    request.alive_file = alive_file_of(folder.path(), 5);
    Child::Hooks hooks;
    hooks.kill_group_at_exit = false;
    hooks.on_output = [this](OutputStream, std::string_view bytes) { out += bytes; };
    hooks.on_exit = [this](const ExitInfo& info) { exit = info; };
    auto child = Child::start(loop, request, std::move(hooks));
    REQUIRE(child);
    return std::move(*child);
  }
  void start_sweep(Milliseconds patience) {
    sweep.emplace(
        loop, std::vector<WorkerPlace>{{folder.path(), folder.path(), "", ""}}, patience,
        AliveSweep::Hooks{[this](const std::string& text) { notes.push_back(text); }, [this] { done = true; }});
  }
  bool noted(std::string_view part) const {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const std::string& note) { return note.find(part) != std::string::npos; });
  }
  bool write(const std::string& name, std::string_view text) {
    return write_file_atomically(folder.path() + "/" + name, text).has_value();
  }
};

}  // namespace

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: files that nobody holds are removed, torn ones too") {
  REQUIRE(write("alive-3", "{\"pid\":1"));
  REQUIRE(write("alive-4", "{\"pid\":1,\"start_time\":1,\"boot_id\":\"x\"}"));
  REQUIRE(write("alive-x", "not ours"));
  start_sweep(Milliseconds(0));
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK(notes.empty());
  CHECK_FALSE(read_file(folder.path() + "/alive-3"));
  CHECK_FALSE(read_file(folder.path() + "/alive-4"));
  CHECK(read_file(folder.path() + "/alive-x"));
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: a worker that ends in time is not killed") {
  const auto child = worker("read x");  // /dev/null: ends at once, but after the sweep has begun
  start_sweep(std::chrono::seconds(20));
  REQUIRE(run_until(loop, [&] { return done && exit; }));
  CHECK(exit->code.has_value());
  CHECK(notes.empty());
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: a worker that stays is killed") {
  const auto child = worker("trap '' TERM; sleep 1000 & echo $!; wait");
  REQUIRE(run_until(loop, [&] { return out.ends_with('\n'); }));
  start_sweep(Milliseconds(30));
  REQUIRE(run_until(loop, [&] { return exit.has_value(); }));
  CHECK(exit->meaning == "killed by SIGKILL");
  CHECK(noted("killing"));
  CHECK_FALSE(done);  // its sleep still holds the lock
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK(noted("held by"));
  CHECK(noted(out.substr(0, out.size() - 1) + " (sleep)"));
  ::kill(std::stoi(out), SIGKILL);
}

TEST_CASE_FIXTURE(AliveLockFixture,
                  "alive sweep: a grandchild that holds the lock is named after a second, not killed") {
  REQUIRE(write("alive-6", "{\"pid\":2147483000,\"start_time\":1,\"boot_id\":\"x\"}"));
  const UniqueFd held(::open((folder.path() + "/alive-6").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_SH) == 0);
  SpawnRequest request;
  request.argv = {"sleep", "1000"};
  request.lent = {held.get()};
  auto holder = Child::start(loop, request, {});
  REQUIRE(holder);
  const pid_t grandchild = (*holder)->pid();
  const MonotonicTime from = monotonic_now();
  start_sweep(std::chrono::seconds(100));
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK(monotonic_now() - from >= Milliseconds(1000));
  CHECK(noted(std::to_string(grandchild) + " (sleep)"));
  CHECK((*holder)->running());
  CHECK((*holder)->signal(0));
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: a reused pid is never signalled") {
  SpawnRequest request;
  request.argv = {"sleep", "1000"};
  const auto stranger = Child::start(loop, request, {});
  REQUIRE(stranger);
  ProcessIdentity wrong = *identity_of((*stranger)->pid());
  wrong.start_time -= 1;
  CHECK(signal_process(wrong, SIGKILL).error().code == ESRCH);
  ProcessIdentity other_boot = *identity_of((*stranger)->pid());
  other_boot.boot_id = "before";
  CHECK(signal_process(other_boot, SIGKILL).error().code == ESRCH);

  REQUIRE(write("alive-5", dump(to_json(wrong))));
  const UniqueFd held(::open(alive_file_of(folder.path(), 5).c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_SH) == 0);
  start_sweep(Milliseconds(0));
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK((*stranger)->signal(0));
  CHECK((*stranger)->running());
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: a user's file names no process of anybody else's") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root has files of another user");
    return;
  }
  SpawnRequest request;
  request.argv = {"sleep", "1000"};
  const auto stranger = Child::start(loop, request, {});
  REQUIRE(stranger);
  REQUIRE(write("alive-5", dump(to_json(*identity_of((*stranger)->pid())))));
  const std::string path = alive_file_of(folder.path(), 5);
  REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
  const UniqueFd held(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_SH) == 0);
  start_sweep(Milliseconds(0));
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK((*stranger)->running());
  CHECK(noted("going on although alive-5"));
}

TEST_CASE_FIXTURE(AliveLockFixture,
                  "alive sweep: a held lock with a torn record ends with names, after the whole patience") {
  REQUIRE(write("alive-5", "{\"pid\":"));
  const UniqueFd held(::open(alive_file_of(folder.path(), 5).c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_SH) == 0);
  const MonotonicTime from = monotonic_now();
  start_sweep(Milliseconds(200));
  REQUIRE(run_until(loop, [&] { return done; }));
  CHECK(monotonic_now() - from >= Milliseconds(1200));
  CHECK(noted("going on although alive-5"));
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: waits while the emergency file grows") {
  const auto child = worker("exec sleep 1000");
  start_sweep(Milliseconds(500));
  int written = 0;
  bool died_early = false;
  Timer writer(loop);
  UniqueFd file(::open((folder.path() + "/.emergency-5.json.tmp").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  writer.start_repeating(Milliseconds(10), [&] {
    if (++written > 150) return;
    died_early = died_early || exit;
    (void)write_all(file.get(), "x");
  });
  REQUIRE(run_until(loop, [&] { return exit.has_value(); }));
  CHECK(written > 150);
  CHECK_FALSE(died_early);
  REQUIRE(run_until(loop, [&] { return done; }));
}

TEST_CASE_FIXTURE(AliveLockFixture,
                  "emergency files: the highest that parses and is new enough; the others become stale") {
  for (const char* name : {"emergency-9.json", "emergency-12.json", "emergency-11.json", "emergency-10.json",
                           "emergency-8.json.stale", ".emergency-12.json.77.tmp", "emergency-x.json"})
    REQUIRE(write(name, name[10] == '1' && name[11] == '2' ? "torn" : "good"));
  const auto parses = [](const EmergencyFile& file) -> Result<bool> { return *read_file(file.path) == "good"; };
  const auto choice = choose_emergency_file({folder.path()}, 10, parses);
  REQUIRE(choice);
  CHECK(choice->adopted->generation == 11);
  CHECK(choice->adopted->path == emergency_file_of(folder.path(), 11));
  std::vector<std::string> stale;
  for (const std::string& path : choice->stale) stale.push_back(name_of(path));
  CHECK(stale ==
        std::vector<std::string>{"emergency-12.json.stale", "emergency-10.json.stale", "emergency-9.json.stale"});
  CHECK(find_emergency_files(folder.path())->size() == 1);
  CHECK_FALSE(read_file(folder.path() + "/.emergency-12.json.77.tmp"));  // half written: nobody goes on with it
  CHECK(read_file(folder.path() + "/emergency-8.json.stale"));
  CHECK(read_file(folder.path() + "/emergency-x.json"));
  const auto too_old = choose_emergency_file({folder.path()}, 12, parses);
  REQUIRE(too_old);
  CHECK_FALSE(too_old->adopted);
  CHECK(too_old->stale.size() == 1);
}

TEST_CASE_FIXTURE(AliveLockFixture, "alive sweep: a place that cannot be read is tried again, then given up and told") {
  REQUIRE(write("file", ""));
  const WorkerPlace place{folder.path("file"), folder.path("file"), "", ""};
  sweep.emplace(loop, std::vector{place}, Milliseconds(50),
                AliveSweep::Hooks{[&](const std::string& note) { notes.push_back(note); }, [&] { done = true; }});
  REQUIRE(run_until(loop, [&] { return done; }));
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("Not a directory") != std::string::npos);
}

TEST_CASE_FIXTURE(AliveLockFixture, "emergency files: one that cannot be read now stays for the next start") {
  REQUIRE(write("emergency-3.json", "good"));
  const auto choice = choose_emergency_file(
      {folder.path()}, 0, [](const auto&) -> Result<bool> { return fail("no descriptor left", EMFILE); });
  REQUIRE_FALSE(choice);
  CHECK(choice.error().code == EMFILE);
  CHECK(find_emergency_files(folder.path())->size() == 1);
}

TEST_CASE_FIXTURE(AliveLockFixture,
                  "emergency files: a folder that is away has none, one that is no folder is an error") {
  REQUIRE(find_emergency_files(folder.path("away")));
  CHECK(find_emergency_files(folder.path("away"))->empty());
  REQUIRE(write("file", ""));
  CHECK_FALSE(find_emergency_files(folder.path("file")));
}

}  // namespace zeroth
