#include "supervisor/process/child.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/files.h"
#include "common/json_reader.h"
#include "supervisor/process/alive_lock.h"
#include "supervisor/process/descriptors.h"
#include "supervisor/process/process_identity.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// A child with what it has said so far.
struct Running {
  std::string out, err;
  std::optional<ExitInfo> exit;
  std::unique_ptr<Child> child;
};

SpawnRequest request_for(std::vector<std::string> argv) {
  SpawnRequest request;
  request.argv = std::move(argv);
  request.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
  return request;
}

SpawnRequest shell(const std::string& script) {
  return request_for({"/bin/sh", "-c", script});
}

std::unique_ptr<Running> start(Loop& loop, const SpawnRequest& request) {
  auto running = std::make_unique<Running>();
  Child::Hooks hooks;
  hooks.on_output = [r = running.get()](OutputStream stream, std::string_view bytes) {
    (stream == OutputStream::Stdout ? r->out : r->err) += bytes;
  };
  hooks.on_exit = [r = running.get()](const ExitInfo& info) { r->exit = info; };
  auto child = Child::start(loop, request, std::move(hooks));
  REQUIRE_MESSAGE(child.has_value(), (child ? "" : child.error().message));
  running->child = std::move(*child);
  return running;
}

std::unique_ptr<Running> run(Loop& loop, const SpawnRequest& request) {
  auto running = start(loop, request);
  REQUIRE(run_until(loop, [&] { return running->exit.has_value(); }));
  return running;
}

bool gone(pid_t pid) {
  const auto stat = read_proc_stat(pid);
  return !stat || stat->state == 'Z' || stat->state == 'X';
}

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

TEST_CASE("child: output and exit code, output first") {
  Loop loop;
  const auto ran = run(loop, shell("echo out; echo err >&2; exit 3"));
  CHECK(ran->out == "out\n");
  CHECK(ran->err == "err\n");
  CHECK(ran->exit->code == 3);
  CHECK(ran->exit->meaning == "exited with code 3");
}

TEST_CASE("child: its alive file goes with it, unless nothing else tells of its number") {
  Loop loop;
  const TempDir dir;
  for (const char* program : {"exit 0", ""}) {
    for (const bool noted : {true, false}) {
      SpawnRequest request = *program != '\0' ? shell(program) : request_for({"/nonexistent/program"});
      request.alive_file = dir.path("alive-1");
      request.number = std::make_shared<NumberNote>();
      if (noted) request.number->written();
      if (*program != '\0') {
        run(loop, request);
      } else {
        CHECK_FALSE(Child::start(loop, request, {}));
      }
      loop.run();
      CHECK(std::filesystem::exists(request.alive_file) != noted);
      request.number->written();
      CHECK_FALSE(std::filesystem::exists(request.alive_file));
    }
  }
}

TEST_CASE("child: a program that cannot be executed is no exit 127") {
  Loop loop;
  const auto failed = Child::start(loop, request_for({"/nonexistent/program"}), {});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ENOENT);
  CHECK(failed.error().message == "exec failed: /nonexistent/program: No such file or directory");
  CHECK(Child::start(loop, request_for({"no-such-command-anywhere"}), {}).error().code == ENOENT);
  CHECK(Child::start(loop, request_for({"/etc/passwd"}), {}).error().code == EACCES);
  CHECK(run(loop, shell("exit 127"))->exit->code == 127);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("child: a step before exec that fails is named") {
  Loop loop;
  SpawnRequest request = shell("true");
  request.cwd = "/nonexistent";
  const auto failed = Child::start(loop, request, {});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "spawn /bin/sh: chdir /nonexistent: No such file or directory");
}

TEST_CASE("child: death by signal in words, and by whom") {
  Loop loop;
  const auto self = run(loop, shell("kill -KILL $$"));
  CHECK(self->exit->meaning == "killed by SIGKILL");
  CHECK_FALSE(self->exit->by_us);
  const auto ours = start(loop, request_for({"sleep", "1000"}));
  CHECK(ours->child->signal(SIGTERM));
  REQUIRE(run_until(loop, [&] { return ours->exit.has_value(); }));
  CHECK(ours->exit->meaning == "killed by SIGTERM");
  CHECK(ours->exit->by_us);
  CHECK(ours->child->signal(SIGTERM).error().code == ESRCH);
  CHECK(ours->child->signal_group(SIGTERM).error().code == ESRCH);
}

TEST_CASE("child: what an exit code means, in words") {
  CHECK(exit_meaning(0, 0, false) == "exited with code 0");
  CHECK(exit_meaning(1, 0, false) == "exited with code 1");
  CHECK(exit_meaning(126, 0, false) == "exited with code 126 (of a shell: a command that cannot be executed)");
  CHECK(exit_meaning(127, 0, false) == "exited with code 127 (of a shell: a command that was not found)");
  CHECK(exit_meaning(128, 0, false) == "exited with code 128");
  CHECK(exit_meaning(137, 0, false) == "exited with code 137 (of a shell: a command killed by SIGKILL)");
  CHECK(exit_meaning(143, 0, false) == "exited with code 143 (of a shell: a command killed by SIGTERM)");
  CHECK(exit_meaning(255, 0, false) == "exited with code 255");
  CHECK(exit_meaning(std::nullopt, SIGSEGV, true) == "killed by SIGSEGV (core dumped)");
  CHECK(exit_meaning(std::nullopt, SIGKILL, false, true).starts_with("killed by SIGKILL, most likely by the kernel"));
  CHECK(exit_meaning(std::nullopt, SIGTERM, false, true) == "killed by SIGTERM");
  CHECK(exit_meaning(std::nullopt, 40, false) == "killed by signal 40");
}

TEST_CASE("child: a signal to the group reaches a grandchild") {
  Loop loop;
  const auto running = start(loop, shell("sleep 1000 & echo $!; wait"));
  REQUIRE(run_until(loop, [&] { return lines(running->out) == 1; }));
  const pid_t grandchild = std::stoi(running->out);
  CHECK_FALSE(gone(grandchild));
  CHECK(running->child->signal_group(SIGKILL));
  CHECK(run_until(loop, [&] { return running->exit && gone(grandchild); }));
}

TEST_CASE("child: what is left of its group dies with it") {
  Loop loop;
  const auto ran = run(loop, shell("sleep 1000 & echo $!"));
  CHECK(run_until(loop, [&] { return gone(std::stoi(ran->out)); }));
}

TEST_CASE("child: destroying it kills and reaps it") {
  Loop loop;
  auto running = start(loop, shell("trap '' TERM; sleep 1000 & echo $!; wait"));
  REQUIRE(run_until(loop, [&] { return lines(running->out) == 1; }));
  const pid_t pid = running->child->pid(), grandchild = std::stoi(running->out);
  running->child.reset();
  CHECK(::kill(pid, 0) == -1);
  CHECK(run_until(loop, [&] { return gone(grandchild); }));
}

TEST_CASE("child: its hooks may destroy it") {
  Loop loop;
  for (const char* script : {"echo x; sleep 1000", "echo x", "exit 1"}) {
    std::unique_ptr<Child> child;
    bool destroyed = false;
    const auto destroy = [&] {
      child.reset();
      destroyed = true;
    };
    Child::Hooks hooks;
    hooks.on_output = [&](OutputStream, std::string_view) { destroy(); };
    hooks.on_exit = [&](const ExitInfo&) { destroy(); };
    child = std::move(*Child::start(loop, shell(script), std::move(hooks)));
    CHECK(run_until(loop, [&] { return destroyed; }));
  }
}

TEST_CASE("child: a mask and ignored signals of ours do not reach it") {
  Loop loop;
  sigset_t blocked, before;
  sigemptyset(&blocked);
  for (const int signal : {SIGCHLD, SIGTERM, SIGUSR1}) sigaddset(&blocked, signal);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto old = ::signal(SIGPIPE, SIG_IGN);
  const auto ran = run(loop, request_for({"grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"}));
  ::signal(SIGPIPE, old);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(ran->out == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_CASE("child: inherits no descriptor but those meant for it") {
  Loop loop;
  const TempDir folder;
  const UniqueFd leak(::open("/etc/passwd", O_RDONLY));  // on purpose without CLOEXEC
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  const UniqueFd lent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SpawnRequest request = shell("echo $ZEROTH_FD $LISTEN_FDS $LISTEN_PID; exec sleep 1000");
  request.channel = theirs.get();
  request.lent = {lent.get()};
  request.alive_file = alive_file_of(folder.path(), 1);
  const auto running = start(loop, request);
  const std::string pid = std::to_string(running->child->pid());
  REQUIRE(run_until(
      loop, [&] { return lines(running->out) == 1 && describe_process(running->child->pid()).ends_with("(sleep)"); }));
  CHECK(running->out == "4 1 " + pid + "\n");
  std::set<std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + pid + "/fd"))
    open.insert(entry.path().filename());
  CHECK(open == std::set<std::string>{"0", "1", "2", "3", "4", "5"});
}

TEST_CASE("descriptors: without close_range they are walked") {
  const UniqueFd first(::open("/dev/null", O_RDONLY));
  const pid_t pid = ::fork();
  if (pid == 0) {
    close_on_exec_from_3_by_walk();
    ::_exit(::fcntl(first.get(), F_GETFD) == FD_CLOEXEC && ::fcntl(2, F_GETFD) == 0 ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("child: the channel reaches it and its output does not disturb it") {
  Loop loop;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  UniqueFd theirs(ends[1]);
  Stream channel(loop, UniqueFd(ends[0]));
  std::string heard;
  bool ended = false;
  channel.start([&](std::string_view bytes) { heard += bytes; }, [&] { ended = true; });
  SpawnRequest request = shell("eval \"echo hello >&$ZEROTH_FD\"");
  request.channel = theirs.get();
  const auto running = start(loop, request);
  theirs.reset();
  CHECK(run_until(loop, [&] { return ended && running->exit; }));
  CHECK(heard == "hello\n");
}

TEST_CASE("child: dies with its supervisor when asked") {
  Loop loop;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    SpawnRequest request = request_for({"sleep", "1000"});
    request.die_with_us = true;
    const auto spawned = spawn(request);
    const pid_t pid = spawned ? spawned->pid : -1;
    (void)!::write(writing.get(), &pid, sizeof pid);
    ::kill(::getpid(), SIGKILL);
  }
  writing.reset();
  pid_t worker = 0;
  REQUIRE(::read(reading.get(), &worker, sizeof worker) == sizeof worker);
  REQUIRE(worker > 0);
  ::waitpid(supervisor, nullptr, 0);
  CHECK(run_until(loop, [&] { return gone(worker); }));
}

TEST_CASE("child: another user, limits, umask, folder and stdin") {
  Loop loop;
  SpawnRequest request = shell("umask; ulimit -n; pwd; readlink /proc/self/fd/0; ps -o sid= -p $$ >/dev/null; id -u");
  request.umask = 027;
  request.cwd = "/";
  request.limits = {{RLIMIT_NOFILE, {64, 64}}};
  if (::getuid() == 0) request.run_as = RunAs{65534, 65534, {}};
  const auto ran = run(loop, request);
  const std::string user = std::to_string(::getuid() == 0 ? 65534 : ::getuid());
  CHECK(ran->out == "0027\n64\n/\n/dev/null\n" + user + "\n");
  request.argv = {"/nonexistent"};
  CHECK(Child::start(loop, request, {}).error().code == ENOENT);
}

TEST_CASE("child: its alive file names it while it runs and goes with it") {
  Loop loop;
  const TempDir folder;
  SpawnRequest request = request_for({"sleep", "1000"});
  request.alive_file = alive_file_of(folder.path(), 7);
  const auto running = start(loop, request);
  const auto text = read_file(request.alive_file);
  REQUIRE(text);
  const auto parsed = parse_json(*text);
  REQUIRE(parsed);
  CHECK(*parse_identity(parsed->value) == *identity_of(running->child->pid()));
  CHECK(running->child->signal(SIGKILL));
  REQUIRE(run_until(loop, [&] { return running->exit.has_value(); }));
  CHECK(run_until(loop, [&] { return !read_file(request.alive_file); }));
}

}  // namespace zeroth
