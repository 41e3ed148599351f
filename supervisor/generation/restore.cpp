// Generation: what it is restored from.

#include <utility>

#include "supervisor/generation/generation.h"

namespace zeroth {

void Generation::restore(const RestoreHead& head, std::string_view state, Milliseconds deadline, Answer on_answer) {
  if (mute_) {
    answer_for_mute(std::move(on_answer));
    const auto call = hooks_.on_ready;
    if (call) call();
    return;
  }
  if (plan_.exchange && head.state_file) return hand_out(head, deadline, std::move(on_answer));
  send_restore(head, state, deadline, std::move(on_answer));
}

void Generation::send_restore(const RestoreHead& head, std::string_view state, Milliseconds deadline,
                              Answer on_answer) {
  const std::uint64_t id = channel_->next_id();
  channel_->request_line(id, encode_restore(id, head, state), deadline, std::move(on_answer));
}

// Its user cannot read our snapshots: it gets a copy, which goes when it has answered.
void Generation::hand_out(const RestoreHead& head, Milliseconds deadline, Answer on_answer) {
  plan_.exchange->hand_out(*head.state_file, [this, head, deadline, on_answer = std::move(on_answer),
                                              alive = std::weak_ptr<bool>(alive_)](Result<Exchange::Handle> file) {
    if (alive.expired() || gone_) return;  // its end is reported with more
    withheld_ = !file;
    if (!file) return on_answer(refuse(ErrorCode::Failed, file.error().message), {});
    RestoreHead given = head;
    given.state_file = StateFile{(*file)->path, 0, head.state_file->length};
    send_restore(given, {}, deadline,
                 [file = *file, on_answer](const auto& outcome, std::string_view text) { on_answer(outcome, text); });
  });
}

}  // namespace zeroth
