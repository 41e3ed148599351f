#pragma once
// The supervisor's end of one worker's channel: requests with deadlines and their answers, the worker's own requests
// and events. Knows the message shape, not what the messages mean. Used by Generation.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/clock.h"
#include "common/line_splitter.h"
#include "common/loop/loop.h"
#include "common/loop/stream.h"
#include "common/message.h"
#include "common/unique_fd.h"

namespace zeroth {

class WorkerChannel {
 public:
  // The outcome of one request. `text` is the result's JSON as the worker wrote it; valid during the call.
  // Timeout: nothing came in time (a later answer is ignored). Unavailable: the channel ended before.
  using Answer = std::function<void(const tl::expected<Json, Refusal>& outcome, std::string_view text)>;

  struct Callbacks {
    std::function<void(const Event&)> on_event;
    std::function<void(const Request&)> on_request;
    // The worker closed its end, or broke the protocol: `reason` says which, "" for a plain end. Nothing comes after
    // it.
    std::function<void(const std::string& reason)> on_end;
  };

  // More than this waiting to be read by the worker ends it.
  static constexpr std::size_t kMaxQueued = 64 << 20;

  WorkerChannel(Loop& loop, UniqueFd fd, Callbacks callbacks);

  // From now on; of the next owner.
  void set_callbacks(Callbacks callbacks) { callbacks_ = std::move(callbacks); }

  // Sends a request. `line` may carry a request encoded already (with an id from next_id()).
  void request(std::string_view command, const Json& params, Milliseconds deadline, Answer on_answer);
  std::uint64_t next_id() { return ++last_id_; }
  void request_line(std::uint64_t id, std::string line, Milliseconds deadline, Answer on_answer);

  // Answers a request of the worker.
  void respond(std::string line) { send(std::move(line)); }

  // What comes in between is read later.
  void pause() { stream_.pause(); }
  void resume() {
    if (!ended_) stream_.resume();
  }

  bool ended() const { return ended_; }
  // Something came that was not read yet.
  bool has_unread() const;

 private:
  struct Pending {
    Answer on_answer;
    std::unique_ptr<Timer> deadline;
  };

  void send(std::string line);
  void on_data(std::string_view bytes);
  bool on_line(std::string_view line);
  void on_response(const Response& response);
  void answer(std::uint64_t id, const tl::expected<Json, Refusal>& outcome, std::string_view text);
  void end(const std::string& reason);

  Loop& loop_;
  Callbacks callbacks_;
  Stream stream_;
  LineSplitter lines_{kMaxLine};
  std::unordered_map<std::uint64_t, Pending> pending_;
  std::uint64_t last_id_ = 0;
  bool ended_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace zeroth
