#include "common/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/files.h"

namespace zeroth {
namespace {

constexpr int kBacklog = 128;

}  // namespace

Result<UniqueFd> listen_privately(const std::string& path, std::optional<uid_t> user) {
  const std::string temporary = folder_of(path) + "/." + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() > kMaxSocketPath || temporary.size() > kMaxSocketPath) return fail(path + ": too long", ENAMETOOLONG);
  std::memcpy(address.sun_path, temporary.c_str(), temporary.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail(last_error("socket"));
  ::unlink(temporary.c_str());  // left behind by a dead process of the same number
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail(last_error("bind " + temporary));
  const bool given = !user || ::chown(temporary.c_str(), *user, static_cast<gid_t>(-1)) == 0;
  if (!given || ::chmod(temporary.c_str(), 0600) != 0 || ::listen(socket.get(), kBacklog) != 0 ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    const Error error = last_error(path);
    ::unlink(temporary.c_str());
    return fail(error);
  }
  return socket;
}

bool is_of_our_user(int connection, std::optional<uid_t> other) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid() || peer.uid == other;
}

}  // namespace zeroth
