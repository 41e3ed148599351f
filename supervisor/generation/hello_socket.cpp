#include "supervisor/generation/hello_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>
#include <variant>

#include "common/clock.h"
#include "common/message.h"
#include "common/secret.h"
#include "common/unix_socket.h"
#include "common/worker_protocol.h"

namespace zeroth {
namespace {

constexpr std::size_t kMaxHello = 16 * 1024;  // bytes of the first line
constexpr std::size_t kMaxGuests = 16;        // connections that have not said hello yet
constexpr Milliseconds kPatience{5'000};      // for the hello
constexpr Milliseconds kRestBetweenAccepts{100};
constexpr Milliseconds kLookAgain{5};  // for the rest of a hello that came in parts

// The secret in the first line, if that is a hello.
std::string key_in(std::string_view line) {
  const auto message = decode_message(line);
  const auto* event = message ? std::get_if<Event>(&*message) : nullptr;
  if (event == nullptr || event->name != "hello") return "";
  const auto hello = parse_hello(event->data);
  return hello ? hello->key : "";
}

}  // namespace

// A connection that has not said who it is. It is only looked into: whoever takes it reads the hello itself.
struct HelloSocket::Guest {
  Guest(Loop& loop, UniqueFd fd)
      : connection(std::move(fd)),
        patience(loop),
        again(loop),
        watch(std::make_unique<FdWatch>(loop, connection.get())) {}

  UniqueFd connection;
  Timer patience, again;
  std::unique_ptr<FdWatch> watch;
};

Result<std::unique_ptr<HelloSocket>> HelloSocket::listen(Loop& loop, const std::string& path, Take take,
                                                         std::optional<uid_t> user) {
  auto socket = listen_privately(path, user);
  if (!socket) return fail(std::move(socket.error()));
  return std::unique_ptr<HelloSocket>(new HelloSocket(loop, path, std::move(*socket), std::move(take), user));
}

HelloSocket::HelloSocket(Loop& loop, std::string path, UniqueFd socket, Take take, std::optional<uid_t> user)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      take_(std::move(take)),
      user_(user),
      watch_(std::make_unique<FdWatch>(loop, socket_.get())),
      rest_(loop) {
  watch();
}

void HelloSocket::watch() {
  watch_->start(FdWatch::kReadable, [this](int) { accept_all(); });
}

HelloSocket::~HelloSocket() {
  ::unlink(path_.c_str());
}

void HelloSocket::accept_all() {
  for (;;) {
    UniqueFd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection && (errno == EMFILE || errno == ENFILE)) {  // it would be told again and again
      watch_->stop();
      return rest_.start(kRestBetweenAccepts, [this] { watch(); });
    }
    if (!connection) return;
    if (!is_of_our_user(connection.get(), user_) || guests_.size() >= kMaxGuests) continue;
    guests_.push_back(std::make_unique<Guest>(loop_, std::move(connection)));
    Guest& guest = *guests_.back();
    guest.patience.start(kPatience, [this, &guest] { leave(guest, "no hello came"); });
    guest.watch->start(FdWatch::kReadable, [this, &guest](int) { look(guest); });
  }
}

void HelloSocket::look(Guest& guest) {
  std::array<char, kMaxHello> bytes;
  const ssize_t got = ::recv(guest.connection.get(), bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return leave(guest, "");
  const std::string_view seen(bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t end = seen.find('\n');
  if (end == std::string_view::npos) {
    if (seen.size() == bytes.size()) return leave(guest, "the hello is too long");
    guest.watch->stop();  // what was only looked at would be told again and again
    return guest.again.start(kLookAgain, [this, &guest] { look(guest); });
  }
  const std::string key = key_in(seen.substr(0, end));
  guest.watch.reset();
  if (key.empty() || !take_(key, guest.connection))
    return leave(guest, "this hello is not expected: its key is wrong or was used");
  leave(guest, "");
}

void HelloSocket::leave(const Guest& guest, const char* why) {
  if (*why != '\0' && guest.connection) {
    const std::string line = encode_refusal(nullptr, {ErrorCode::Unauthorized, why, "", nullptr});
    (void)!::send(guest.connection.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  std::erase_if(guests_, [&](const auto& one) { return one.get() == &guest; });
}

std::string make_key() {
  return random_secret(16);
}

}  // namespace zeroth
