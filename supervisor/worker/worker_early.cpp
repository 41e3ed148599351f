// Worker: a candidate that is started at the first complete save of a change, while more may follow. In overlap only:
// the live generation does not notice until it has settled, and what followed has the candidate started anew.

#include <utility>

#include "supervisor/worker/worker.h"

namespace zeroth {

bool Worker::may_begin_early() {
  const bool free = !handover_ && !recovery_ && !replacing_ && !saving_cut_ && pending_.empty();
  if (!free || !current_ || !live_ || live_->mute() || state_ != WorkerState::Ready) return false;
  decide_mode();
  return mode_ == ReloadMode::Overlap && lacks_memory().empty();
}

// A change to it is no reload by itself.
bool Worker::is_as_before(const Content& content) const {
  const bool rejected_before = !rejected_.is_null() && rejected_["hash"] == content.hash;
  return content == *current_ || rejected_before || content.hash == held_hash();
}

void Worker::begin_early(ReloadRequest request, const Content& content) {
  if (!may_begin_early() || is_as_before(content) || !held_hash().empty()) return;
  newest_ = content;
  begin_reload(std::move(request));
}

// What was read during a hand-over. Only the edit that it was begun for settles it, however many ask meanwhile.
void Worker::tell_handover(const ReloadRequest& request, const Content& content, bool known) {
  const bool of_edit = request.cause == "edit";
  const bool as_started = known || (target_ && *target_ == content);
  if (handover_->unsettled() && of_edit && is_as_before(content)) return handover_->withdraw();
  if (!as_started) return handover_->content_changed(request.changed, of_edit);
  if (of_edit) handover_->settled(request.more);
}

}  // namespace zeroth
