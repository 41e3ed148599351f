#include "supervisor/process/notify_socket.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "common/clock.h"
#include "common/text.h"
#include "common/unix_socket.h"

namespace zeroth {
namespace {

constexpr std::size_t kMaxDatagram = 8 * 1024;  // a longer one is no notification
constexpr std::size_t kMaxStatus = 512;         // bytes of STATUS=
constexpr std::size_t kMaxDescriptors = 253;    // what the kernel lets through with one message (SCM_MAX_FD)
constexpr int kReadsPerWake = 32;
constexpr Milliseconds kRest{20};  // after as many: whoever floods waits, the loop does not

// Nobody takes a name between the look at whose it is and its removal.
std::mutex names;

// "@" and random: nobody can have it already.
std::string abstract_name() {
  std::array<unsigned char, 16> bytes{};
  (void)!::getrandom(bytes.data(), bytes.size(), 0);
  std::string name = "@zeroth-";
  for (const unsigned char byte : bytes) {
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  return name;
}

bool bind_to(int socket, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() > kMaxSocketPath) {
    errno = ENAMETOOLONG;
    return false;
  }
  name.copy(address.sun_path, name.size());
  const bool abstract = name[0] == '@';
  if (abstract) address.sun_path[0] = '\0';
  const std::size_t length = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
  return ::bind(socket, reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length)) == 0;
}

ino_t inode_of(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// One datagram; closes the descriptors that came with it, so that a barrier (systemd-notify waits for it) ends.
struct Datagram {
  std::array<char, kMaxDatagram> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(kMaxDescriptors * sizeof(int))> control;
  std::string_view text;
  std::optional<ucred> sender;

  // False if none waits.
  bool receive(int socket) {
    iovec buffer{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &buffer;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EINTR;
    for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
      if (head->cmsg_level == SOL_SOCKET) take(*head);
    }
    if ((message.msg_flags & MSG_TRUNC) == 0) text = {bytes.data(), static_cast<std::size_t>(got)};
    return true;
  }

 private:
  void take(const cmsghdr& head) {
    const std::size_t size = head.cmsg_len - CMSG_LEN(0);
    if (head.cmsg_type == SCM_CREDENTIALS && size == sizeof(ucred)) {
      sender.emplace();
      std::memcpy(&*sender, CMSG_DATA(&head), sizeof(ucred));
    }
    if (head.cmsg_type != SCM_RIGHTS) return;
    for (std::size_t i = 0; i + sizeof(int) <= size; i += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(&head) + i, sizeof fd);
      ::close(fd);
    }
  }
};

}  // namespace

Notification parse_notification(std::string_view text) {
  Notification told;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line == "READY=1") told.ready = true;
    if (line.starts_with("STATUS=")) told.status = escape_control(line.substr(7, kMaxStatus));
  }
  return told;
}

Result<NotifySocket::Bound> NotifySocket::bind(const std::string& path, std::optional<uid_t> user) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
    return fail(last_error("notify socket"));
  std::string address = path;
  const std::lock_guard lock(names);
  if (path.size() <= kMaxSocketPath) ::unlink(path.c_str());
  if (!bind_to(socket.get(), address)) {
    address = abstract_name();
    if (!bind_to(socket.get(), address)) return fail(last_error("notify socket"));
  }
  if (address == path) (void)::chmod(path.c_str(), 0600);
  if (address == path && user && ::chown(path.c_str(), *user, static_cast<gid_t>(-1)) != 0) {
    const Error error = last_error("chown " + path);
    ::unlink(path.c_str());
    return fail(error);
  }
  const ino_t inode = inode_of(address);
  return Bound{std::move(socket), std::move(address), inode, user};
}

void NotifySocket::remove(const Bound& bound) {
  const std::lock_guard lock(names);
  if (bound.inode != 0 && inode_of(bound.address) == bound.inode) ::unlink(bound.address.c_str());
}

NotifySocket::NotifySocket(Loop& loop, Bound bound, Hooks hooks)
    : loop_(loop), bound_(std::move(bound)), hooks_(std::move(hooks)), watch_(loop, bound_.socket.get()), rest_(loop) {
  watch();
}

NotifySocket::~NotifySocket() {
  if (bound_.inode == 0) return;
  // Its socket is open until then: no other file may have its number.
  loop_.in_pool([bound = std::make_shared<Bound>(std::move(bound_))] { remove(*bound); }, [] {});
}

void NotifySocket::watch() {
  watch_.start(FdWatch::kReadable, [this](int) { read_some(); });
}

void NotifySocket::read_some() {
  const std::weak_ptr<bool> alive = alive_;
  for (int i = 0; i < kReadsPerWake; ++i) {
    Datagram datagram;
    if (!datagram.receive(bound_.socket.get())) return;
    const Notification told = parse_notification(datagram.text);
    if (told.empty() || !datagram.sender) continue;
    const ucred& sender = *datagram.sender;
    const bool of_our_user = sender.uid == 0 || sender.uid == ::geteuid() || sender.uid == bound_.user;
    if (!of_our_user || sender.pid <= 0 || !hooks_.belongs(sender.pid)) continue;
    const auto call = hooks_.on_message;
    call(told);
    if (alive.expired()) return;
  }
  watch_.stop();
  rest_.start(kRest, [this] { watch(); });
}

}  // namespace zeroth
