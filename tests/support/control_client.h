#pragma once
// A blocking client of one control socket, and the events of one supervisor: what a test says and hears. Everything
// waits with a deadline.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/message.h"
#include "common/unique_fd.h"

namespace zeroth {

inline constexpr Milliseconds kPatience{20'000};

// One connection to a control socket.
class ControlClient {
 public:
  using Outcome = tl::expected<Json, Refusal>;

  static Result<ControlClient> connect(const std::string& socket);

  // Sends without waiting and returns the id. Fails the test case if the connection is gone.
  std::int64_t send(std::string_view command, const Json& params = Json::object());
  // The next line of any kind; none at the deadline or when the other side closed the connection.
  std::optional<Message> receive(Milliseconds deadline = kPatience);
  // Sends and waits for the answer; Timeout or Unavailable if none came.
  Outcome call(std::string_view command, const Json& params = Json::object(), Milliseconds deadline = kPatience);

  bool closed() const { return closed_; }

 private:
  explicit ControlClient(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::string buffer_;
  std::int64_t last_id_ = 0;
  bool closed_ = false;
};

// A connection to a supervisor that must be there: fails the test case if it is not.
ControlClient connected(const std::string& socket);

// The events of one supervisor from the moment it was made.
class EventStream {
 public:
  using Predicate = std::function<bool(const Json& data)>;

  // No `types` are all of them.
  EventStream(const std::string& socket, const std::vector<std::string>& types);

  // The next event of this type that the predicate accepts; those before it are dropped. None at the deadline.
  std::optional<Json> next(std::string_view type, const Predicate& accepts = nullptr,
                           Milliseconds deadline = kPatience);
  // The same, failing the test case if none comes.
  Json wait_for(std::string_view type, const Predicate& accepts = nullptr, Milliseconds deadline = kPatience);
  // Waits for any event.
  bool wait_any(Milliseconds deadline);

 private:
  ControlClient client_;
};

}  // namespace zeroth
