#include "supervisor/process/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>

#include "common/files.h"

namespace zeroth {
namespace {

// Exit codes by which shells and their kind tell of the commands they ran.
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;
constexpr int kSignalled = 128;  // and the signal's number

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

constexpr int kKillWaitMs = 1000;  // a killed process that is longer in the kernel is left to the reaper of orphans

// Most that a pipe, or a terminal's buffers, still hold for us when the writer is gone; a pipe may be larger.
constexpr long kMostLeft = 128 * 1024;
constexpr std::size_t kMostTyped = 64 * 1024;  // that nobody reads

// Processes that the kernel killed for lack of memory since it was booted, be it in a cgroup; 0 if it does not say.
std::uint64_t oom_kills() {
  constexpr std::string_view kName = "\noom_kill ";
  const auto text = read_file("/proc/vmstat", 1 << 20);
  const std::size_t found = text ? text->find(kName) : std::string::npos;
  return found == std::string::npos ? 0 : std::strtoull(text->c_str() + found + kName.size(), nullptr, 10);
}

std::chrono::microseconds to_duration(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

}  // namespace

std::string exit_meaning(std::optional<int> code, int signal, bool core, bool oom) {
  if (oom && signal == SIGKILL)
    return "killed by SIGKILL, most likely by the kernel: it ran out of memory meanwhile (dmesg tells whom it killed)";
  if (!code) return "killed by " + signal_name(signal) + (core ? " (core dumped)" : "");
  const std::string plain = "exited with code " + std::to_string(*code);
  if (*code == kNotExecutable) return plain + " (of a shell: a command that cannot be executed)";
  if (*code == kNotFound) return plain + " (of a shell: a command that was not found)";
  const bool of_signal = *code > kSignalled && ::sigabbrev_np(*code - kSignalled) != nullptr;
  return of_signal ? plain + " (of a shell: a command killed by " + signal_name(*code - kSignalled) + ")" : plain;
}

struct Child::AliveFile {
  std::mutex mutex;
  std::string path;  // "": there is none, or none any more
  std::shared_ptr<NumberNote> number;

  void rename(const std::string& to, std::shared_ptr<NumberNote> of_that) {
    const std::lock_guard lock(mutex);
    if (path.empty() || ::rename(path.c_str(), to.c_str()) != 0) return;
    path = to;
    number = std::move(of_that);
  }
  void remove() {
    const std::lock_guard lock(mutex);
    remove_alive_file(std::exchange(path, ""), number);
  }
};

Result<std::unique_ptr<Child>> Child::start(Loop& loop, const SpawnRequest& request, Hooks hooks) {
  auto spawned = spawn(request);
  if (!spawned) return fail(std::move(spawned.error()));
  return adopt(loop, std::move(*spawned), request, std::move(hooks));
}

std::unique_ptr<Child> Child::adopt(Loop& loop, Spawned spawned, const SpawnRequest& request, Hooks hooks) {
  return std::unique_ptr<Child>(new Child(loop, std::move(spawned), std::move(hooks), request));
}

Child::Child(Loop& loop, Spawned spawned, Hooks hooks, const SpawnRequest& request)
    : loop_(loop),
      pid_(spawned.pid),
      pidfd_(std::move(spawned.pidfd)),
      watch_(loop, pidfd_.get()),
      on_terminal_(request.terminal.has_value()),
      hooks_(std::move(hooks)),
      has_alive_file_(!request.alive_file.empty()),
      alive_file_(std::make_shared<AliveFile>()),
      oom_kills_(oom_kills()) {
  alive_file_->path = request.alive_file;
  alive_file_->number = request.number;
  watch_.start(FdWatch::kReadable, [this](int) { on_dead(); });
  const auto open = [&](std::unique_ptr<Stream>& stream, UniqueFd fd, OutputStream which) {
    if (!fd) return;
    stream = std::make_unique<Stream>(loop, std::move(fd));
    stream->start(
        [this, which](std::string_view bytes) {
          const auto call = hooks_.on_output;
          if (call) call(which, bytes);
        },
        [] {});  // of a terminal that nobody holds any more by EIO
  };
  open(out_, std::move(spawned.out), OutputStream::Stdout);
  open(err_, std::move(spawned.err), OutputStream::Stderr);
}

Child::~Child() {
  if (reaped_) return;
  (void)signal_group(SIGKILL);
  pollfd wait{pidfd_.get(), POLLIN, 0};
  ::poll(&wait, 1, kKillWaitMs);
  (void)reap();
}

bool Child::is_ours() const {
  siginfo_t info{};
  return !reaped_ && ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

Status Child::signal(int number) {
  if (reaped_) return fail(system_error("signal", ESRCH));
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) != 0) return fail(last_error("signal"));
  sent_.set(static_cast<std::size_t>(number));
  return {};
}

Status Child::signal_group(int number) {
  // While the leader is unreaped, even as a zombie, its number can be no other group's.
  if (!is_ours()) return fail(system_error("signal group", ESRCH));
  if (::kill(-pid_, number) != 0) return fail(last_error("signal group"));
  sent_.set(static_cast<std::size_t>(number));
  return {};
}

void Child::rename_alive_file(const std::string& path, std::shared_ptr<NumberNote> number) {
  if (reaped_ || !has_alive_file_) return;
  loop_.in_pool([file = alive_file_, path, number = std::move(number)] { file->rename(path, number); }, [] {});
}

void Child::resize(TerminalSize size) {
  if (!on_terminal_ || reaped_) return;
  set_terminal_size(out_->fd(), size);
  if (!err_) return;  // its controlling terminal: the kernel tells it
  set_terminal_size(err_->fd(), size);
  (void)signal_group(SIGWINCH);
}

void Child::type(std::string bytes) {
  if (on_terminal_ && !err_ && out_->queued() < kMostTyped) out_->write(std::move(bytes));
}

void Child::on_dead() {
  watch_.stop();
  if (hooks_.kill_group_at_exit && is_ours()) ::kill(-pid_, SIGKILL);
  if (!drain(out_, OutputStream::Stdout) || !drain(err_, OutputStream::Stderr)) return;
  const ExitInfo info = reap();
  const auto call = hooks_.on_exit;
  if (call) call(info);
}

// At most what the pipe holds: a process that outlived this one may go on writing for ever.
bool Child::drain(const std::unique_ptr<Stream>& stream, OutputStream which) {
  if (!stream) return true;
  const std::weak_ptr<bool> alive = alive_;
  std::array<char, 16 * 1024> buffer;
  for (long left = std::max<long>(::fcntl(stream->fd(), F_GETPIPE_SZ), kMostLeft); left > 0;) {
    const ssize_t got = ::read(stream->fd(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    const auto call = hooks_.on_output;
    if (call) call(which, {buffer.data(), static_cast<std::size_t>(got)});
    if (alive.expired()) return false;
    left -= got;
  }
  return true;
}

ExitInfo Child::reap() {
  siginfo_t end{};
  rusage used{};
  ExitInfo info;
  // libuv has made the pidfd non-blocking, so this never waits.
  const long waited = ::syscall(SYS_waitid, P_PIDFD, pidfd_.get(), &end, WEXITED | WNOHANG, &used);
  reaped_ = true;
  if (waited != 0 || end.si_pid == 0) {
    info.meaning = "ended, how is not known";
    return info;
  }
  if (has_alive_file_) loop_.in_pool([file = alive_file_] { file->remove(); }, [] {});
  if (end.si_code == CLD_EXITED) {
    info.code = end.si_status;
  } else {
    info.signal = end.si_status;
  }
  info.core = end.si_code == CLD_DUMPED;
  info.by_us = info.signal > 0 && sent_[static_cast<std::size_t>(info.signal)];
  const bool by_others = info.signal == SIGKILL && !info.by_us;
  info.meaning = exit_meaning(info.code, info.signal, info.core, by_others && oom_kills() != oom_kills_);
  info.user_time = to_duration(used.ru_utime);
  info.system_time = to_duration(used.ru_stime);
  info.max_rss_kib = static_cast<std::uint64_t>(used.ru_maxrss);
  return info;
}

}  // namespace zeroth
