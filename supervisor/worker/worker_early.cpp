// Worker: a candidate that is started at the first complete save of a change, while more may follow. In overlap only:
// the live generation does not notice until it has settled, and what followed has the candidate started anew.

#include <utility>

#include "supervisor/worker/worker.h"

namespace zeroth {

bool Worker::may_begin_early() {
  const bool free = !handover_ && !recovery_ && !replacing_ && !saving_cut_ && pending_.empty();
  if (!free || !current_ || !live_ || live_->mute() || state_ != WorkerState::Ready) return false;
  decide_mode();
  return mode_ == ReloadMode::Overlap;
}

void Worker::begin_early(ReloadRequest request, const Content& content) {
  const bool rejected_before = !rejected_.is_null() && rejected_["hash"] == content.hash;
  if (!may_begin_early() || content == *current_ || rejected_before || content.hash == failed_hash_) return;
  if (!held_hash().empty()) return;
  newest_ = content;
  begun_early_ = content.hash;
  begin_reload(std::move(request));
}

// Nothing changed since: what became of it is the answer.
bool Worker::is_begun_early(const ReloadRequest& request, const Content& content) {
  return std::exchange(begun_early_, {}) == content.hash && request.cause == "edit" && !request.reply && !request.force;
}

}  // namespace zeroth
