#include "supervisor/ctl/worker_run.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/exit_codes.h"
#include "common/text.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/script_worker.h"
#include "supervisor/ctl/verbs.h"

namespace zeroth {
namespace {

constexpr const char* kUsage =
    "usage: zerothctl worker run --state FILE [--state-signal NAME | --state-command CMD] -- COMMAND...";
constexpr int kPassedOn[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
constexpr int kNotFound = 127;  // as a shell has it

std::string text_of(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

// The words behind "--name", as "--name VALUE" or "--name=VALUE"; false: this is not it.
Result<bool> take_option(const std::vector<std::string>& words, std::size_t& at, std::string_view name,
                         std::string& value) {
  const std::string_view word = words[at];
  if (word.starts_with(std::string(name) + "=")) {
    value = word.substr(name.size() + 1);
  } else if (word != name) {
    return false;
  } else if (++at == words.size()) {
    return fail(std::string(name) + " needs a value");
  } else {
    value = words[at];
  }
  ++at;
  return true;
}

Result<ScriptPlan> read_plan(const std::vector<std::string>& words) {
  if (words.empty() || words[0] != "run") return fail(kUsage);
  ScriptPlan plan;
  std::string file, signal;
  std::size_t at = 1;
  while (at < words.size() && words[at].starts_with("-") && words[at] != "--") {
    auto known = take_option(words, at, "--state", file);
    if (known && !*known) known = take_option(words, at, "--state-signal", signal);
    if (known && !*known) known = take_option(words, at, "--state-command", plan.save);
    if (!known) return fail(known.error());
    if (!*known) return fail("unknown option '" + escape_control(words[at]) + "'; " + kUsage);
  }
  if (at < words.size() && words[at] == "--") ++at;
  plan.command.assign(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  if (file.empty()) return fail(std::string("--state FILE says where the command keeps its state; ") + kUsage);
  if (plan.command.empty()) return fail(std::string("no command after --; ") + kUsage);
  std::error_code error;
  plan.file = std::filesystem::absolute(file, error).lexically_normal().string();
  if (error) return fail("--state: " + error.message());
  if (signal.empty()) return plan;
  if (!plan.save.empty()) return fail("give --state-signal or --state-command, not both");
  auto number = parse_signal(signal);
  if (!number) return fail("--state-signal: " + number.error().message);
  plan.signal = *number;
  return plan;
}

// The descriptor that was inherited, if it is one.
UniqueFd inherited_channel() {
  const std::string text = text_of(env::kFd);
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (text.empty() || error != std::errc() || *end != '\0' || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return UniqueFd();
  return UniqueFd(fd);
}

// Where a wrapper has closed it. Lent sockets cannot be had this way.
Result<UniqueFd> connected_channel(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd) return fail(last_error("socket"));
  if (path.size() >= sizeof address.sun_path) return fail(path + ": too long for a socket");
  path.copy(address.sun_path, path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(last_error(path));
  const int alive = ::open(text_of(env::kAlive).c_str(), O_RDONLY);  // for life, and our command's
  if (alive >= 0) ::flock(alive, LOCK_SH | LOCK_NB);
  return fd;
}

UniqueFd block_signals() {
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGCHLD);
  for (const int number : kPassedOn) ::sigaddset(&ours, number);
  ::sigprocmask(SIG_BLOCK, &ours, nullptr);
  return UniqueFd(::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Nobody supervises it: the command alone, with its file as it is.
int become_command(const ScriptPlan& plan) {
  ::setenv("ZEROTH_STATE_FILE", plan.file.c_str(), 1);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGXFSZ, SIG_DFL);
  std::vector<char*> argv;
  for (const std::string& word : plan.command) argv.push_back(const_cast<char*>(word.c_str()));  // exec changes nothing
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  complain(escape_control(plan.command[0]) + ": " + std::strerror(errno));
  return kNotFound;
}

}  // namespace

int run_worker(const Invocation& call) {
  auto plan = read_plan(call.words);
  if (!plan) {
    complain(plan.error().message);
    return kExitUsage;
  }
  if (!can_execute(plan->command[0])) {  // before hello: the generation that runs goes on
    complain(escape_control(plan->command[0]) + ": cannot be executed");
    return kNotFound;
  }
  UniqueFd channel = inherited_channel();
  std::string key;
  if (!channel && !text_of(env::kSocket).empty()) {
    auto connected = connected_channel(text_of(env::kSocket));
    if (!connected) {
      complain(connected.error().message);
      return kExitFailed;
    }
    channel = std::move(*connected);
    key = text_of(env::kKey);
  }
  if (!channel) return become_command(*plan);
  ScriptWorker worker(std::move(*plan), std::move(channel), block_signals(), key);
  const int status = worker.run();
  end_as(status);
}

}  // namespace zeroth
