#include "supervisor/control/control_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/unix_socket.h"
#include "common/users.h"

namespace zeroth {
namespace {

constexpr int kAcceptsPerTurn = 16;
constexpr Milliseconds kRest{100};  // without accepting, when not even a client can be turned away

Status check_folder(const std::string& folder) {
  if (Status made = make_folders(folder); !made) return made;
  struct stat info {};
  if (::lstat(folder.c_str(), &info) != 0) return fail(last_error(folder));
  if (!S_ISDIR(info.st_mode)) return fail(folder + ": not a folder", ENOTDIR);
  if (info.st_uid != ::geteuid()) return fail(folder + ": belongs to another user", EPERM);
  if ((info.st_mode & 022) != 0) return fail(folder + ": others may write there", EPERM);
  return {};
}

Status check_free(const std::string& path, bool lock_held) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return errno == ENOENT ? Status() : Status(fail(last_error(path)));
  if (!S_ISSOCK(info.st_mode)) return fail(path + ": there is a file that is no socket", EEXIST);
  if (!lock_held) return fail(path + ": a socket is there already", EADDRINUSE);
  return {};
}

// One line and the door closes; what does not fit into the socket's buffer is not worth waiting for.
void turn_away(const UniqueFd& client, ErrorCode code, std::string message) {
  const std::string line = encode_refusal(nullptr, {code, std::move(message), "", nullptr});
  [[maybe_unused]] const ssize_t sent = ::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

UniqueFd open_spare() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// device and inode, to recognise a file by
std::pair<dev_t, ino_t> identity(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::listen(Loop& loop, const std::string& path, bool lock_held,
                                                             Connection::Handler handler, ControlLimits limits) {
  if (Status folder = check_folder(folder_of(path)); !folder)
    return fail(std::move(folder.error()).in("control socket"));
  if (Status free = check_free(path, lock_held); !free) return fail(std::move(free.error()).in("control socket"));
  auto socket = listen_privately(path);
  if (!socket) return fail(std::move(socket.error()).in("control socket"));
  return std::unique_ptr<ControlServer>(
      new ControlServer(loop, path, std::move(*socket), "", std::move(handler), limits));
}

std::unique_ptr<ControlServer> ControlServer::serve(Loop& loop, UniqueFd listening, std::string token,
                                                    Connection::Handler handler, ControlLimits limits) {
  return std::unique_ptr<ControlServer>(
      new ControlServer(loop, "", std::move(listening), std::move(token), std::move(handler), limits));
}

ControlServer::ControlServer(Loop& loop, std::string path, UniqueFd socket, std::string token,
                             Connection::Handler handler, ControlLimits limits)
    : loop_(loop),
      path_(std::move(path)),
      inode_(identity(path_)),
      token_(std::move(token)),
      socket_(std::move(socket)),
      spare_(open_spare()),
      handler_(std::move(handler)),
      limits_(limits),
      watch_(std::make_unique<FdWatch>(loop, socket_.get())),
      rest_(loop) {
  watch();
}

ControlServer::~ControlServer() {
  const auto connections = std::exchange(connections_, {});
  for (const auto& [key, connection] : connections) connection->close();
  if (!path_.empty() && identity(path_) == inode_) ::unlink(path_.c_str());
}

void ControlServer::stop_listening() {
  rest_.stop();
  watch_.reset();
  socket_.reset();
}

void ControlServer::watch() {
  watch_->start(FdWatch::kReadable, [this](int) { on_incoming(); });
}

void ControlServer::on_incoming() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (!accept_one()) return;
  }
}

// False when nobody is left in the queue, or nobody can be taken from it now.
bool ControlServer::accept_one() {
  UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (client) {
    admit(std::move(client));
    return true;
  }
  if (errno == EINTR || errno == ECONNABORTED) return true;
  if (errno == EMFILE || errno == ENFILE) shed();
  return false;
}

void ControlServer::shed() {
  spare_.reset();
  {
    const UniqueFd client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) turn_away(client, ErrorCode::Busy, "out of file descriptors");
  }
  spare_ = open_spare();
  if (spare_) return;
  watch_->stop();
  rest_.start(kRest, [this] { watch(); });
}

void ControlServer::admit(UniqueFd client) {
  if (token_.empty() && !is_of_our_user(client.get()))
    return turn_away(client, ErrorCode::Unauthorized, "this socket belongs to " + describe_user(::geteuid()));
  if (connections_.size() >= limits_.connections) {
    return turn_away(client, ErrorCode::Busy, std::to_string(limits_.connections) + " connections are open already");
  }
  if (!token_.empty()) {
    const int on = 1;  // each answer is sent whole: nothing is gained by waiting for more
    (void)::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  auto connection = std::make_shared<Connection>(loop_, std::move(client), limits_, token_, handler_,
                                                 [this](Connection* closed) { connections_.erase(closed); });
  connections_.emplace(connection.get(), connection);
  connection->start();
}

}  // namespace zeroth
