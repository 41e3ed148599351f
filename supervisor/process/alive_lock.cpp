#include "supervisor/process/alive_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/files.h"
#include "common/json_reader.h"
#include "supervisor/process/emergency_files.h"

namespace zeroth {
namespace {

constexpr Milliseconds kPoll(20);
constexpr Milliseconds kKillTime(5000);  // a process that KILL does not end in this time hangs in the kernel
constexpr Milliseconds kLinger(1000);    // after the process is gone, for a lock that passes through a dying group
constexpr Milliseconds kStill(1000);     // an emergency file that has not grown for this long is not being written
constexpr Milliseconds kLook(250);       // between two looks at how far it is
constexpr std::chrono::minutes kLongestGrowth(10);
constexpr std::string_view kAlivePrefix = "alive-";

// A user can write into a file of its own whatever it likes: that counts for its own processes only.
bool may_name(const struct stat& file, pid_t pid) {
  struct stat process {};
  return file.st_uid == ::geteuid() ||
         (::stat(("/proc/" + std::to_string(pid)).c_str(), &process) == 0 && process.st_uid == file.st_uid);
}

std::optional<ProcessIdentity> read_record(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return std::nullopt;
  const auto text = read_file(path, 4096);
  if (!text) return std::nullopt;
  const auto parsed = parse_json(*text);
  if (!parsed) return std::nullopt;
  const auto identity = parse_identity(parsed->value);
  return identity && may_name(info, identity->pid) ? std::optional(*identity) : std::nullopt;
}

}  // namespace

std::string alive_file_of(const std::string& folder, std::uint64_t generation) {
  return folder + "/" + std::string(kAlivePrefix) + std::to_string(generation);
}

AliveSweep::AliveSweep(Loop& loop, const std::vector<WorkerPlace>& places, Milliseconds patience, Hooks hooks)
    : patience_(patience), hooks_(std::move(hooks)), unread_(places), timer_(loop) {
  timer_.start(Milliseconds(0), [this] {
    timer_.start_repeating(kPoll, [this] { poll(); });
    poll();
  });
}

// Given up on after the patience, as a lock is that nobody lets go of.
bool AliveSweep::has_opened(const WorkerPlace& place) {
  const std::size_t before = held_.size();
  const Status opened = open_all(place);
  if (opened) return true;
  if (monotonic_now() - began_ < patience_) {
    held_.resize(before);
    return false;
  }
  if (hooks_.on_note)
    hooks_.on_note("whether a worker still lives cannot be seen, going on: " + opened.error().message);
  return true;
}

Status AliveSweep::open_all(const WorkerPlace& place) {
  std::error_code error;
  const MonotonicTime now = monotonic_now();
  for (std::filesystem::directory_iterator it(place.open, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kAlivePrefix)) continue;
    Held held;
    const char* digits = name.data() + kAlivePrefix.size();
    const auto parsed = std::from_chars(digits, name.data() + name.size(), held.generation);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    held.path = it->path().string();
    held.fd.reset(::open(held.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!held.fd && errno != ENOENT && errno != ELOOP && errno != EACCES) return fail(last_error(held.path));
    if (!held.fd) continue;
    held.saved = place.saved;
    held.owner = read_record(held.fd.get(), held.path);
    held.until = now + patience_;
    held.last_growth = now - kStill;
    held_.push_back(std::move(held));
  }
  if (error && error.value() != ENOENT) return fail(system_error("reading the folder " + place.open, error.value()));
  return {};
}

void AliveSweep::poll() {
  std::erase_if(unread_, [this](const WorkerPlace& place) { return has_opened(place); });
  std::erase_if(held_, [this](Held& held) { return step(held); });
  if (!held_.empty() || !unread_.empty()) return;
  timer_.stop();
  const auto call = hooks_.on_done;
  call();
}

bool AliveSweep::step(Held& held) {
  // Asked before the lock: a process that is gone has let go of it.
  const bool owner_lives = held.owner && is_alive(*held.owner);
  if (::flock(held.fd.get(), LOCK_EX | LOCK_NB) == 0) {
    ::unlink(held.path.c_str());
    return true;
  }
  const MonotonicTime now = monotonic_now();
  const bool writing = being_written(held);
  switch (held.state) {
    case State::Waiting:
      if (held.owner && !owner_lives) {
        held.state = State::Lingering;
        held.until = now + kLinger;
        note(held, "its worker is gone, another process still holds " + name_of(held.path));
        return false;
      }
      if (now < held.until || writing) return false;
      held.state = owner_lives ? State::Killed : State::Lingering;
      held.until = now + (owner_lives ? kKillTime : kLinger);
      if (!owner_lives) return false;
      note(held, "killing " + describe_process(held.owner->pid) + ", which did not end by itself");
      (void)signal_process(*held.owner, SIGKILL);
      return false;
    case State::Killed:
      if (owner_lives && now < held.until) return false;
      held.state = State::Lingering;
      held.until = now + kLinger;
      return false;
    case State::Lingering:
      if (now < held.until || writing) return false;
      give_up_on(held);
      return true;
  }
  return false;
}

void AliveSweep::give_up_on(const Held& held) const {
  std::string names;
  for (const pid_t pid : holders_of(held.fd.get())) names += (names.empty() ? "" : ", ") + describe_process(pid);
  note(held,
       "going on although " + name_of(held.path) + " is held by " + (names.empty() ? "an unseen process" : names));
}

bool AliveSweep::being_written(Held& held) const {
  const MonotonicTime now = monotonic_now();
  if (now - held.looked >= kLook) {
    const std::uint64_t written = emergency_bytes_under_way(held.saved, held.generation);
    if (written > held.written) held.last_growth = now;
    held.written = written;
    held.looked = now;
  }
  return now - held.last_growth < kStill && now - began_ < kLongestGrowth;
}

void AliveSweep::note(const Held& held, const std::string& text) const {
  if (hooks_.on_note) hooks_.on_note("generation " + std::to_string(held.generation) + ": " + text);
}

std::vector<pid_t> holders_of(int fd) {
  std::vector<pid_t> found;
  struct stat wanted {};
  if (::fstat(fd, &wanted) != 0) return found;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc() || pid == ::getpid()) continue;
    std::error_code refused;
    for (std::filesystem::directory_iterator open(it->path() / "fd", refused), none; !refused && open != none;
         open.increment(refused)) {
      struct stat info {};
      if (::stat(open->path().c_str(), &info) != 0) continue;
      if (info.st_dev != wanted.st_dev || info.st_ino != wanted.st_ino) continue;
      found.push_back(pid);
      break;
    }
  }
  return found;
}

}  // namespace zeroth
