#include "supervisor/process/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <new>
#include <string_view>

#include "common/clock.h"
#include "common/worker_protocol.h"
#include "supervisor/process/descriptors.h"
#include "supervisor/process/process_identity.h"

namespace zeroth {
namespace {

// The child shares our memory until exec (CLONE_VM), so it may neither allocate nor lock: all text and all lists are
// prepared here, and the parent sleeps meanwhile (CLONE_VFORK). A stack of its own keeps our frames untouched.
constexpr std::size_t kStackBytes = 128 * 1024;

// What went wrong before exec; lies in shared memory, because a child that changes its user gets a copy of ours.
struct Outcome {
  int error = 0;
  const char* step = nullptr;
};

struct Move {
  int from = -1;
  int to = -1;
};

struct Plan {
  const SpawnRequest* request = nullptr;
  std::vector<std::string> programs;  // to try in this order
  std::vector<std::string> added_env;
  std::vector<char*> argv, env;
  char* listen_pid = nullptr;  // where the child writes its number
  std::vector<Move> moves;
  int alive = -1;  // locked by the parent already, so that there is no moment without a lock
  std::string boot;
  pid_t parent = 0;
  sigset_t no_signals{};
  Outcome* outcome = nullptr;
};

// ---- In the child: async-signal-safe calls only.

bool check(const Plan& plan, const char* step, long result) {
  if (result >= 0) return true;
  *plan.outcome = {errno, step};
  return false;
}

void default_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &action, nullptr);
}

bool place_descriptors(Plan& plan) {
  // First out of the way of the final numbers, then onto them; dup2 clears CLOEXEC.
  const int top = 3 + static_cast<int>(plan.moves.size());
  for (Move& move : plan.moves) {
    if (move.from >= top) continue;
    move.from = ::fcntl(move.from, F_DUPFD_CLOEXEC, top);
    if (!check(plan, "dup", move.from)) return false;
  }
  close_on_exec_from_3();
  for (const Move& move : plan.moves) {
    if (!check(plan, "dup2", ::dup2(move.from, move.to))) return false;
  }
  return true;
}

bool set_limits(const Plan& plan) {
  for (const ResourceLimit& limit : plan.request->limits) {
    if (!check(plan, "limit", ::syscall(SYS_prlimit64, 0, limit.resource, &limit.limit, nullptr))) return false;
  }
  return true;
}

bool change_user(const Plan& plan) {
  if (!plan.request->run_as) return true;
  const RunAs& as = *plan.request->run_as;
  // Not glibc's wrappers: those signal all threads of the process.
  return check(plan, "setgroups", ::syscall(SYS_setgroups, as.groups.size(), as.groups.data())) &&
         check(plan, "setgid", ::syscall(SYS_setresgid, as.group, as.group, as.group)) &&
         check(plan, "setuid", ::syscall(SYS_setresuid, as.user, as.user, as.user));
}

bool bind_life_to_parent(const Plan& plan) {
  if (!plan.request->die_with_us) return true;
  if (!check(plan, "pdeathsig", ::prctl(PR_SET_PDEATHSIG, SIGTERM))) return false;
  errno = ESRCH;  // the parent died before the call above could see it
  return check(plan, "supervisor", ::getppid() == plan.parent ? 0 : -1);
}

// Writes {"pid","start_time","boot_id"}: by the child itself, so that a supervisor killed at this moment leaves no
// worker without a record.
bool write_alive_record(const Plan& plan) {
  if (plan.alive < 0) return true;
  std::array<char, 1024> stat;
  const int fd = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  const ssize_t got = ::read(fd, stat.data(), stat.size());
  ::close(fd);
  const auto self = parse_proc_stat({stat.data(), got > 0 ? static_cast<std::size_t>(got) : 0});
  std::array<char, 256> record;
  char* end = record.data();
  const auto text = [&end](std::string_view part) { end += part.copy(end, part.size()); };
  const auto number = [&](std::uint64_t value) { end = std::to_chars(end, record.end(), value).ptr; };
  text("{\"pid\":");
  number(static_cast<std::uint64_t>(::getpid()));
  text(",\"start_time\":");
  number(self ? self->start_time : 0);
  text(",\"boot_id\":\"");
  text(std::string_view(plan.boot).substr(0, 64));
  text("\"}\n");
  return check(plan, "alive file", ::write(plan.alive, record.data(), static_cast<std::size_t>(end - record.data())));
}

bool is_typed_at(const SpawnRequest& request) {
  return request.terminal && request.terminal->typed;
}

// The supervisor's terminal is not to reach the child: reading a password from /dev/tty would stop it in the
// background. This leaves it without a session of its own, which would cost a new scheduling group.
void leave_terminal() {
  const int fd = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return;  // there is none
  ::ioctl(fd, TIOCNOTTY);
  ::close(fd);
}

bool prepare(Plan& plan) {
  const SpawnRequest& request = *plan.request;
  default_signals();
  const bool new_session = request.new_session || is_typed_at(request);
  if (!new_session) leave_terminal();
  if (!check(plan, "session", new_session ? ::setsid() : ::setpgid(0, 0))) return false;
  if (!write_alive_record(plan) || !place_descriptors(plan) || !set_limits(plan)) return false;
  if (is_typed_at(request) && !check(plan, "terminal", ::ioctl(0, TIOCSCTTY, 0))) return false;
  if (request.umask) ::umask(*request.umask);
  if (!change_user(plan) || !bind_life_to_parent(plan)) return false;
  if (!request.cwd.empty() && !check(plan, "chdir", ::chdir(request.cwd.c_str()))) return false;
  if (plan.listen_pid != nullptr) *std::to_chars(plan.listen_pid, plan.listen_pid + 16, ::getpid()).ptr = 0;
  return check(plan, "signal mask", ::sigprocmask(SIG_SETMASK, &plan.no_signals, nullptr));
}

// Never returns from a frame that AddressSanitizer marks: exec would leave the marks in memory we share.
__attribute__((no_sanitize_address)) int child_main(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  if (!prepare(plan)) return 127;
  int error = ENOENT;
  for (const std::string& program : plan.programs) {
    ::execve(program.c_str(), plan.argv.data(), plan.env.data());
    if (errno == ENOENT || errno == ENOTDIR) continue;
    error = errno;
    if (errno != EACCES) break;
  }
  *plan.outcome = {error, nullptr};
  return 127;
}

// ---- In the parent.

std::vector<std::string> programs_of(const SpawnRequest& request) {
  const std::string& name = request.argv[0];
  if (name.find('/') != std::string::npos) return {name};
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string_view variable : request.env) {
    if (variable.starts_with("PATH=")) path = variable.substr(5);
  }
  std::vector<std::string> programs;
  for (;;) {
    const std::size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    programs.push_back(std::string(folder.empty() ? "." : folder) + "/" + name);
    if (colon == std::string_view::npos) return programs;
    path.remove_prefix(colon + 1);
  }
}

void fill_environment(Plan& plan) {
  const SpawnRequest& request = *plan.request;
  const std::size_t lent = request.lent.size();
  if (request.channel >= 0) plan.added_env.push_back(std::string(env::kFd) + "=" + std::to_string(3 + lent));
  if (lent > 0) {
    plan.added_env.push_back("LISTEN_FDS=" + std::to_string(lent));
    plan.added_env.push_back("LISTEN_PID=" + std::string(20, '\0'));
    plan.listen_pid = plan.added_env.back().data() + std::string_view("LISTEN_PID=").size();
  }
  // exec takes char*, and changes nothing through it.
  for (const std::string& argument : request.argv) plan.argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& variable : request.env) plan.env.push_back(const_cast<char*>(variable.c_str()));
  for (std::string& variable : plan.added_env) plan.env.push_back(variable.data());
  plan.argv.push_back(nullptr);
  plan.env.push_back(nullptr);
}

// A process whose wrapper closed the descriptor locks it by its name: then it has to be that user's.
Result<UniqueFd> lock_alive_file(const std::string& path, const std::optional<RunAs>& user) {
  if (path.empty()) return UniqueFd();
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(last_error(path));
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return fail(last_error("flock " + path));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(last_error(path));
  // Only if needed: after a truncation ext4 writes the file out at close, which waits for the disk.
  if (info.st_size > 0 && ::ftruncate(fd.get(), 0) != 0) return fail(last_error("truncate " + path));
  if (user && ::fchown(fd.get(), user->user, user->group) != 0) return fail(last_error("chown " + path));
  return fd;
}

// The descriptors of one spawn: what is read stays, the rest is ours to close when it has happened.
struct Ends {
  UniqueFd in, out_read, out_write, err_read, err_write, alive;
};

Status open_output(const SpawnRequest& request, UniqueFd& read, UniqueFd& write) {
  if (request.terminal) {
    auto pty = open_pty(*request.terminal);
    if (!pty) return fail(std::move(pty.error()));
    read = std::move(pty->master);
    write = std::move(pty->slave);
  } else {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) return fail(last_error("pipe"));
    read.reset(pipe[0]);
    write.reset(pipe[1]);
  }
  // So that it may open /dev/stdout.
  if (request.run_as) (void)!::fchown(write.get(), request.run_as->user, request.run_as->group);
  return {};
}

Result<Ends> open_ends(const SpawnRequest& request) {
  Ends ends;
  if (Status out = open_output(request, ends.out_read, ends.out_write); !out) return fail(std::move(out.error()));
  if (!is_typed_at(request)) {
    if (Status err = open_output(request, ends.err_read, ends.err_write); !err) return fail(std::move(err.error()));
    if (request.stdin_mode == StdinMode::Null) {
      ends.in.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!ends.in) return fail(last_error("/dev/null"));
    }
  }
  auto alive = lock_alive_file(request.alive_file, request.run_as);
  if (!alive) return fail(std::move(alive.error()));
  ends.alive = std::move(*alive);
  return ends;
}

void plan_descriptors(Plan& plan, const Ends& ends) {
  const SpawnRequest& request = *plan.request;
  const int out = ends.out_write.get();
  const bool typed = is_typed_at(request);
  if (typed || ends.in) plan.moves.push_back({typed ? out : ends.in.get(), 0});
  plan.moves.push_back({out, 1});
  plan.moves.push_back({typed ? out : ends.err_write.get(), 2});
  int next = 3;
  for (const int fd : request.lent) plan.moves.push_back({fd, next++});
  if (request.channel >= 0) plan.moves.push_back({request.channel, next++});
  if (ends.alive) plan.moves.push_back({ends.alive.get(), next++});
  plan.alive = ends.alive.get();
}

// The child's stack, with the outcome at its low end.
class SharedStack {
 public:
  SharedStack() : base_(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  ~SharedStack() {
    if (*this) ::munmap(base_, kStackBytes);
  }
  SharedStack(const SharedStack&) = delete;
  SharedStack& operator=(const SharedStack&) = delete;
  explicit operator bool() const { return base_ != MAP_FAILED; }
  Outcome* outcome() { return static_cast<Outcome*>(base_); }
  void* top() { return static_cast<char*>(base_) + kStackBytes; }

 private:
  void* base_;
};

struct Cloned {
  pid_t pid = -1;
  int pidfd = -1;
  int error = 0;
};

Cloned clone_child(Plan& plan, SharedStack& stack) {
  // Root's memory is not shared with a process that is becoming somebody else. (ThreadSanitizer would take the child
  // for the thread that called clone.)
#ifdef __SANITIZE_THREAD__
  const int memory = 0;
#else
  const int memory = plan.request->run_as ? 0 : CLONE_VM;
#endif
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of ours may run in the child
  Cloned cloned;
  cloned.pid = ::clone(child_main, stack.top(), memory | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &cloned.pidfd);
  cloned.error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return cloned;
}

Error outcome_error(const Plan& plan, const Outcome& outcome) {
  if (outcome.step == nullptr) return system_error("exec failed: " + plan.request->argv[0], outcome.error);
  std::string step = outcome.step;
  if (step == "chdir") step += " " + plan.request->cwd;
  return system_error("spawn " + plan.request->argv[0] + ": " + step, outcome.error);
}

}  // namespace

void remove_alive_file(const std::string& path, const std::shared_ptr<NumberNote>& number) {
  if (path.empty()) return;
  if (number) {
    number->remove(path);
  } else {
    ::unlink(path.c_str());
  }
}

Result<Spawned> spawn(const SpawnRequest& request) {
  if (request.argv.empty()) return fail("spawn: no command", EINVAL);
  auto ends = open_ends(request);
  if (!ends) return fail(std::move(ends.error()).in("spawn " + request.argv[0]));
  SharedStack stack;
  if (!stack) return fail(last_error("spawn: mmap"));
  Plan plan;
  plan.request = &request;
  plan.programs = programs_of(request);
  fill_environment(plan);
  plan_descriptors(plan, *ends);
  plan.boot = ends->alive ? boot_id() : "";
  plan.parent = ::getpid();
  ::sigemptyset(&plan.no_signals);
  plan.outcome = new (stack.outcome()) Outcome;

  const Cloned cloned = clone_child(plan, stack);
  if (cloned.pid < 0) return fail(system_error("clone", cloned.error));
  UniqueFd pidfd(cloned.pidfd);
  if (plan.outcome->error != 0) {
    siginfo_t gone;
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &gone, WEXITED) != 0 && errno == EINTR) {
    }
    remove_alive_file(request.alive_file, request.number);
    return fail(outcome_error(plan, *plan.outcome));
  }
  return Spawned{cloned.pid, std::move(pidfd), std::move(ends->out_read), std::move(ends->err_read)};
}

}  // namespace zeroth
