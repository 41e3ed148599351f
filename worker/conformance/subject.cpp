#include "worker/conformance/subject.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "common/text.h"

namespace zeroth::conformance {
namespace {

// Between fork and exec.
[[noreturn]] void become(const std::vector<std::string>& command, const std::string& folder, int channel, int report) {
  ::setpgid(0, 0);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGXFSZ, SIG_DFL);
  const std::string output = folder + "/output";
  const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(out, 1);
  ::dup2(out, 2);
  const int fd = ::dup(channel);  // the copy survives exec
  ::setenv(env::kFd, std::to_string(fd).c_str(), 1);
  ::setenv(env::kWorker, "conformance", 1);
  ::setenv(env::kGeneration, "1", 1);
  ::setenv(env::kCause, "start", 1);
  ::setenv(env::kWorkerDir, folder.c_str(), 1);
  ::setenv(env::kEmergencyFile, (folder + "/emergency.json").c_str(), 1);
  ::setenv(env::kAlive, (folder + "/alive").c_str(), 1);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  const int error = errno;
  (void)!::write(report, &error, sizeof error);
  ::_exit(127);
}

std::string shorten(std::string_view line) {
  constexpr std::size_t kShown = 100;
  return escape_control(line.substr(0, kShown)) + (line.size() > kShown ? "…" : "");
}

Result<Incoming> decode(const std::string& line) {
  auto message = decode_message(line, {.members = 500'000, .exempt_state = true});
  if (!message) return fail("sent a line that is no message (" + message.error().reason + "): " + shorten(line));
  Incoming incoming;
  if (auto* event = std::get_if<Event>(&*message)) {
    incoming.event = std::move(*event);
  } else if (auto* request = std::get_if<Request>(&*message)) {
    incoming.request = std::move(*request);
  } else {
    Response& response = std::get<Response>(*message);
    incoming.answer = Answer{std::move(response.id), std::move(response.outcome), ""};
    incoming.answer->state_text = json_span(line, "result", "state");
  }
  return incoming;
}

std::string describe(const Incoming& incoming) {
  if (incoming.event) return "event " + incoming.event->name;
  if (incoming.request) return "request " + incoming.request->command;
  return "answer to " + dump(incoming.answer->id);
}

}  // namespace

Subject::Subject(std::string folder, pid_t pid, UniqueFd channel, UniqueFd pidfd)
    : folder_(std::move(folder)), pid_(pid), channel_(std::move(channel)), pidfd_(std::move(pidfd)) {}

Subject::Subject(Subject&& other) noexcept
    : folder_(std::move(other.folder_)),
      pid_(std::exchange(other.pid_, -1)),
      channel_(std::move(other.channel_)),
      pidfd_(std::move(other.pidfd_)),
      lines_(std::move(other.lines_)),
      waiting_(std::move(other.waiting_)),
      last_id_(other.last_id_),
      ended_(other.ended_) {}

Subject::~Subject() {
  if (pid_ < 0) return;
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<Subject> Subject::start(const std::vector<std::string>& command, const std::string& folder) {
  int channel[2], report[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) return fail(last_error("socketpair"));
  UniqueFd ours(channel[0]);
  const UniqueFd theirs(channel[1]);
  if (::pipe2(report, O_CLOEXEC) != 0) return fail(last_error("pipe2"));
  const UniqueFd report_read(report[0]);
  UniqueFd report_write(report[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail(last_error("fork"));
  if (pid == 0) become(command, folder, theirs.get(), report_write.get());
  report_write.reset();
  int error = 0;
  if (::read(report_read.get(), &error, sizeof error) == sizeof error) {
    ::waitpid(pid, nullptr, 0);
    return fail(system_error(command[0], error));
  }
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return Subject(folder, pid, std::move(ours), std::move(pidfd));
}

Status Subject::send(std::string_view lines) {
  std::string text(lines);
  if (text.empty() || text.back() != '\n') text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t sent = ::send(channel_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail(last_error("the worker closed its channel: send"));
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Status Subject::read_some() {
  std::array<char, 64 * 1024> buffer;
  const ssize_t got = ::read(channel_.get(), buffer.data(), buffer.size());
  if (got < 0 && errno == EINTR) return {};
  if (got <= 0) {
    ended_ = true;
    return fail("the channel ended");
  }
  const bool fits =
      lines_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(got)), [this](std::string_view line) {
        waiting_.emplace_back(line);
        return true;
      });
  return fits ? Status() : fail("sent a line longer than 1 MiB");
}

Result<std::optional<Incoming>> Subject::next(Milliseconds limit) {
  const MonotonicTime until = monotonic_now() + limit;
  while (waiting_.empty()) {
    if (ended_) return fail("the channel ended");
    pollfd readable = {channel_.get(), POLLIN, 0};
    const int due = ::poll(&readable, 1, ms_until(until));
    if (due < 0 && errno == EINTR) continue;
    if (due == 0) return std::optional<Incoming>();
    if (Status read = read_some(); !read) return fail(std::move(read.error()));
  }
  const std::string line = std::move(waiting_.front());
  waiting_.pop_front();
  auto incoming = decode(line);
  if (!incoming) return fail(std::move(incoming.error()));
  return std::optional(std::move(*incoming));
}

Result<Json> Subject::expect_event(std::string_view name, Milliseconds limit) {
  const MonotonicTime until = monotonic_now() + limit;
  for (;;) {
    auto incoming = next(Milliseconds(ms_until(until)));
    if (!incoming) return fail("no " + std::string(name) + ": " + incoming.error().message);
    if (!*incoming) return fail("no " + std::string(name) + " within " + human_duration(limit));
    const Incoming& found = **incoming;
    if (found.event && found.event->name == name) return found.event->data;
    if (found.event && found.event->name == "log") continue;
    return fail("expected " + std::string(name) + ", but got the " + describe(found));
  }
}

Result<Answer> Subject::expect_answer(const Json& id, Milliseconds limit) {
  const MonotonicTime until = monotonic_now() + limit;
  for (;;) {
    auto incoming = next(Milliseconds(ms_until(until)));
    if (!incoming) return fail("no answer: " + incoming.error().message);
    if (!*incoming) return fail("no answer within " + human_duration(limit));
    Incoming& found = **incoming;
    if (found.event && (found.event->name == "beat" || found.event->name == "log")) continue;
    if (found.request) {
      if (Status served = serve(*found.request); !served) return fail(std::move(served.error()));
      continue;
    }
    if (found.answer && found.answer->id == id) return std::move(*found.answer);
    return fail("expected the answer to " + dump(id) + ", but got the " + describe(found));
  }
}

// What a worker may ask of a supervisor.
Status Subject::serve(const Request& request) {
  if (request.command == "save") return send(encode_result(request.id, {{"sequence", ++saves_}}));
  return send(encode_refusal(request.id, {ErrorCode::UnknownCommand, "a worker may only request save", "", nullptr}));
}

Result<Answer> Subject::ask(std::string_view command, const Json& params, Milliseconds limit) {
  const Json id = new_id();
  if (Status sent = send(encode_request(id, command, params)); !sent) return fail(std::move(sent.error()));
  auto answer = expect_answer(id, limit);
  if (!answer) return fail(std::move(answer.error()).in(command));
  return answer;
}

Result<Answer> Subject::ask_ok(std::string_view command, const Json& params, Milliseconds limit) {
  auto answer = ask(command, params, limit);
  if (answer && !answer->outcome) {
    const Refusal& refusal = answer->outcome.error();
    return fail(std::string(command) + ": refused as " + std::string(to_string(refusal.code)) + ", " + refusal.message);
  }
  return answer;
}

Status Subject::expect_silence(Milliseconds time) {
  const MonotonicTime until = monotonic_now() + time;
  for (;;) {
    auto incoming = next(Milliseconds(ms_until(until)));
    if (!incoming) return fail(std::move(incoming.error()));
    if (!*incoming) return {};
    if ((*incoming)->event && (*incoming)->event->name == "log") continue;
    return fail("the " + describe(**incoming) + " came");
  }
}

Result<Exit> Subject::wait_exit(Milliseconds limit) {
  pollfd ended = {pidfd_.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(limit.count())) <= 0) {
    return fail("did not end within " + human_duration(limit));
  }
  int status = 0;
  ::kill(-pid_, SIGKILL);  // what it left behind; it is a zombie, so the number is still its own
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  if (WIFSIGNALED(status)) return Exit{-1, WTERMSIG(status)};
  return Exit{WEXITSTATUS(status), 0};
}

}  // namespace zeroth::conformance
