#pragma once
// One client of control: lines in, answers and events out, within limits. What a request means is the
// handler's business; nothing a client sends or fails to read delays the loop or grows without bound.
// Made by ControlServer; a handler keeps the shared pointer for as long as it owes an answer.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "common/loop/stream.h"
#include "common/message.h"
#include "common/unique_fd.h"

namespace zeroth {

struct ControlLimits {
  std::size_t connections = 64;
  Milliseconds first_line{5'000};  // from accept to the end of the first line
  std::size_t queued = 1 << 20;    // bytes that may wait for a slow reader before it is dropped
  std::size_t in_flight = 32;      // requests of one client without an answer; more are not read
  Milliseconds last_words{5'000};  // for the last line of a connection to be read
  Milliseconds hang_up{5'000};     // how often a stream whose client has half-closed looks whether it is still there
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Handler = std::function<void(std::shared_ptr<Connection>, const Request&)>;

  // `limits` and `token` outlive the connection's being open. With a token every request must carry it: one that does
  // not is answered `unauthorized` and closes. "": who could connect is served. `on_closed` is called once, from within
  // close().
  Connection(Loop& loop, UniqueFd fd, const ControlLimits& limits, const std::string& token, Handler handler,
             std::function<void(Connection*)> on_closed);
  // Begins to read; once, after make_shared.
  void start();

  // Answers one request with an encoded line; exactly once per request, now or later. A line over kMaxLine becomes
  // bad_params. Nothing happens if the client is gone.
  void reply(std::string line);

  // From now on the connection stays open for stream() also when the client has ended its half. Before the reply.
  void begin_stream();
  // Sends an encoded event. False: the client is gone or was dropped for reading too slowly, stop sending.
  bool stream(std::string line);
  // Holds what feeds the stream for as long as the client is there. What feeds it must not hold the connection.
  void keep(std::shared_ptr<void> feed);

  bool open() const { return state_ == State::Open || state_ == State::Ended; }
  // At once, without a word.
  void close();

 private:
  enum class State {
    Open,
    Ended,    // the client sends no more; what it asked is still answered
    Closing,  // the last line is on its way, nothing is read
    Closed,
  };

  void on_data(std::string_view bytes);
  void on_end();
  void on_drained();
  void take_lines();
  bool may_take() const;
  void take_lines_soon();
  void on_line(std::string_view line);
  bool admits(const Json& token) const;
  bool send(std::string line);
  void say_last(std::string line);
  void settle();

  Loop& loop_;
  const ControlLimits& limits_;
  const std::string& token_;
  Handler handler_;
  std::function<void(Connection*)> on_closed_;
  std::unique_ptr<Stream> stream_;   // null once Closed
  std::unique_ptr<Timer> deadline_;  // of the first line, of the last one, of the look for a hang-up
  std::string input_;
  std::size_t scanned_ = 0;  // bytes of input_ known to hold no line feed
  std::size_t in_flight_ = 0;
  bool admitted_ = false;  // the first line was as it should be
  bool streaming_ = false;
  std::vector<std::shared_ptr<void>> feeds_;
  bool soon_ = false;  // take_lines() is posted
  State state_ = State::Open;
};

}  // namespace zeroth
