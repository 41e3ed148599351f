#pragma once
// A Zero program as a worker: hello, loaded, restore, ready, go, then iterations in slices between which the channel is
// served. Follows the worker protocol line by line; `zeroth-worker FILE` with $ZEROTH_FD is nothing else.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/message.h"
#include "worker/host/channel.h"
#include "worker/host/checkpoint_writer.h"
#include "worker/language/program.h"
#include "worker/vm/vm.h"

namespace zeroth {

struct HostSettings {
  double rate = 60;                // iterations/s, 0: as fast as possible
  std::optional<double> halflife;  // iterations
  std::string program_path;        // as the user knows it
  std::vector<std::string> argv;   // of this process
  std::size_t program_word = 0;    // the file among them
};

class Host {
 public:
  enum class State {
    Fresh,     // loaded was said, the state has not come yet
    Restored,  // ready was said, go has not come yet: nothing happens
    Live,      // iterating
    Held,      // a cut was taken: only resume, stop and ping are answered
    Stopping,  // stop was answered
  };

  Host(Channel channel, Program program, HostSettings settings);

  // Says loaded and serves until stop or the end of the channel. Returns the exit status: 0 after stop or a written
  // emergency file, 1 if the channel ended and there was something to save that could not be.
  int run();

 private:
  using Outcome = tl::expected<Json, Refusal>;

  void say_loaded();
  void serve_channel(std::chrono::nanoseconds timeout);
  void on_line(std::string_view line);
  void on_request(const Request& request, std::string_view line);
  bool must_wait(const Request& request) const;
  void take_waiting();
  void reply(const Json& id, const Outcome& outcome);
  void reply_checkpoint(const Json& id, const Result<std::string>& result_text);

  Outcome on_restore(const Json& params, std::string_view line);
  Outcome on_go();
  Outcome on_resume();
  Outcome on_call(const Json& params);
  Outcome on_reexec(const Json& params);
  void on_checkpoint(const Json& id, const Json& params);

  void iterate();
  std::chrono::nanoseconds time_to_next() const;
  void restart_schedule();
  void beat_if_due();
  int on_channel_end();

  Channel channel_;
  HostSettings settings_;
  std::optional<Program> program_;
  std::optional<Vm> vm_;
  CheckpointWriter checkpoints_;
  State state_ = State::Fresh;
  bool was_live_ = false;
  std::deque<std::string> waiting_;  // lines that came while held
  MonotonicTime schedule_start_{};   // iteration n of this schedule is due at start + n / rate
  std::uint64_t schedule_done_ = 0;
  MonotonicTime next_beat_{};
};

}  // namespace zeroth
