#include "supervisor/ctl/record.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <thread>

#include "common/clock.h"
#include "common/control_protocol.h"
#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

constexpr std::size_t kMaxRecord = 1 << 20;
constexpr Milliseconds kLockLeaves{2'000};  // after the death of its holder: a child between clone and exec may hold it
constexpr Milliseconds kLockRetry{5};

struct Running {
  char state = 0;
  std::int64_t start_time = 0;
};

std::optional<Running> running_of(std::int64_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4'096);
  if (!stat) return std::nullopt;
  constexpr int kState = 3, kStartTime = 22;  // fields, counted behind the name, which may hold anything
  std::size_t at = stat->rfind(')');
  Running running;
  for (int field = kState; field <= kStartTime && at != std::string::npos; ++field) {
    at = stat->find(' ', at + 1);
    if (field == kState && at != std::string::npos && at + 1 < stat->size()) running.state = (*stat)[at + 1];
  }
  if (at == std::string::npos) return std::nullopt;
  running.start_time = std::strtoll(stat->c_str() + at, nullptr, 10);
  return running;
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code error;
  return a == b || std::filesystem::equivalent(a, b, error);
}

// instance.json of a folder, if it is about this runtime folder, or does not say.
std::optional<Json> read_json(const std::string& folder, const std::string& runtime_dir) {
  if (folder.empty()) return std::nullopt;
  const auto text = read_file(folder + "/instance.json", kMaxRecord);
  const auto json = text ? parse_json(*text) : fail("");
  if (!json || !json->value.is_object()) return std::nullopt;
  const auto named = field_or<std::string>(json->value, "runtime", "");
  if (!named.empty() && !same_folder(named, runtime_dir)) return std::nullopt;
  return json->value;
}

std::optional<std::int64_t> read_pid(const std::string& path) {
  std::int64_t pid = 0;
  const auto text = read_file(path, 64);
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), pid);
  const bool whole = error == std::errc() && (end == text->data() + text->size() || *end == '\n');
  return whole ? std::optional(pid) : std::nullopt;
}

bool is_named(int fd, const std::string& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && named.st_dev == opened.st_dev &&
         named.st_ino == opened.st_ino;
}

// Held for as long as the descriptor is open.
Result<UniqueFd> take_lock(const std::string& state_dir) {
  const std::string path = state_dir + "/lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail(last_error(path));
  const MonotonicTime until = monotonic_now() + kLockLeaves;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || monotonic_now() >= until) return fail(last_error("lock " + path));
    std::this_thread::sleep_for(kLockRetry);
  }
  if (!is_named(fd.get(), path)) return fail(path + ": replaced meanwhile", EAGAIN);
  return fd;
}

void remove_if(mode_t type, const std::string& path, std::vector<std::string>& removed) {
  struct stat info {};
  if (path.empty() || ::lstat(path.c_str(), &info) != 0 || (info.st_mode & S_IFMT) != type) return;
  if (::unlink(path.c_str()) == 0) removed.push_back(path);
}

}  // namespace

Record read_record(const Place& place) {
  Record record;
  for (const std::string& folder : {place.runtime_dir, place.state_dir}) {
    const auto json = read_json(folder, place.runtime_dir);
    if (!json) continue;
    record.pid = optional_field<std::int64_t>(*json, "pid").value_or(std::nullopt);
    record.start_time = optional_field<std::int64_t>(*json, "start_time").value_or(std::nullopt);
    record.boot = field_or<std::string>(*json, "boot_id", "");
    if (folder == place.state_dir && find_member(*json, "runtime") != nullptr) record.state_dir = folder;
    record.socket = field_or<std::string>(*json, "socket", "");
    record.pid_file = field_or<std::string>(*json, "pid_file", "");
    if (const Json* failure = find_member(*json, "last_failure")) record.last_failure = *failure;
    break;
  }
  if (!record.pid) record.pid = read_pid(place.runtime_dir + "/pid");
  return record;
}

bool is_alive(const Record& record) {
  if (!record.pid || *record.pid <= 0) return false;
  if (!record.boot.empty() && record.boot != boot_id()) return false;
  const auto running = running_of(*record.pid);
  if (!running) return ::kill(static_cast<pid_t>(*record.pid), 0) != 0 && errno == EPERM;  // another user's, hidden
  if (running->state == 'Z' || running->state == 'X') return false;
  return !record.start_time || *record.start_time == running->start_time;
}

Result<UniqueFd> open_process(const Record& record) {
  if (!record.pid || !record.start_time || record.boot.empty() || record.state_dir.empty())
    return fail("what it recorded does not tell for certain which process it is", EINVAL);
  // Opened before the check: if the pid is reused in between, this still means the process that was checked.
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, *record.pid, 0)));
  if (!process) return fail(last_error("pidfd_open"));
  if (!is_alive(record)) return fail("it is gone", ESRCH);
  return process;
}

std::string state_folder_of(const std::string& runtime_dir, const std::vector<std::string>& candidates) {
  for (const std::string& folder : candidates) {
    const auto json = read_json(folder, runtime_dir);
    if (json && find_member(*json, "runtime") != nullptr) return folder;
  }
  return "";
}

Result<std::vector<std::string>> remove_leftovers(const Place& place) {
  std::vector<std::string> removed;
  const Record before = read_record(place);
  if (before.state_dir.empty()) return fail("whose they are cannot be told", ENOENT);
  const auto lock = take_lock(before.state_dir);
  if (!lock) return fail(lock.error());
  const Record dead = read_record(place);
  if (!dead.pid || is_alive(dead) || dead.state_dir != before.state_dir) return removed;
  // A pid file that names somebody else belongs to whoever uses that runtime folder now, and so does the socket.
  const std::string pid_file = dead.pid_file.empty() ? place.runtime_dir + "/pid" : dead.pid_file;
  const bool there = ::access(pid_file.c_str(), F_OK) == 0;
  const std::string socket = dead.socket.empty() ? control_socket_path(place.runtime_dir) : dead.socket;
  if (there && read_pid(pid_file) != dead.pid) return removed;
  remove_if(S_IFREG, pid_file, removed);
  remove_if(S_IFSOCK, socket, removed);
  remove_if(S_IFREG, place.runtime_dir + "/token", removed);
  return removed;
}

}  // namespace zeroth
