#include "supervisor/snapshot/checkpoint.h"

#include "common/json_reader.h"

namespace zeroth {

Checkpoint::Checkpoint(SnapshotStore& store, std::shared_ptr<Generation> worker, SnapshotEnvelope head)
    : store_(store), worker_(std::move(worker)), head_(std::move(head)) {
  head_.schema = worker_->loaded().schema;
}

Checkpoint::~Checkpoint() {
  if (source_.file) store_.drop_link(*source_.file);
}

void Checkpoint::take(bool hold, Milliseconds deadline, std::function<void(Status)> done) {
  store_.begin(head_,
               [self = weak_from_this(), hold, deadline, done = std::move(done)](Result<SnapshotStore::Draft> draft) {
                 const auto me = self.lock();
                 if (!me) return;
                 if (!draft) return done(fail(std::move(draft.error())));
                 me->draft_ = std::move(*draft);
                 me->ask(hold, deadline, done);
               });
}

void Checkpoint::ask(bool hold, Milliseconds deadline, std::function<void(Status)> done) {
  const Json params = {{"hold", hold},
                       {"deadline_ms", deadline.count()},
                       {"state_file", {{"path", draft_->file.path}, {"offset", draft_->file.offset}}}};
  worker_->request("checkpoint", params, deadline,
                   [self = weak_from_this(), done = std::move(done)](const auto& outcome, std::string_view text) {
                     if (const auto me = self.lock()) done(me->on_answer(outcome, text));
                   });
}

Status Checkpoint::on_answer(const tl::expected<Json, Refusal>& outcome, std::string_view text) {
  taken_at_ = monotonic_now();
  if (!outcome)
    return fail("checkpoint: " + outcome.error().message, outcome.error().code == ErrorCode::Busy ? EBUSY : 0);
  auto reply = parse_checkpoint_reply(*outcome);
  if (!reply) return fail(std::move(reply.error()));
  iteration_ = reply->iteration;
  pause_ms_ = reply->pause_ms;
  unchanged_ = reply->unchanged;
  if (!reply->schema.empty()) source_.schema = reply->schema;
  source_.from_generation = worker_->number();
  source_.sequence = draft_->sequence;
  if (reply->bytes) {
    state_ = *reply->bytes;
    bytes_ = *reply->bytes;
  } else {
    const std::string_view state = json_span(text, "state");
    state_ = std::string(state);
    bytes_ = state.size();
  }
  source_.bytes = bytes_;
  return {};
}

void Checkpoint::write(bool for_restore, std::function<void(Status)> done) {
  if (!write_.join(std::move(done))) return;
  store_.write(*draft_, state_, [self = weak_from_this(), for_restore](Status written) {
    const auto me = self.lock();
    if (!me) return;
    if (!written || !for_restore) return me->write_.finish(std::move(written));
    if (auto* text = std::get_if<std::string>(&me->state_); text != nullptr && text->size() <= kInlineStateBytes) {
      me->source_.state = *text;
      return me->write_.finish({});
    }
    me->link();
  });
}

// The next generation reads large states from a second name, so that the rename cannot pull the file away.
void Checkpoint::link() {
  store_.link_for_restore(*draft_, [self = weak_from_this()](Result<StateFile> file) {
    const auto me = self.lock();
    if (!me) return;
    if (!file) return me->write_.finish(fail(std::move(file.error())));
    me->source_.file = std::move(*file);
    me->write_.finish({});
  });
}

void Checkpoint::commit(std::function<void(Result<SnapshotStore::Committed>)> done) {
  if (!commit_.join(std::move(done))) return;
  store_.commit(*draft_, [self = weak_from_this()](Result<SnapshotStore::Committed> committed) {
    if (const auto me = self.lock()) me->commit_.finish(std::move(committed));
  });
}

}  // namespace zeroth
