#include "tests/support/daemon.h"

#include <dirent.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "common/control_protocol.h"
#include "common/files.h"
#include "tests/support/run_process.h"

namespace zeroth {
namespace {

constexpr Milliseconds kPoll{2};  // for what no event tells

void pause_briefly() {
  static_cast<void>(::poll(nullptr, 0, static_cast<int>(kPoll.count())));
}

bool poll_until(Milliseconds deadline, const std::function<bool()>& happened) {
  const MonotonicTime until = monotonic_now() + deadline;
  while (!happened()) {
    if (monotonic_now() >= until) return false;
    pause_briefly();
  }
  return true;
}

UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

// Environment variables that would lead the supervisor away from the test's own folders.
constexpr const char* kForeign[] = {"ZEROTH_STATE_DIR",  "ZEROTH_RUNTIME_DIR", "STATE_DIRECTORY",
                                    "RUNTIME_DIRECTORY", "ZEROTH_PID_FILE",    "ZEROTH_WATCH_INTERVAL",
                                    "NOTIFY_SOCKET",     "ZEROTH_FD",          "ZEROTH_WORKER"};

// Workers whose supervisor was killed become children of the test program, which reaps them.
void adopt_orphans() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

// A worker that became our child and ended. Nothing else is touched: supervisors are waited for by their Daemon.
void reap_if_orphan(pid_t pid) {
  const auto name = read_file("/proc/" + std::to_string(pid) + "/comm", 64);
  if (name && (*name == "zeroth-worker\n" || *name == "fake_worker\n")) ::waitpid(pid, nullptr, WNOHANG);
}

std::string state_letter(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return "";
  const std::size_t after_name = stat->rfind(')');
  return after_name == std::string::npos || after_name + 2 >= stat->size() ? "" : stat->substr(after_name + 2, 1);
}

}  // namespace

// ---- Processes

bool process_runs(pid_t pid) {
  const std::string letter = state_letter(pid);
  return !letter.empty() && letter != "Z" && letter != "X";
}

bool wait_for_end(pid_t pid, Milliseconds deadline) {
  const UniqueFd fd = open_pidfd(pid);
  if (!fd) return true;
  pollfd ended{fd.get(), POLLIN, 0};
  const MonotonicTime until = monotonic_now() + deadline;
  int ready = 0;
  do {
    ready = ::poll(&ended, 1, ms_until(until));
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

bool wait_reaped(pid_t pid, Milliseconds deadline) {
  return wait_for_end(pid, deadline) &&
         poll_until(deadline, [pid] { return ::access(("/proc/" + std::to_string(pid)).c_str(), F_OK) != 0; });
}

Daemon::Daemon(std::string_view program, std::vector<std::string> options, std::string file)
    : name_(std::filesystem::path(file).stem().string()), options_(std::move(options)) {
  adopt_orphans();
  for (const char* folder : {"state", "run", "run/zeroth", "code"})
    REQUIRE(::mkdir(dir_.path(folder).c_str(), 0700) == 0);
  // A worker of another user comes to its program and to what it is handed.
  for (const char* folder : {"", "run", "run/zeroth", "code"}) REQUIRE(::chmod(dir_.path(folder).c_str(), 0711) == 0);
  program_ = dir_.write("code/" + file, program);
  state_ = dir_.path("state/zeroth/" + name_);
  socket_ = control_socket_path(runtime_dir());
  restart();
}

Daemon::~Daemon() {
  client_.reset();
  if (pid_ > 0) {
    siginfo_t ended{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT);
    if (ended.si_pid == pid_) FAIL_CHECK("the supervisor ended by itself, status ", ended.si_status, "\n", told());
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  for (int round = 0; round < 1000; ++round) {
    const std::vector<pid_t> left = workers_running();
    if (left.empty()) break;
    for (const pid_t worker : left) {
      ::kill(worker, SIGKILL);
      wait_for_end(worker);
      reap_if_orphan(worker);
    }
  }
}

std::vector<std::pair<std::string, std::string>> Daemon::environment() const {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const char* name : kForeign) variables.emplace_back(name, "");
  variables.emplace_back("XDG_STATE_HOME", dir_.path("state"));
  variables.emplace_back("XDG_RUNTIME_DIR", dir_.path("run"));
  variables.emplace_back("NO_COLOR", "1");
  variables.emplace_back("ZEROTH_CONTROL_PORT", "off");  // there is one port 4040, and many tests at a time
  variables.insert(variables.end(), variables_.begin(), variables_.end());
  return variables;
}

void Daemon::launch(std::optional<std::vector<std::string>> options) {
  REQUIRE(pid_ == -1);
  if (options) options_ = std::move(*options);
  client_.reset();
  std::vector<std::string> words = {built("zeroth-supervise")};
  const auto command = std::find(options_.begin(), options_.end(), kCommand);
  const auto mute = std::find(options_.begin(), options_.end(), kMuteCommand);
  if (command != options_.end()) words.push_back("--protocol");
  if (command != options_.end() || mute != options_.end())
    words.insert(words.end(), {"--name", name_, "--watch", program_});
  words.insert(words.end(), options_.begin(), options_.end());
  std::replace(words.begin(), words.end(), std::string(kMuteCommand), std::string(kCommand));
  words.push_back(program_);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const auto variables = environment();
  const std::string out = dir_.path("stdout"), err = dir_.path("stderr");
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ > 0) {
    ::setpgid(pid_, pid_);
    return;
  }
  ::setpgid(0, 0);
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2);
  for (const auto& [name, value] : variables) {
    value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
  }
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

void Daemon::restart(std::optional<std::vector<std::string>> options) {
  launch(std::move(options));
  wait_ready();
}

void Daemon::wait_answering(Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  while (!client_) {
    auto connection = ControlClient::connect(socket_);
    if (connection && connection->call("ping", Json::object(), Milliseconds(ms_until(until)))) {
      client_ = std::move(*connection);
      break;
    }
    const bool ended = !process_runs(pid_);
    if (ended || monotonic_now() >= until)
      FAIL("the supervisor ", std::string(ended ? "ended" : "did not answer in time"), "\n", told());
    pause_briefly();
  }
}

void Daemon::wait_ready(Milliseconds deadline) {
  const MonotonicTime until = monotonic_now() + deadline;
  wait_answering(deadline);
  wait_until([](const Json& worker) { return worker["state"] == "ready"; }, Milliseconds(ms_until(until)));
}

std::string Daemon::read_program() const {
  auto content = read_file(program_);
  if (!content) FAIL("reading the program: ", content.error().message);
  return *content;
}

void Daemon::write(std::string_view content) const {
  std::ofstream file(program_, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
}

void Daemon::write_renamed(std::string_view content) const {
  const std::string beside = folder_of(program_) + "/.beside";
  std::ofstream(beside, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
  REQUIRE(::rename(beside.c_str(), program_.c_str()) == 0);
}

ControlClient::Outcome Daemon::call(std::string_view command, const Json& params, Milliseconds deadline) {
  if (!client_ || client_->closed()) client_ = connected(socket_);
  return client_->call(command, params, deadline);
}

Json Daemon::ask(std::string_view command, const Json& params, Milliseconds deadline) {
  auto outcome = call(command, params, deadline);
  if (!outcome) FAIL(command, ": ", outcome.error().message, " (", outcome.error().hint, ")\n", told());
  return std::move(*outcome);
}

Refusal Daemon::refused(std::string_view command, const Json& params, Milliseconds deadline) {
  const auto outcome = call(command, params, deadline);
  if (outcome) FAIL(command, " was not refused: ", outcome->dump(), "\n", told());
  return outcome.error();
}

Json Daemon::status() {
  return ask("status");
}

Json Daemon::worker() {
  return status()["workers"][0];
}

pid_t Daemon::worker_pid() {
  const Json pid = worker()["pid"];
  return pid.is_number() ? pid.get<pid_t>() : -1;
}

std::uint64_t Daemon::generation() {
  return worker()["generation"].get<std::uint64_t>();
}

std::uint64_t Daemon::iteration() {
  const Json iteration = worker()["beat"]["iteration"];
  return iteration.is_number() ? iteration.get<std::uint64_t>() : 0;
}

EventStream Daemon::events(const std::vector<std::string>& types) const {
  return {socket_, types};
}

Json Daemon::wait_until(const std::function<bool(const Json&)>& accepts, Milliseconds deadline) {
  constexpr Milliseconds kAskAgain{100};  // should no event tell
  const MonotonicTime until = monotonic_now() + deadline;
  EventStream stream = events();
  for (;;) {
    Json now = worker();
    if (accepts(now)) return now;
    if (monotonic_now() >= until) FAIL("the worker did not get there in time: ", now.dump(2), "\n", told());
    stream.wait_any(std::min(kAskAgain, Milliseconds(ms_until(until))));
  }
}

Json Daemon::wait_generation(std::uint64_t generation, Milliseconds deadline) {
  return wait_until(
      [generation](const Json& worker) {
        return worker["state"] == "ready" && worker["generation"].is_number() && worker["generation"] >= generation;
      },
      deadline);
}

int Daemon::terminate(int signal, Milliseconds deadline) {
  REQUIRE(pid_ > 0);
  ::kill(pid_, signal);
  return wait_exit(deadline);
}

int Daemon::wait_exit(Milliseconds deadline) {
  REQUIRE(pid_ > 0);
  if (!wait_for_end(pid_, deadline)) FAIL("the supervisor did not end in time\n", told());
  int status = 0;
  REQUIRE(::waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  client_.reset();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Daemon::kill_supervisor() {
  CHECK(terminate(SIGKILL) == 128 + SIGKILL);
}

pid_t Daemon::kill_worker() {
  const pid_t pid = worker_pid();
  REQUIRE(pid > 0);
  ::kill(pid, SIGKILL);
  return pid;
}

std::vector<pid_t> Daemon::workers_running() const {
  std::vector<pid_t> found;
  std::unique_ptr<DIR, int (*)(DIR*)> processes(::opendir("/proc"), ::closedir);
  while (const dirent* entry = processes ? ::readdir(processes.get()) : nullptr) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 0 || pid == ::getpid()) continue;
    const auto environment = read_file("/proc/" + std::string(entry->d_name) + "/environ", 1 << 20);
    if (!environment) continue;
    const std::string all = '\0' + *environment;
    const bool is_worker = all.find(std::string(1, '\0') + "ZEROTH_WORKER=") != std::string::npos;
    if (is_worker && all.find(dir_.path() + "/") != std::string::npos && process_runs(pid)) found.push_back(pid);
    reap_if_orphan(pid);
  }
  return found;
}

bool Daemon::wait_workers(std::size_t count, Milliseconds deadline) const {
  return poll_until(deadline, [&] { return workers_running().size() == count; });
}

std::vector<std::string> Daemon::snapshot_files() const {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(worker_dir() + "/snapshots", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("snapshot-") && name.ends_with(".json")) files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Daemon::log() const {
  return read_file(state_ + "/supervisor.log").value_or("");
}

bool Daemon::logs(const std::string& text, Milliseconds deadline) const {
  const MonotonicTime until = monotonic_now() + deadline;
  while (log().find(text) == std::string::npos) {
    if (monotonic_now() > until) return false;
    pause_briefly();
  }
  return true;
}

std::string Daemon::told() const {
  return "--- stderr\n" + read_file(dir_.path("stderr")).value_or("") + "--- log\n" + log();
}

}  // namespace zeroth
