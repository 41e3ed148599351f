#pragma once
// A client of control that may send any bytes, over the socket or the port, and reads when it likes. Everything waits
// with a deadline.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/unique_fd.h"
#include "tests/support/control_client.h"

namespace zeroth {

class RawConnection {
 public:
  // Fails the test case if nobody accepts.
  static RawConnection to_socket(const std::string& path);
  static RawConnection to_port(std::uint16_t port);

  // Sends until all is taken or the other side has closed; what comes meanwhile is kept, so nobody waits for the other.
  void send(std::string_view bytes, Milliseconds deadline = kPatience);
  // Sends what fits now, and reads nothing; how much it was, 0 also when the other side has closed.
  std::size_t offer(std::string_view bytes);
  // The next line without its end; none at the deadline or at the end.
  std::optional<std::string> line(Milliseconds deadline = kPatience);
  // Reads what is left, line by line, until the other side has closed. False: it did not in time.
  bool ends(const std::function<void(const std::string&)>& each = nullptr, Milliseconds deadline = kPatience);

 private:
  explicit RawConnection(UniqueFd fd) : fd_(std::move(fd)) {}
  // What poll() said, 0 at the deadline.
  int wait(short events, MonotonicTime until) const;
  void read_some();

  UniqueFd fd_;
  std::string received_;
  bool ended_ = false;
};

}  // namespace zeroth
