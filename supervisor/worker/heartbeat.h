#pragma once
// Notices a live worker that has fallen silent: only one that ever beat (or is to), after 10 s without a beat (or as
// said) and 2 s without an answer to a ping.

#include <functional>
#include <memory>

#include "common/loop/loop.h"
#include "supervisor/generation/generation.h"

namespace zeroth {

class Heartbeat {
 public:
  static constexpr Milliseconds kSilence{10'000};  // unless another is said

  explicit Heartbeat(Loop& loop, std::function<void()> on_silent) : timer_(loop), on_silent_(std::move(on_silent)) {}

  void beat(const std::shared_ptr<Generation>& worker);
  // How long is too long, from the next beat on.
  void set_silence(Milliseconds silence) { silence_ = silence; }
  Milliseconds silence() const { return silence_; }
  // Silence is expected: a hand-over is under way, or nobody is live.
  void pause();

 private:
  void ping();

  Milliseconds silence_ = kSilence;
  Timer timer_;
  std::function<void()> on_silent_;
  std::weak_ptr<Generation> worker_;
  std::shared_ptr<bool> waiting_ = std::make_shared<bool>(true);  // replaced by each beat or pause
};

}  // namespace zeroth
