#pragma once
// Which listening sockets there are and which processes hold them, from /proc: for naming the holder of a taken port,
// and for seeing that a worker opened a port of its own. Reads as root or of one's own processes; what cannot be read
// is left out. Costs a walk through /proc: not for the path of a reload.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zeroth {

struct ListeningPort {
  std::uint16_t port = 0;
  ino_t inode = 0;  // of the socket
};

// TCP ports, both families.
std::vector<ListeningPort> listening_ports();

// Inodes of the sockets that a process has open, sorted.
std::vector<ino_t> sockets_of(pid_t pid);

// "python3, pid 4242", or "" if nobody can be named.
std::string holder_of_port(std::uint16_t port);

struct OwnPort {
  std::string process;
  std::uint16_t port = 0;
};

// A port that a process of this group listens on with a socket that is none of `known` (inodes).
std::optional<OwnPort> own_port_of(pid_t group, const std::vector<ino_t>& known);

// The name of a process as the kernel shows it, "" if it is gone.
std::string process_name(pid_t pid);

}  // namespace zeroth
