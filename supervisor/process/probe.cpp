#include "supervisor/process/probe.h"

#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "common/clock.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr std::size_t kKeptOutput = 4 * 1024;  // bytes of a command's output, for the reason
constexpr std::size_t kShownOutput = 200;      // of its last line

constexpr const char* kForms = "tcp:PORT, tcp:ADDRESS:PORT, exec:COMMAND and notify";

// Words as a shell splits them, without anything else a shell does.
Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool escapes = c == '\\' && quote != '\'' && i + 1 < text.size();
    if (quote == 0 && !escapes && (c == ' ' || c == '\t')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (escapes) {
      words.back() += text[++i];
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0) return fail(std::string("the quote ") + quote + " has no end", EINVAL);
  return words;
}

Result<ListenAddress> parse_tcp(std::string_view text) {
  auto address = parse_listen_address(text);
  const bool one_address = address && address->address.ss_family != AF_UNIX &&
                           text.find('=') == std::string_view::npos && !text.starts_with('*') &&
                           !text.starts_with(':') && !address->text.ends_with(":0");
  if (!one_address)
    return fail("'" + escape_control(text) + "' is neither PORT nor ADDRESS:PORT (an IP address or localhost)", EINVAL);
  return address;
}

// On the loopback a connection can find itself: our own end was given the very port that we ask for.
bool is_self_connected(int socket) {
  sockaddr_storage ours{}, theirs{};
  socklen_t ours_size = sizeof ours, theirs_size = sizeof theirs;
  return ::getsockname(socket, reinterpret_cast<sockaddr*>(&ours), &ours_size) == 0 &&
         ::getpeername(socket, reinterpret_cast<sockaddr*>(&theirs), &theirs_size) == 0 && ours_size == theirs_size &&
         std::memcmp(&ours, &theirs, ours_size) == 0;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (const std::size_t end = text.rfind('\n'); end != std::string_view::npos) text.remove_prefix(end + 1);
  return escape_control(text.substr(0, kShownOutput));
}

}  // namespace

Result<HealthCheck> parse_health(std::string_view text) {
  HealthCheck check;
  check.text = text;
  if (text == "notify") return check;
  if (text.starts_with("tcp:")) {
    check.kind = HealthCheck::Kind::Tcp;
    auto address = parse_tcp(text.substr(4));
    if (!address) return fail(std::move(address.error()));
    check.address = std::move(*address);
    return check;
  }
  if (text.starts_with("exec:")) {
    check.kind = HealthCheck::Kind::Exec;
    auto words = split_words(text.substr(5));
    if (!words) return fail(std::move(words.error()));
    check.argv = std::move(*words);
    if (check.argv.empty() || check.argv[0].empty()) return fail("there is no command behind exec:", EINVAL);
    return check;
  }
  const bool http = text.starts_with("http:") || text.starts_with("https:");
  return fail("'" + escape_control(text) + "': " + (http ? "http is not offered; " : "") + "there are " + kForms,
              EINVAL);
}

Probe::Probe(Loop& loop, const HealthCheck& check, const Place& place, std::function<void(Status)> done)
    : loop_(loop), done_(std::move(done)), timeout_(loop) {
  switch (check.kind) {
    case HealthCheck::Kind::Tcp:
      connect(check.address);
      break;
    case HealthCheck::Kind::Exec:
      run(check.argv, place);
      break;
    case HealthCheck::Kind::Notify:
      break;
  }
}

void Probe::connect(const ListenAddress& address) {
  socket_.reset(::socket(address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool begun =
      socket_ && (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length) == 0 ||
                  errno == EINPROGRESS);
  if (!begun) {
    const Error error = system_error(address.text, errno);
    return timeout_.start(Milliseconds(0), [this, error] { finish(fail(error)); });
  }
  timeout_.start(kTimeout, [this, text = address.text] {
    finish(fail(text + ": no answer within " + human_duration(kTimeout), ETIMEDOUT));
  });
  watch_ = std::make_unique<FdWatch>(loop_, socket_.get());
  watch_->start(FdWatch::kWritable, [this, address](int) { on_connected(address); });
}

void Probe::on_connected(const ListenAddress& address) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0 && is_self_connected(socket_.get())) error = ECONNREFUSED;
  finish(error == 0 ? Status() : fail(system_error(address.text, error)));
}

void Probe::run(const std::vector<std::string>& argv, const Place& place) {
  SpawnRequest request;
  request.argv = argv;
  request.env = place.env;
  request.cwd = place.cwd;
  request.die_with_us = true;
  Child::Hooks hooks;
  hooks.on_output = [this](OutputStream, std::string_view bytes) {
    said_.append(bytes);
    if (said_.size() > kKeptOutput) said_.erase(0, said_.size() - kKeptOutput);
  };
  hooks.on_exit = [this](const ExitInfo& info) { on_exit(info); };
  auto child = Child::start(loop_, request, std::move(hooks));
  if (!child) {
    return timeout_.start(Milliseconds(0), [this, error = child.error()] { finish(fail(error)); });
  }
  child_ = std::move(*child);
  timeout_.start(kTimeout, [this] {
    late_ = true;
    (void)child_->signal_group(SIGKILL);
  });
}

void Probe::on_exit(const ExitInfo& info) {
  if (late_) return finish(fail("no answer within " + human_duration(kTimeout), ETIMEDOUT));
  if (info.code == 0) return finish({});
  const std::string said = last_line(said_);
  finish(fail(info.meaning + (said.empty() ? "" : ": " + said)));
}

void Probe::finish(Status outcome) {
  timeout_.stop();
  watch_.reset();
  const auto done = std::exchange(done_, nullptr);
  if (done) done(std::move(outcome));
}

}  // namespace zeroth
