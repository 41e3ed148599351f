#include "supervisor/process/open_sockets.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string_view>

#include "common/files.h"

namespace zeroth {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

template <class T>
std::optional<T> parse_number(std::string_view text, int base) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// The fields of a line of /proc/net/tcp; the first ones only.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (fields.size() < 10) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find(' '), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return fields;
}

// proc(5): "sl local_address rem_address st … inode"; the state 0A is LISTEN, addresses and ports are hexadecimal.
void add_listening(const std::string& table, std::vector<ListeningPort>& to) {
  const auto text = read_file(table);
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const auto fields = fields_of(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (fields.size() < 10 || fields[3] != "0A") continue;
    const auto port = parse_number<std::uint16_t>(fields[1].substr(fields[1].rfind(':') + 1), 16);
    const auto inode = parse_number<ino_t>(fields[9], 10);
    if (port && inode) to.push_back({*port, *inode});
  }
}

template <class Each>
void each_entry(const std::string& path, const Each& each) {
  const Folder folder(::opendir(path.c_str()));
  if (!folder) return;
  while (const dirent* entry = ::readdir(folder.get())) each(entry->d_name);
}

}  // namespace

std::vector<ListeningPort> listening_ports() {
  std::vector<ListeningPort> all;
  add_listening("/proc/net/tcp", all);
  add_listening("/proc/net/tcp6", all);
  return all;
}

std::vector<ino_t> sockets_of(pid_t pid) {
  std::vector<ino_t> inodes;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  each_entry(folder, [&](const char* name) {
    char target[64];
    const ssize_t length = ::readlink((folder + "/" + name).c_str(), target, sizeof target);
    std::string_view text(target, length > 0 ? static_cast<std::size_t>(length) : 0);
    if (!text.starts_with("socket:[")) return;
    if (const auto inode = parse_number<ino_t>(text.substr(8), 10)) inodes.push_back(*inode);
  });
  std::sort(inodes.begin(), inodes.end());
  return inodes;
}

std::string process_name(pid_t pid) {
  auto name = read_file("/proc/" + std::to_string(pid) + "/comm");
  if (!name) return "";
  if (name->ends_with('\n')) name->pop_back();
  return *name;
}

std::optional<OwnPort> own_port_of(pid_t group, const std::vector<ino_t>& known) {
  std::vector<ListeningPort> listening = listening_ports();
  std::erase_if(listening, [&](const ListeningPort& one) {
    return std::find(known.begin(), known.end(), one.inode) != known.end();
  });
  std::optional<OwnPort> found;
  if (listening.empty()) return found;
  each_entry("/proc", [&](const char* name) {
    const auto pid = parse_number<pid_t>(name, 10);
    if (!pid || found || ::getpgid(*pid) != group) return;
    const std::vector<ino_t> open = sockets_of(*pid);
    for (const ListeningPort& one : listening) {
      if (std::binary_search(open.begin(), open.end(), one.inode)) found = OwnPort{process_name(*pid), one.port};
    }
  });
  return found;
}

std::string holder_of_port(std::uint16_t port) {
  std::vector<ino_t> wanted;
  for (const ListeningPort& one : listening_ports()) {
    if (one.port == port) wanted.push_back(one.inode);
  }
  std::string holder;
  if (wanted.empty()) return holder;
  each_entry("/proc", [&](const char* name) {
    const auto pid = parse_number<pid_t>(name, 10);
    if (!pid || !holder.empty()) return;
    const std::vector<ino_t> open = sockets_of(*pid);
    const bool holds = std::any_of(wanted.begin(), wanted.end(),
                                   [&](ino_t inode) { return std::binary_search(open.begin(), open.end(), inode); });
    if (holds) holder = process_name(*pid) + ", pid " + std::to_string(*pid);
  });
  return holder;
}

}  // namespace zeroth
