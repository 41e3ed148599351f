#pragma once
// What --health asks of a program, as text and taken apart. Pure; Probe makes one attempt of it.

#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/result.h"
#include "supervisor/process/listeners.h"

namespace zeroth {

struct HealthCheck {
  enum class Kind {
    Tcp,        // a connection to `address` is accepted
    Http,       // a GET of `path` there is answered with a status from 200 to 399
    Exec,       // `argv` exits with 0
    Notify,     // nothing is asked: the program sends READY=1 itself
    Heartbeat,  // nothing is asked: the program sends beats, or answers a ping
  };
  Kind kind = Kind::Notify;
  std::string text;  // as it was given
  ListenAddress address;
  std::string host, path;  // of Http: the header Host, and what stands behind GET
  std::vector<std::string> argv;
  Milliseconds timeout{1'000};  // of one attempt

  // Whether there is something to ask from outside.
  bool asks() const { return kind == Kind::Tcp || kind == Kind::Http || kind == Kind::Exec; }
};

// tcp:PORT (on 127.0.0.1), tcp:ADDRESS:PORT or http://ADDRESS[:PORT][/PATH] with an IP address or "localhost",
// exec:COMMAND (split at spaces, quotes and backslashes as usual, run without a shell), notify or heartbeat.
Result<HealthCheck> parse_health(std::string_view text);

}  // namespace zeroth
