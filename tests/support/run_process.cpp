#include "tests/support/run_process.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "common/unique_fd.h"

namespace zeroth::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends;
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end, write_end;
};

pid_t spawn(const std::vector<std::string>& words, int out, int err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE(error == 0);
  return pid;
}

// Moves what has arrived to `text`; closes the pipe at its end.
void drain(UniqueFd& pipe, std::string& text) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(pipe.get(), buffer.data(), buffer.size());
  if (got > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  } else {
    pipe.reset();
  }
}

// Reads both pipes until their writers are gone; false if the deadline comes first.
bool collect(UniqueFd& out, UniqueFd& err, Finished& finished, Clock::time_point deadline) {
  while (out || err) {
    std::array<pollfd, 2> ready = {pollfd{out.get(), POLLIN, 0}, pollfd{err.get(), POLLIN, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || ::poll(ready.data(), ready.size(), static_cast<int>(left)) == 0) return false;
    if (ready[0].revents != 0) drain(out, finished.out);
    if (ready[1].revents != 0) drain(err, finished.err);
  }
  return true;
}

}  // namespace

Finished run_process(const std::vector<std::string>& words, std::chrono::seconds deadline) {
  Pipe out, err;
  const pid_t pid = spawn(words, out.write_end.get(), err.write_end.get());
  out.write_end.reset();
  err.write_end.reset();
  Finished finished;
  if (!collect(out.read_end, err.read_end, finished, Clock::now() + deadline)) ::kill(pid, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  return finished;
}

std::string built(const std::string& program) {
  return std::string(ZEROTH_BIN_DIR "/") + program;
}

}  // namespace zeroth::test
