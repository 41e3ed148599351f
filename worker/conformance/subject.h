#pragma once
// One fresh process of the worker under test and the supervisor's end of its channel, with a deadline on every wait.
// Used by the rules of conformance only; blocking, on poll(2).

#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/json.h"
#include "common/line_splitter.h"
#include "common/message.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "common/worker_protocol.h"

namespace zeroth::conformance {

// How long a supervisor waits for each answer.
namespace deadline {
inline constexpr Milliseconds kHello{10'000};
inline constexpr Milliseconds kLoaded{60'000};
inline constexpr Milliseconds kRestore{10'000};  // also ready, checkpoint, stop, and the end after the channel's
inline constexpr Milliseconds kGo{2'000};        // also resume and ping
inline constexpr Milliseconds kCall{5'000};
}  // namespace deadline

// An answer, with the text of its result so that a state passes through as it is.
struct Answer {
  Json id;
  tl::expected<Json, Refusal> outcome;
  std::string state_text;  // of result.state, "" for none
};

struct Incoming {
  std::optional<Event> event;
  std::optional<Answer> answer;
  std::optional<Request> request;
};

struct Exit {
  int code = -1;   // -1 if a signal ended it
  int signal = 0;  // 0: none
};

class Subject {
 public:
  // Starts `command`; everything it may write lies under `folder`, which must exist. An error carries the errno of
  // exec.
  static Result<Subject> start(const std::vector<std::string>& command, const std::string& folder);
  Subject(Subject&& other) noexcept;
  Subject& operator=(Subject&&) = delete;
  // Kills what is left of it.
  ~Subject();

  pid_t pid() const { return pid_; }
  const std::string& folder() const { return folder_; }
  std::string emergency_file() const { return folder_ + "/emergency.json"; }

  // One line (its line feed is added), or several at once. Fails if the worker closed the channel.
  Status send(std::string_view lines);

  // The next message, or nothing when `limit` is over. Fails when the channel ends or a line is no message.
  Result<std::optional<Incoming>> next(Milliseconds limit);

  // The next message must be this event; its data. (`log` may come at any time and is passed over.)
  Result<Json> expect_event(std::string_view name, Milliseconds limit);
  // The next answer must carry this id; beats and logs before it are passed over, and a save is
  // answered.
  Result<Answer> expect_answer(const Json& id, Milliseconds limit);
  // Sends a request and waits for its answer.
  Result<Answer> ask(std::string_view command, const Json& params, Milliseconds limit);
  // The same, and a refusal is an error.
  Result<Answer> ask_ok(std::string_view command, const Json& params, Milliseconds limit);
  // Nothing but `log` comes for so long.
  Status expect_silence(Milliseconds time);

  Json new_id() { return ++last_id_; }

  // Ends the channel as a dying supervisor does.
  void close_channel() { channel_.reset(); }
  // Waits for the process to end.
  Result<Exit> wait_exit(Milliseconds limit);

 private:
  Subject(std::string folder, pid_t pid, UniqueFd channel, UniqueFd pidfd);
  Status read_some();
  Status serve(const Request& request);

  std::string folder_;
  pid_t pid_ = -1;
  UniqueFd channel_, pidfd_;
  LineSplitter lines_{kMaxLine};
  std::deque<std::string> waiting_;
  std::int64_t last_id_ = 0;
  std::int64_t saves_ = 0;  // answered so far; nothing is kept
  bool ended_ = false;
};

}  // namespace zeroth::conformance
