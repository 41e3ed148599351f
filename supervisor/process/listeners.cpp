#include "supervisor/process/listeners.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "common/text.h"
#include "supervisor/process/open_sockets.h"

namespace zeroth {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return port;
}

bool set_inet(ListenAddress& to, const std::string& host, std::uint16_t port) {
  auto& four = reinterpret_cast<sockaddr_in&>(to.address);
  if (::inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    to.length = sizeof four;
    return true;
  }
  auto& six = reinterpret_cast<sockaddr_in6&>(to.address);
  if (::inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) != 1) return false;
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  to.length = sizeof six;
  return true;
}

bool set_unix(ListenAddress& to, std::string_view path) {
  auto& local = reinterpret_cast<sockaddr_un&>(to.address);
  if (path.empty() || path.size() >= sizeof local.sun_path) return false;
  local.sun_family = AF_UNIX;
  path.copy(local.sun_path, path.size());
  to.length = sizeof local;
  return true;
}

std::uint16_t port_of(const sockaddr_storage& address) {
  // Both families have it at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string inet_text(const sockaddr_storage& address) {
  char host[INET6_ADDRSTRLEN] = "";
  const bool six = address.ss_family == AF_INET6;
  const void* bytes = six ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr)
                          : &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  ::inet_ntop(address.ss_family, bytes, host, sizeof host);
  return (six ? "[" + std::string(host) + "]" : std::string(host)) + ":" + std::to_string(port_of(address));
}

// A unix socket's file outlives whoever made it.
void remove_dead_socket(const ListenAddress& address) {
  const char* path = reinterpret_cast<const sockaddr_un&>(address.address).sun_path;
  struct stat info {};
  if (::lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool refused =
      probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length) != 0 &&
      errno == ECONNREFUSED;
  if (refused) ::unlink(path);
}

Error bind_error(const ListenAddress& address, int error) {
  if (error == EADDRINUSE && address.address.ss_family != AF_UNIX) {
    const std::string holder = holder_of_port(port_of(address.address));
    if (!holder.empty()) return {error, address.text + " is taken by " + holder};
  }
  return system_error(address.text, error);
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const std::string shown = "'" + escape_control(text) + "'";
  ListenAddress parsed;
  parsed.name = "http";
  std::string_view rest = text;
  if (const std::size_t equals = rest.find('='); equals != std::string_view::npos) {
    parsed.name = rest.substr(0, equals);
    rest.remove_prefix(equals + 1);
    if (!is_valid_name(parsed.name)) return fail(shown + ": a name has letters, digits, '_', '.' and '-'", EINVAL);
  }
  if (rest.starts_with("unix:")) {
    parsed.text = rest;
    if (!set_unix(parsed, rest.substr(5))) return fail(shown + ": the path is empty or longer than 107 bytes", EINVAL);
    return parsed;
  }
  const std::size_t colon = rest.rfind(':');
  std::string host = colon == std::string_view::npos ? "127.0.0.1" : std::string(rest.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  if (host == "*" || host.empty()) host = "0.0.0.0";
  const auto port = parse_port(colon == std::string_view::npos ? rest : rest.substr(colon + 1));
  if (!port || !set_inet(parsed, host, *port))
    return fail(shown + " is none of PORT, ADDRESS:PORT and unix:PATH", EINVAL);
  parsed.text = inet_text(parsed.address);
  return parsed;
}

Result<Listener> open_listener(const ListenAddress& address) {
  const int family = address.address.ss_family;
  Listener made{address.name, address.text, UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  if (!made.fd) return fail(last_error(address.text));
  if (family == AF_UNIX) {
    remove_dead_socket(address);
  } else {
    const int on = 1;
    (void)::setsockopt(made.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (::bind(made.fd.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length) != 0 ||
      ::listen(made.fd.get(), SOMAXCONN) != 0) {
    return fail(bind_error(address, errno));
  }
  if (family == AF_UNIX) return made;
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(made.fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0) made.text = inet_text(bound);
  return made;
}

}  // namespace zeroth
