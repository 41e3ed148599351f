#include "common/save_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <string_view>

#include "common/files.h"
#include "common/text.h"

namespace zeroth {
namespace {

struct NamedSignal {
  std::string_view name;
  int number;
};
// Those that end or stop a process for good are none to ask by.
constexpr NamedSignal kAskable[] = {{"HUP", SIGHUP},   {"USR1", SIGUSR1}, {"USR2", SIGUSR2},    {"ALRM", SIGALRM},
                                    {"CONT", SIGCONT}, {"URG", SIGURG},   {"WINCH", SIGWINCH},  {"IO", SIGIO},
                                    {"PWR", SIGPWR},   {"PROF", SIGPROF}, {"VTALRM", SIGVTALRM}};
constexpr std::string_view kRealTime = "RTMIN";

// "SigCgt:\t0000000000000200" of /proc/PID/status.
bool has_signal(const std::string& status, std::string_view field, int signal) {
  const std::size_t at = status.find(field);
  if (at == std::string::npos) return false;
  const std::size_t from = status.find_first_not_of("\t ", at + field.size());
  std::uint64_t mask = 0;
  std::from_chars(status.data() + from, status.data() + status.size(), mask, 16);
  return (mask >> (signal - 1) & 1) != 0;
}

}  // namespace

Result<SaveWatch> SaveWatch::begin(const std::string& path) {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return fail(last_error("inotify"));
  const std::string folder = folder_of(path);
  if (::inotify_add_watch(fd.get(), folder.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_ONLYDIR) < 0)
    return fail(last_error(folder));
  return SaveWatch(std::move(fd), name_of(path));
}

void SaveWatch::read() {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  for (;;) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    for (const char* at = buffer.data(); at < buffer.data() + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) quiet_from_ = monotonic_now();  // who knows: look when it is quiet
      if (event->len == 0 || name_ != event->name) continue;
      if ((event->mask & IN_MOVED_TO) != 0) replaced_ = true;
      if ((event->mask & IN_MODIFY) != 0) quiet_from_.reset();
      if ((event->mask & IN_CLOSE_WRITE) != 0) quiet_from_ = monotonic_now();
    }
  }
}

std::optional<MonotonicTime> SaveWatch::ask_at() const {
  if (!quiet_from_) return std::nullopt;
  return *quiet_from_ + kQuiet;
}

Result<int> parse_signal(std::string_view name) {
  std::string_view plain = name;
  if (plain.starts_with("SIG")) plain.remove_prefix(3);
  std::string list;
  for (const NamedSignal& one : kAskable) {
    if (plain == one.name) return one.number;
    list += std::string(one.name) + " ";
  }
  if (plain == kRealTime) return SIGRTMIN;
  if (plain.starts_with("RTMIN+")) {
    int more = 0;
    plain.remove_prefix(kRealTime.size() + 1);
    const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), more);
    if (error == std::errc() && end == plain.data() + plain.size() && more <= SIGRTMAX - SIGRTMIN)
      return SIGRTMIN + more;
  }
  return fail("'" + escape_control(name) + "' is no signal to ask by: " + list + "RTMIN RTMIN+N");
}

std::string name_of_signal(int signal) {
  for (const NamedSignal& one : kAskable) {
    if (one.number == signal) return std::string(one.name);
  }
  return std::string(kRealTime) + (signal == SIGRTMIN ? "" : "+" + std::to_string(signal - SIGRTMIN));
}

Status check_handles(pid_t pid, int signal) {
  const auto status = read_file("/proc/" + std::to_string(pid) + "/status", 64 * 1024);
  if (!status) return fail(status.error());
  if (has_signal(*status, "SigCgt:", signal)) return {};
  const std::string name = name_of_signal(signal);
  if (has_signal(*status, "SigIgn:", signal)) return fail("the program ignores " + name);
  return fail("the program has no handler for " + name + ": it is not sent");
}

}  // namespace zeroth
