#include "tests/bench/floor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace zeroth {
namespace {

constexpr int kMarkPatienceMs = 10'000;
constexpr int kMarkFd = 3;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

// `waiting` keeps the program there to be killed.
pid_t spawn(const std::string& program, int mark_fd, bool waiting) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, mark_fd, kMarkFd);
  std::string name = program, wait = "wait";
  char* argv[] = {name.data(), waiting ? wait.data() : nullptr, nullptr};
  pid_t pid = -1;
  if (::posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ) != 0) give_up("posix_spawn");
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

[[noreturn]] void run_for_close(const std::string& mark, const std::string& file, int mark_fd) {
  const UniqueFd changes(::inotify_init1(IN_CLOEXEC));
  if (::inotify_add_watch(changes.get(), file.c_str(), IN_CLOSE_WRITE) < 0) give_up("inotify_add_watch");
  if (::write(mark_fd, "r", 1) != 1) ::_exit(1);  // the watch stands
  std::array<char, 4096> event;
  while (::read(changes.get(), event.data(), event.size()) > 0) {
    const pid_t child = spawn(mark, mark_fd, false);
    ::waitpid(child, nullptr, 0);
  }
  ::_exit(1);
}

[[noreturn]] void run_for_death(const std::string& mark, int mark_fd, int children_fd) {
  for (;;) {
    const pid_t child = spawn(mark, mark_fd, true);
    if (::write(children_fd, &child, sizeof child) != sizeof child) ::_exit(1);
    siginfo_t end{};
    if (::waitid(P_PID, static_cast<id_t>(child), &end, WEXITED) != 0) ::_exit(1);
  }
}

}  // namespace

Floor::Floor(Waits waits, const std::string& mark, const std::string& file) {
  int marks[2], children[2];
  if (::pipe2(marks, O_CLOEXEC) != 0 || ::pipe2(children, O_CLOEXEC) != 0) give_up("pipe2");
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    waits == Waits::ForClose ? run_for_close(mark, file, marks[1]) : run_for_death(mark, marks[1], children[1]);
  }
  ::close(marks[1]);
  ::close(children[1]);
  marks_.reset(marks[0]);
  children_.reset(waits == Waits::ForDeath ? children[0] : -1);
  if (waits == Waits::ForClose) ::close(children[0]);
  await_mark();
}

Floor::~Floor() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  if (child_ > 0) ::kill(child_, SIGKILL);
}

void Floor::await_mark() {
  pollfd one = {marks_.get(), POLLIN, 0};
  char mark = 0;
  if (::poll(&one, 1, kMarkPatienceMs) != 1 || ::read(marks_.get(), &mark, 1) != 1) give_up("bench: no mark");
  if (children_ && ::read(children_.get(), &child_, sizeof child_) != sizeof child_) give_up("bench: no child");
}

}  // namespace zeroth
