#include "supervisor/generation/checkpoint.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "common/file_state.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

constexpr Milliseconds kToSaveFile{10'000};  // a program behind the worker is asked, which takes its time

constexpr std::uint64_t kFull = 1 << 20;  // bytes free: less is no room for anybody

// A worker that writes its state itself says in words why it could not; what it wrote still lies there.
bool is_full_at(const std::string& path) {
  struct statvfs disk {};
  return ::statvfs(path.c_str(), &disk) == 0 && static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize < kFull;
}

}  // namespace

Checkpoint::Checkpoint(SnapshotStore& store, std::shared_ptr<Generation> worker, SnapshotEnvelope head,
                       SearchOptions living)
    : store_(store), worker_(std::move(worker)), head_(std::move(head)), living_(std::move(living)) {
  head_.schema = worker_->loaded().schema;
}

Checkpoint::~Checkpoint() {
  if (source_.file) store_.drop_link(*source_.file);
}

void Checkpoint::take(const Ask& asked, std::function<void(Status)> done) {
  Ask ask = asked;
  if (head_.schema == kFileSchema) ask.deadline = std::max(ask.deadline, kToSaveFile);
  store_.begin(head_, [self = weak_from_this(), ask, done = std::move(done)](Result<SnapshotStore::Draft> draft) {
    const auto me = self.lock();
    if (!me) return;
    if (!draft) return done(fail(std::move(draft.error())));
    me->draft_ = std::move(*draft);
    me->offer(ask, done);
  });
}

void Checkpoint::offer(const Ask& ask, std::function<void(Status)> done) {
  const auto& exchange = worker_->plan().exchange;
  if (!exchange) return send(ask, std::move(done));
  exchange->offer([self = weak_from_this(), ask, done = std::move(done)](Result<Exchange::Handle> file) {
    const auto me = self.lock();
    if (!me) return;
    if (!file) return done(fail(std::move(file.error())));
    me->exchanged_ = std::move(*file);
    me->send(ask, done);
  });
}

// Where the worker may put its state.
StateFile Checkpoint::offered() const {
  return exchanged_ ? StateFile{exchanged_->path, 0, 0} : draft_->file;
}

void Checkpoint::send(const Ask& ask, std::function<void(Status)> done) {
  const StateFile file = offered();
  Json params = {{"hold", ask.hold},
                 {"deadline_ms", ask.deadline.count()},
                 {"state_file", {{"path", file.path}, {"offset", file.offset}}}};
  if (ask.durable) params["durable"] = true;
  worker_->request("checkpoint", params, ask.deadline,
                   [self = weak_from_this(), done = std::move(done)](const auto& outcome, std::string_view text) {
                     if (const auto me = self.lock()) done(me->on_answer(outcome, text));
                   });
}

Status Checkpoint::on_answer(const tl::expected<Json, Refusal>& outcome, std::string_view text) {
  taken_at_ = monotonic_now();
  if (!outcome) {
    const bool busy = outcome.error().code == ErrorCode::Busy;
    return fail("checkpoint: " + outcome.error().message, busy ? EBUSY : is_full_at(offered().path) ? ENOSPC : 0);
  }
  auto reply = parse_checkpoint_reply(*outcome);
  if (!reply) return fail(std::move(reply.error()));
  iteration_ = reply->iteration;
  pause_ms_ = reply->pause_ms;
  unchanged_ = reply->unchanged;
  source_.schema = reply->schema.empty() ? head_.schema : reply->schema;
  source_.from_generation = worker_->number();
  source_.sequence = draft_->sequence;
  if (unchanged_) {
    store_.put_back(*std::exchange(draft_, std::nullopt));
  } else if (reply->bytes) {
    state_ = *reply->bytes;
    bytes_ = *reply->bytes;
  } else {
    const std::string_view state = json_span(text, "state");
    state_ = std::string(state);
    bytes_ = state.size();
  }
  source_.bytes = bytes_;
  step_ = Step::Taken;
  return {};
}

RestoreSource Checkpoint::given() const {
  RestoreSource given;
  given.bytes = bytes_;
  if (const auto* text = std::get_if<std::string>(&state_)) {
    given.state = *text;
  } else {
    given.file = offered();
    given.file->length = bytes_;
  }
  return given;
}

void Checkpoint::write(bool for_restore, std::function<void(Status)> done) {
  step_ = Step::Writing;
  if (unchanged_) return write_unchanged(std::move(done));
  const auto go_on = [self = weak_from_this(), for_restore, done = std::move(done)](Status written) {
    const auto me = self.lock();
    if (!me) return;
    if (!written || !for_restore) return me->on_written(std::move(written), done);
    if (auto* text = std::get_if<std::string>(&me->state_); text != nullptr && text->size() <= kInlineStateBytes) {
      me->source_.state = *text;
      return me->on_written({}, done);
    }
    me->link(done);
  };
  write_into(*draft_, go_on);
}

void Checkpoint::write_into(const SnapshotStore::Draft& draft, std::function<void(Status)> done) {
  const auto* bytes = std::get_if<std::uint64_t>(&state_);
  if (!exchanged_ || bytes == nullptr) return store_.write(draft, state_, std::move(done), source_.schema);
  worker_->plan().exchange->take_in(exchanged_, *bytes, draft.file,
                                    [self = weak_from_this(), done = std::move(done)](Status copied) {
                                      const auto me = self.lock();
                                      if (!me) return;
                                      if (!copied) return done(std::move(copied));
                                      me->store_.write(*me->draft_, me->state_, done, me->source_.schema);
                                    });
}

// Nothing is written: the newest snapshot is the state.
void Checkpoint::write_unchanged(std::function<void(Status)> done) {
  store_.search(living_, [self = weak_from_this(), done = std::move(done)](Result<SearchResult> searched) {
    const auto me = self.lock();
    if (!me) return;
    if (!searched) return me->on_written(fail(std::move(searched.error())), done);
    if (!searched->found) return me->on_written(fail("the worker says unchanged, but there is no snapshot"), done);
    me->source_ = to_source(*searched->found);
    me->committed_ = {me->source_.sequence, me->source_.bytes, 0};
    me->on_written({}, done);
  });
}

// The next generation reads large states from a second name, so that the rename cannot pull the file away.
void Checkpoint::link(std::function<void(Status)> done) {
  store_.link_for_restore(*draft_, [self = weak_from_this(), done = std::move(done)](Result<StateFile> file) {
    const auto me = self.lock();
    if (!me) return;
    if (!file) return me->on_written(fail(std::move(file.error())), done);
    me->source_.file = std::move(*file);
    me->on_written({}, done);
  });
}

void Checkpoint::on_written(Status written, const std::function<void(Status)>& done) {
  step_ = written ? Step::Written : Step::Failed;
  if (!written) error_ = written.error();
  done(written);
  if (finish_waiting_.empty()) return;
  if (step_ == Step::Written) return commit([](const auto&) {});
  if (step_ == Step::Failed) on_committed(fail(error_), [](const auto&) {});
}

void Checkpoint::commit(Done done) {
  step_ = Step::Committing;
  if (unchanged_) return on_committed(committed_, done);
  store_.commit(*draft_,
                [self = weak_from_this(), done = std::move(done)](const Result<SnapshotStore::Committed>& committed) {
                  if (const auto me = self.lock()) me->on_committed(committed, done);
                });
}

void Checkpoint::on_committed(const Result<SnapshotStore::Committed>& committed, const Done& done) {
  step_ = committed ? Step::Durable : Step::Failed;
  if (committed) {
    committed_ = *committed;
  } else {
    error_ = committed.error();
  }
  const auto self = shared_from_this();
  done(committed);
  for (const Done& waiting : std::exchange(finish_waiting_, {})) waiting(committed);
}

void Checkpoint::finish(Done done) {
  switch (step_) {
    case Step::Durable:
      return done(committed_);
    case Step::Failed:
      return done(fail(error_));
    case Step::Begun:
      return done(fail("no state was taken"));
    case Step::Taken:
      finish_waiting_.push_back(std::move(done));
      return write(false, [](const Status&) {});
    case Step::Written:
      finish_waiting_.push_back(std::move(done));
      return commit([](const auto&) {});
    case Step::Writing:
    case Step::Committing:
      finish_waiting_.push_back(std::move(done));
      return;
  }
}

namespace {

// The wall clock at boot, as far as the clock was right then and is now.
WallTime booted_at() {
  timespec up{};
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return wall_now() - std::chrono::seconds(up.tv_sec);
}

}  // namespace

RestoreSource fresh_source() {
  RestoreSource source;
  source.fresh = true;
  return source;
}

RestoreSource to_source(const Restorable& found) {
  RestoreSource source;
  source.state = found.state;
  source.file = found.file;
  source.schema = found.envelope.schema;
  source.age_s = std::max(0.0, std::chrono::duration<double>(wall_now() - found.envelope.created_at).count());
  source.same_boot = found.envelope.created_at >= booted_at();
  source.from_generation = found.envelope.generation;
  source.sequence = found.envelope.sequence;
  source.bytes = found.envelope.length;
  return source;
}

}  // namespace zeroth
