#include "tests/support/run_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "common/files.h"
#include "common/unique_fd.h"

namespace zeroth {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  UniqueFd read, write;
};

[[noreturn]] void become(const std::vector<std::string>& argv,
                         const std::vector<std::pair<std::string, std::string>>& environment) {
  for (const auto& [name, value] : environment) {
    value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  ::_exit(127);
}

// Reads both pipes until they end; false past the deadline.
bool read_both(Pipe& out, Pipe& err, ProcessResult& result, MonotonicTime deadline) {
  std::array<char, 65536> buffer;
  while (out.read || err.read) {
    std::array<pollfd, 2> both = {{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
    if (::poll(both.data(), both.size(), ms_until(deadline)) == 0) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      if (both[i].revents == 0) continue;
      const ssize_t got = ::read(both[i].fd, buffer.data(), buffer.size());
      if (got > 0) (i == 0 ? result.out : result.err).append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0) (i == 0 ? out : err).read.reset();
    }
  }
  return true;
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv,
                          const std::vector<std::pair<std::string, std::string>>& environment, const std::string& input,
                          Milliseconds deadline) {
  Pipe in, out, err;
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(in.read.get(), 0);
    ::dup2(out.write.get(), 1);
    ::dup2(err.write.get(), 2);
    become(argv, environment);
  }
  in.read.reset();
  out.write.reset();
  err.write.reset();
  if (!input.empty()) static_cast<void>(write_all(in.write.get(), input));  // it may not want it
  in.write.reset();
  ProcessResult result;
  if (!read_both(out, err, result, monotonic_now() + deadline)) ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return result;
}

std::string built(const std::string& program) {
  return ZEROTH_BIN_DIR "/" + program;
}

}  // namespace zeroth
