#include "supervisor/ctl/script_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "common/unique_fd.h"

namespace zeroth {
namespace {

constexpr const char* kListenPid = "LISTEN_PID";

// After fork: nothing but what becomes the command.
[[noreturn]] void become(const std::vector<char*>& argv,
                         const std::vector<std::pair<std::string, std::string>>& variables, pid_t parent,
                         bool own_group, int report) {
  if (own_group) ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before that
  for (const auto& [name, value] : variables) {
    value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
  }
  if (std::getenv(kListenPid) != nullptr) ::setenv(kListenPid, std::to_string(::getpid()).c_str(), 1);  // lent to it
  for (const int ignored : {SIGPIPE, SIGXFSZ}) ::signal(ignored, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  if (::write(report, &error, sizeof error) != sizeof error) ::_exit(126);
  ::_exit(127);
}

}  // namespace

Result<ScriptProcess> ScriptProcess::start(const std::vector<std::string>& argv,
                                           const std::vector<std::pair<std::string, std::string>>& variables) {
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));  // exec changes nothing
  words.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(last_error("pipe2"));
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const bool own_group = ::isatty(STDIN_FILENO) != 1;
  const pid_t parent = ::getpid(), pid = ::fork();
  if (pid < 0) return fail(last_error("fork"));
  if (pid == 0) become(words, variables, parent, own_group, write_end.get());
  if (own_group) ::setpgid(pid, pid);  // by both: whoever comes first
  write_end.reset();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(read_end.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got == sizeof error) {
    ::waitpid(pid, nullptr, 0);
    return fail(system_error(argv[0], error));
  }
  return ScriptProcess(pid, own_group);
}

void ScriptProcess::signal(int number) const {
  ::kill(pid_, number);
}

void ScriptProcess::signal_group(int number) const {
  ::kill(own_group_ ? -pid_ : pid_, number);
}

void ScriptProcess::end_now() {
  signal_group(SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
}

std::optional<int> ScriptProcess::reap() {
  siginfo_t ended{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0)
    return std::nullopt;
  signal_group(SIGKILL);  // it is still a zombie, so the number is its own
  int status = 0;
  ::waitpid(pid_, &status, 0);
  return status;
}

bool can_execute(const std::string& command) {
  if (command.find('/') != std::string::npos) return ::access(command.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  rest += ':';
  for (std::size_t colon = rest.find(':'); colon != std::string::npos; colon = rest.find(':')) {
    const std::string folder = colon == 0 ? "." : rest.substr(0, colon);
    if (::access((folder + "/" + command).c_str(), X_OK) == 0) return true;
    rest.erase(0, colon + 1);
  }
  return false;
}

void end_as(int status) {
  if (WIFSIGNALED(status)) {
    const rlimit no_core = {0, 0};  // the command has left one if it was to
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(WTERMSIG(status), SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::raise(WTERMSIG(status));
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace zeroth
