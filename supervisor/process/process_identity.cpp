#include "supervisor/process/process_identity.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "common/clock.h"
#include "common/files.h"
#include "common/json_fields.h"
#include "common/text.h"
#include "common/unique_fd.h"

namespace zeroth {

std::optional<ProcStat> parse_proc_stat(std::string_view text) {
  // "pid (comm) state ppid pgrp session … starttime": comm may hold blanks and brackets, so count from the last one.
  const std::size_t comm_end = text.rfind(')');
  if (comm_end == std::string_view::npos || comm_end + 2 >= text.size()) return std::nullopt;
  text.remove_prefix(comm_end + 2);
  ProcStat stat;
  stat.state = text[0];
  constexpr int kParent = 1, kSession = 3, kStartTime = 19;  // fields behind the state
  for (int field = 1; field <= kStartTime; ++field) {
    const std::size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    text.remove_prefix(blank + 1);
    std::int64_t number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) continue;
    if (field == kParent) stat.parent = static_cast<pid_t>(number);
    if (field == kSession) stat.session = static_cast<pid_t>(number);
    if (field == kStartTime) stat.start_time = static_cast<std::uint64_t>(number);
  }
  return stat;
}

std::optional<ProcStat> read_proc_stat(pid_t pid) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  return text ? parse_proc_stat(*text) : std::nullopt;
}

Result<ProcessIdentity> identity_of(pid_t pid) {
  const auto stat = read_proc_stat(pid);
  if (!stat) return fail(system_error("process " + std::to_string(pid), ESRCH));
  return ProcessIdentity{pid, stat->start_time, boot_id()};
}

Json to_json(const ProcessIdentity& identity) {
  return {{"pid", identity.pid}, {"start_time", identity.start_time}, {"boot_id", identity.boot_id}};
}

Result<ProcessIdentity> parse_identity(const Json& object) {
  const auto pid = required_field<std::int64_t>(object, "pid");
  if (!pid) return fail(pid.error());
  if (*pid <= 0 || *pid > INT32_MAX) return fail("pid: out of range");
  const auto start_time = required_field<std::uint64_t>(object, "start_time");
  if (!start_time) return fail(start_time.error());
  auto boot = required_field<std::string>(object, "boot_id");
  if (!boot) return fail(boot.error());
  return ProcessIdentity{static_cast<pid_t>(*pid), *start_time, std::move(*boot)};
}

bool is_alive(const ProcessIdentity& identity) {
  const auto stat = read_proc_stat(identity.pid);
  return stat && stat->state != 'Z' && stat->state != 'X' && stat->start_time == identity.start_time &&
         identity.boot_id == boot_id();
}

Status signal_process(const ProcessIdentity& identity, int signal) {
  // Opened before the check: if the pid is reused in between, the pidfd still means the process that was checked.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, identity.pid, 0)));
  if (!pidfd) return fail(last_error("pidfd_open"));
  if (!is_alive(identity)) return fail(system_error("process " + std::to_string(identity.pid), ESRCH));
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) != 0) return fail(last_error("signal"));
  return {};
}

std::string describe_process(pid_t pid) {
  auto comm = read_file("/proc/" + std::to_string(pid) + "/comm", 256);
  if (!comm) return std::to_string(pid);
  if (!comm->empty() && comm->back() == '\n') comm->pop_back();
  return std::to_string(pid) + " (" + escape_control(*comm) + ")";
}

}  // namespace zeroth
