// Generation: one that takes the place of another in the same process.

#include <tuple>
#include <utility>

#include "supervisor/generation/generation.h"

namespace zeroth {

void Generation::reexec(const std::shared_ptr<Generation>& old, std::function<void(const Refusal&)> on_refused) {
  spawned_at_ = monotonic_now();
  reexeced_ = true;
  env_ = old->env_;  // execv keeps it
  doubtful_env_ = old->doubtful_env_;
  take_process(*old);
  ReexecOrder order{plan_.number, plan_.cause, plan_.emergency_file, plan_.program_copy, "", 0};
  std::tie(order.changed, order.changed_more) = changed_files();
  await_loaded();
  const Milliseconds never = 2 * plan_.start_timeout;  // the hello has a deadline of its own
  channel_->request("reexec", to_json(order), never,
                    [this, old, on_refused = std::move(on_refused), alive = std::weak_ptr<bool>(alive_)](
                        const auto& outcome, std::string_view) {
                      const bool refused = !outcome && outcome.error().code != ErrorCode::Unavailable &&
                                           outcome.error().code != ErrorCode::Timeout;
                      if (alive.expired() || !refused || hello_ || gone_) return;
                      start_timer_.stop();
                      old->take_process(*this);
                      on_refused(outcome.error());
                    });
  if (channel_->ended()) on_channel_end("");  // nobody tells it again
}

void Generation::take_process(Generation& from) {
  child_ = std::move(from.child_);
  channel_ = std::move(from.channel_);
  from.gone_ = from.replaced_ = true;
  gone_ = replaced_ = false;
  from.start_timer_.stop();
  child_->set_hooks(child_hooks());
  channel_->set_callbacks(channel_callbacks());
}

}  // namespace zeroth
