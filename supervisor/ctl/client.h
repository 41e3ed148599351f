#pragma once
// zerothctl's end of the control socket: blocking, every wait with a deadline.

#include <optional>
#include <string>

#include "common/clock.h"
#include "common/message.h"
#include "common/result.h"
#include "common/unique_fd.h"

namespace zeroth {

class Client {
 public:
  // Error.code is the errno of connect(). A socket served by neither root nor us is refused with EPERM.
  static Result<Client> connect(const std::string& socket, Milliseconds patience);

  // Sends a request and waits for its answer; events before it are skipped. Error.code: ETIMEDOUT, ECONNRESET (the
  // other side closed), EBADMSG (what came is no message).
  Result<Response> call(std::string_view command, const Json& params, Milliseconds deadline);

  // The next line of a stream; without a deadline it waits for ever. Errors as above.
  Result<std::string> read_line(std::optional<MonotonicTime> deadline);

 private:
  explicit Client(UniqueFd fd) : fd_(std::move(fd)) {}
  Status send_all(std::string_view bytes, MonotonicTime deadline);
  Status wait_for(short events, std::optional<MonotonicTime> deadline);

  UniqueFd fd_;
  std::string received_;
  int last_id_ = 0;
};

}  // namespace zeroth
