#include "supervisor/process/orphans.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "common/clock.h"
#include "common/files.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"
#include "supervisor/process/process_identity.h"

namespace zeroth {
namespace {

constexpr Milliseconds kReapAgain(10);
constexpr Milliseconds kHuntTime(2000);

std::optional<pid_t> parse_pid(const std::string& text) {
  pid_t pid = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  return pid;
}

// Parent -> children of all processes that live.
std::unordered_map<pid_t, std::vector<pid_t>> process_tree() {
  std::unordered_map<pid_t, std::vector<pid_t>> tree;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const auto pid = parse_pid(it->path().filename().string());
    if (!pid) continue;
    const auto stat = read_proc_stat(*pid);
    if (stat && stat->state != 'Z' && stat->state != 'X') tree[stat->parent].push_back(*pid);
  }
  return tree;
}

void add_descendants(const std::unordered_map<pid_t, std::vector<pid_t>>& tree, pid_t pid, std::vector<pid_t>& out) {
  out.push_back(pid);
  const auto children = tree.find(pid);
  if (children == tree.end()) return;
  for (const pid_t child : children->second) add_descendants(tree, child, out);
}

// Value of a variable in the text of /proc/PID/environ.
std::optional<std::string_view> variable(std::string_view environ, std::string_view name) {
  while (!environ.empty()) {
    const std::string_view entry = environ.substr(0, environ.find('\0'));
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return entry.substr(name.size() + 1);
    environ.remove_prefix(std::min(environ.size(), entry.size() + 1));
  }
  return std::nullopt;
}

}  // namespace

bool belongs_to(pid_t pid, const RetiredGeneration& retired) {
  const auto environ = read_file("/proc/" + std::to_string(pid) + "/environ", 4 << 20);
  if (environ) {
    const auto worker = variable(*environ, env::kWorker);
    const auto generation = variable(*environ, env::kGeneration);
    if (worker && generation) return *worker == retired.worker && *generation == std::to_string(retired.generation);
  }
  const auto stat = read_proc_stat(pid);
  return stat && retired.session > 0 && stat->session == retired.session;
}

bool is_at_work(pid_t leader) {
  for (const auto& [parent, children] : process_tree()) {
    for (const pid_t pid : children) {
      const bool its = ::getpgid(pid) == leader || ::getsid(pid) == leader;
      const auto stat = its ? read_proc_stat(pid) : std::nullopt;
      if (stat && (stat->state == 'R' || stat->state == 'D')) return true;
    }
  }
  return false;
}

Orphans::Orphans(Loop& loop, std::function<bool(pid_t)> is_child)
    : is_child_(std::move(is_child)), on_child_end_(loop, SIGCHLD, [this] { reap(); }), retry_(loop), hunting_(loop) {}

Status Orphans::become_subreaper() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return fail(last_error("become subreaper"));
  return {};
}

void Orphans::reap() {
  for (;;) {
    siginfo_t dead{};
    if (::waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) != 0 || dead.si_pid == 0) return;
    if (is_child_(dead.si_pid)) {
      // Its Child will reap it in this turn of the loop; others may be queued behind it.
      retry_.start(kReapAgain, [this] { reap(); });
      return;
    }
    ::waitid(P_PID, static_cast<id_t>(dead.si_pid), &dead, WEXITED | WNOHANG);
  }
}

std::vector<pid_t> Orphans::find() const {
  std::vector<pid_t> found;
  const auto tree = process_tree();
  const auto ours = tree.find(::getpid());
  if (ours == tree.end()) return found;
  for (const pid_t pid : ours->second) {
    if (!is_child_(pid)) add_descendants(tree, pid, found);
  }
  return found;
}

void Orphans::kill_of(RetiredGeneration retired, std::function<void(std::vector<pid_t>)> done) {
  const auto matches = [retired = std::move(retired)](pid_t pid) { return belongs_to(pid, retired); };
  hunt(std::make_shared<Hunt>(Hunt{matches, std::move(done), monotonic_now() + kHuntTime}));
}

void Orphans::kill_all(std::function<void(std::vector<pid_t>)> done) {
  const auto matches = [](pid_t) { return true; };
  hunt(std::make_shared<Hunt>(Hunt{matches, std::move(done), monotonic_now() + kHuntTime}));
}

void Orphans::hunt(std::shared_ptr<Hunt> hunt) {
  hunts_.push_back(std::move(hunt));
  hunting_.start_repeating(Milliseconds(0) + kReapAgain, [this] { run_hunts(); });
}

void Orphans::run_hunts() {
  reap();
  // No process has this number: it is somebody's only while one is being started, and nobody knows whose any is.
  const bool starting = is_child_(-1);
  const std::vector<pid_t> candidates = find();
  std::vector<std::pair<std::shared_ptr<Hunt>, std::vector<pid_t>>> over;
  std::erase_if(hunts_, [&](const std::shared_ptr<Hunt>& hunt) {
    std::vector<pid_t> left;
    for (const pid_t pid : candidates) {
      // Opened before the question whose it is: a pid reused in between is another process than the pidfd's.
      const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
      if (!pidfd || !hunt->matches(pid)) continue;
      left.push_back(pid);
      ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    }
    const bool ended = (left.empty() && !starting) || monotonic_now() >= hunt->until;
    if (ended) over.emplace_back(hunt, std::move(left));
    return ended;
  });
  if (hunts_.empty()) hunting_.stop();
  for (auto& [hunt, left] : over) hunt->done(std::move(left));
}

}  // namespace zeroth
