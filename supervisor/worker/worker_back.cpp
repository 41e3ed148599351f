// Worker: going back. Rollbacks, starts that leave state behind, what is pinned then, and code on disk that is held
// back until it changes.

#include <fcntl.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"
#include "common/text.h"
#include "supervisor/worker/launch_plan.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

constexpr std::size_t kAllSnapshots = 100'000;
constexpr std::size_t kHead = 4096;  // bytes of a state in which its iteration is looked for

Result<std::string> read_state(const RestoreSource& source) {
  if (!source.file) return source.state;
  const UniqueFd fd(::open(source.file->path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail(last_error(source.file->path));
  std::string state(static_cast<std::size_t>(source.file->length), '\0');
  auto got = read_at(fd.get(), state.data(), state.size(), source.file->offset);
  if (!got) return fail(std::move(got.error()));
  state.resize(*got);
  return state;
}

// As the libraries write a key: theirs begin with one dollar sign.
std::string as_written(const std::string& key) {
  return key.starts_with('$') ? "$" + key : key;
}

// As its receipt says; "" if that says nothing.
std::string commit_of(const std::deque<Json>& receipts, std::uint64_t generation) {
  for (const Json& receipt : receipts) {
    if (field_or<std::uint64_t>(receipt, "to", 0) == generation) return field_or<std::string>(receipt, "commit", "");
  }
  return "";
}

Refusal no_state() {
  return {ErrorCode::Refused, "this worker keeps no state and its code is not kept: there is nothing to go back to", "",
          nullptr};
}

}  // namespace

// ---- Choosing where to

void Worker::roll_back(RollbackRequest request) {
  if (state_ == WorkerState::Stopping || state_ == WorkerState::Stopped)
    return request.reply(refuse(ErrorCode::Unavailable, "the worker is " + std::string(to_string(state_))));
  // What a hand-over leaves behind is not known before its end.
  if (handover_ || recovery_ || replacing_ || saving_cut_) return rollbacks_waiting_.push_back(std::move(request));
  if (!current_) return request.reply(refuse(ErrorCode::Unavailable, "nothing has run yet"));
  if (live_ && live_->mute()) return request.reply(tl::unexpected(no_state()));
  store_.list(0, kAllSnapshots, [this, request = std::move(request)](Result<SnapshotStore::Page> page) {
    if (!page) return request.reply(refuse(ErrorCode::Failed, page.error().message));
    resolve_rollback(request, page->envelopes);
  });
}

void Worker::resolve_rollback(const RollbackRequest& request, const std::vector<SnapshotEnvelope>& kept) {
  const auto target = choose_rollback(request.wish, kept, log_.programs());
  if (!target) return request.reply(tl::unexpected(target.error()));
  Aim aim;
  aim.rollback = true;
  aim.generation = target->generation;
  if (request.wish.state_only || target->program_hash == current_->hash) return fetch_state(request, *target, aim);
  fetch_code(request, *target, aim);
}

void Worker::fetch_code(const RollbackRequest& request, const RollbackTarget& target, Aim aim) {
  const auto refuse_code = [request, target](const std::string& why) {
    const std::string hint = request.wish.code_only ? "" : "--state-only returns the state to the code that runs";
    request.reply(tl::unexpected(Refusal{
        ErrorCode::Refused,
        "the code of generation " + std::to_string(target.generation) + ", content " + target.program_hash + ", " + why,
        hint,
        {{"program_hash", target.program_hash}}}));
  };
  if (setup_.options->program.empty()) {
    const std::string commit = commit_of(log_.receipts(), target.generation);
    return refuse_code("was a command's and is not kept" + (commit.empty() ? "" : "; its commit was " + commit));
  }
  content_.find_kept(target.program_hash, [this, request, target, aim, refuse_code](const Result<Content>& content) {
    if (!content) return refuse_code("is not kept any more: " + content.error().message);
    Aim with_code = aim;
    with_code.code = *content;
    fetch_state(request, target, with_code);
  });
}

// Now, not when its turn has come; and kept: the cut of this very hand-over would prune it, from which the next start
// is to go on.
void Worker::fetch_state(const RollbackRequest& request, const RollbackTarget& target, Aim aim) {
  const auto go_on = [this, request, target](Aim ready) {
    if (request.preview) return preview_rollback(request, target, ready);
    ReloadRequest reload_request{"rollback", true, {}, monotonic_now(), request.reply};
    reload_request.aim = std::move(ready);
    reload(std::move(reload_request));
  };
  if (target.sequence == 0) return go_on(std::move(aim));
  SearchOptions options;
  options.exactly = target.sequence;
  options.adopt = setup_.options->adopt;
  aim.source.kept = store_.keep_while(target.sequence);
  store_.search(options, [this, request, target, aim = std::move(aim), go_on](const Result<SearchResult>& searched) {
    if (!searched) return request.reply(refuse(ErrorCode::Failed, searched.error().message));
    if (!searched->found) {
      const std::string why = searched->skipped.empty() ? "it is gone" : searched->skipped.front().message;
      return request.reply(
          refuse(ErrorCode::Refused, "snapshot " + std::to_string(target.sequence) + " cannot be used: " + why));
    }
    Aim ready = aim;
    ready.state = Aim::State::Snapshot;
    ready.source = linked_source(*searched->found);
    ready.source.kept = aim.source.kept;
    go_on(std::move(ready));
  });
}

void Worker::preview_rollback(const RollbackRequest& request, const RollbackTarget& target, const Aim& aim) {
  const bool state = aim.state == Aim::State::Snapshot;
  Json told = {{"preview", true},
               {"worker", setup_.name},
               {"generation", target.generation},
               {"sequence", state ? Json(target.sequence) : Json()},
               {"program_hash", target.program_hash},
               {"code", aim.code.has_value()},
               {"state", state},
               {"age_s", state ? Json(aim.source.age_s) : Json()},
               {"live_iteration", last_iteration_ ? Json(*last_iteration_) : Json()}};
  const auto head = std::make_shared<std::string>(aim.source.state.substr(0, kHead));
  loop_.in_pool(
      [head, source = aim.source] {
        if (!source.file) return;
        RestoreSource first = source;
        first.file->length = std::min<std::uint64_t>(first.file->length, kHead);
        *head = read_state(first).value_or("");
      },
      alive_,
      [this, head, told, aim, reply = request.reply]() mutable {
        const auto iteration = iteration_in(aim.source.schema, *head);
        told["iteration"] = iteration ? Json(*iteration) : Json();
        const bool later = iteration && last_iteration_ && *last_iteration_ > *iteration;
        told["iteration_lost"] =
            iteration && last_iteration_ ? Json(later ? *last_iteration_ - *iteration : 0) : Json();
        reply(told);
      });
}

// ---- What is restored instead

Handover::ReplaceSource Worker::replacing_source() {
  return [this](const SnapshotStore::Committed& cut, const RestoreSource& of_cut, Handover::SourceDone done) {
    const auto of = handover_->token();
    const bool before = store_.is_pinned(cut.sequence);  // by somebody else; only an unchanged cut can be
    store_.pin(cut.sequence, [this, of, before, cut, of_cut, done = std::move(done)](const Status& pinned) {
      if (of.expired()) return drop_pin(cut.sequence, before);
      if (!pinned) return done(fail(Error(pinned.error()).in("pinning the present state")));
      pinned_ = cut.sequence;
      pinned_before_ = before;
      choose_source(of_cut, done);
    });
  };
}

// What it was to be a way back from did not happen. `before`: somebody else had pinned it.
void Worker::drop_pin(std::uint64_t sequence, bool before) {
  if (!before) store_.unpin(sequence, [](const Status&) {});
}

void Worker::choose_source(const RestoreSource& present, const Handover::SourceDone& done) {
  switch (aim_.state) {
    case Aim::State::Living:
      return done(present);
    case Aim::State::Fresh:
      return done(fresh_source());
    case Aim::State::WithoutKeys:
      return drop_keys(present, done);
    case Aim::State::Snapshot:
      return done(aim_.source);
  }
}

// Nobody is live: the newest snapshot is the present state.
void Worker::put_newest_aside(Handover::SourceDone done) {
  const auto of = handover_->token();
  store_.search(living_snapshots(), [this, of, done = std::move(done)](const Result<SearchResult>& searched) {
    if (of.expired()) return;
    if (!searched) return done(fail(searched.error()));
    if (!searched->found) return done(RestoreSource{});
    const RestoreSource newest = linked_source(*searched->found);
    const bool before = store_.is_pinned(newest.sequence);  // by somebody else
    store_.pin(newest.sequence, [this, of, newest, before, done](const Status& pinned) {
      if (of.expired()) return drop_pin(newest.sequence, before);
      if (!pinned) return done(fail(Error(pinned.error()).in("pinning the present state")));
      pinned_ = newest.sequence;
      pinned_before_ = before;
      done(newest);
    });
  });
}

void Worker::search_aimed_source() {
  const auto set = [this, of = handover_->token()](Result<RestoreSource> source) {
    if (of.expired() || !handover_) return;
    if (!source) return handover_->fail_source(source.error().message);
    handover_->set_source(std::move(*source));
  };
  put_newest_aside([this, set, of = handover_->token()](Result<RestoreSource> newest) {
    if (of.expired() || !handover_) return;
    if (!newest) return set(std::move(newest));
    choose_source(*newest, set);
  });
}

// --fresh: what was there is kept for good, and said. A start does not fail for it.
void Worker::pass_over_newest() {
  put_newest_aside([this, of = handover_->token()](const Result<RestoreSource>& newest) {
    if (of.expired() || !handover_) return;
    if (!newest) {
      emit("log", {{"level", "warning"}, {"message", "starting fresh: " + newest.error().message}});
    } else if (newest->sequence != 0 && std::exchange(passed_over_told_, newest->sequence) != newest->sequence) {
      const std::string sequence = std::to_string(newest->sequence);
      emit("log",
           {{"level", "info"},
            {"message", "starting without snapshot " + sequence + " of generation " +
                            std::to_string(newest->from_generation) +
                            ", which is pinned; zerothctl rollback --sequence " + sequence + " goes back to it"}});
    }
    handover_->set_source(fresh_source());
  });
}

tl::expected<void, Refusal> Worker::check_fresh_keys(const std::vector<std::string>& keys) const {
  if (keys.empty() || !live_ || live_->mute()) return {};
  const Json& initial = live_->loaded().initial;
  if (live_->plan().built_in)
    return tl::unexpected(Refusal{ErrorCode::Refused, "a Zero program has no defaults that its state overrides",
                                  "restart --fresh starts without state", nullptr});
  if (!initial.is_object()) return {};  // too many to be announced: the state is asked
  std::vector<std::string_view> known;
  for (const auto& entry : initial.items()) known.push_back(entry.key());
  for (const std::string& key : keys) {
    if (initial.contains(key)) continue;
    const std::string_view meant = nearest(key, known);
    return tl::unexpected(Refusal{ErrorCode::NotFound, "the code has no default for '" + escape_control(key) + "'",
                                  meant.empty() ? "" : "did you mean '" + escape_control(meant) + "'?", nullptr});
  }
  return {};
}

// Gives the state without these members. A large one is written into a file of its own, which goes with its reader.
void Worker::drop_keys(const RestoreSource& present, const Handover::SourceDone& done) {
  const auto state = std::make_shared<Result<std::string>>(fail(""));
  const auto job = [state, present, keys = aim_.fresh_keys] {
    *state = read_state(present);
    for (const std::string& key : keys) {
      if (!*state) return;
      if (auto rest = json_without(**state, as_written(key))) *state = std::move(*rest);
    }
  };
  loop_.in_pool(job, alive_, [this, state, present, done] {
    if (!*state) return done(fail(state->error()));
    RestoreSource rest = present;
    rest.file.reset();
    rest.link.reset();
    rest.bytes = (*state)->size();
    if (!present.file) {
      rest.state = std::move(**state);
      return done(std::move(rest));
    }
    store_.begin(snapshot_head(setup_, present.from_generation, "", "reload"),
                 [this, state, rest, done](Result<SnapshotStore::Draft> draft) {
                   if (!draft) return done(fail(draft.error()));
                   store_.write(*draft, std::move(**state), [this, rest, done, draft = *draft](const Status& written) {
                     if (!written) return done(fail(written.error()));
                     store_.link_for_restore(draft, [this, rest, done, draft](const Result<StateFile>& file) {
                       store_.abandon(draft);
                       if (!file) return done(fail(file.error()));
                       RestoreSource linked = rest;
                       linked.file = *file;
                       linked.link = link_guard(*file);
                       done(std::move(linked));
                     });
                   });
                 });
  });
}

// ---- How it ended

// What a person can do. `uncut`: the worker could not give its state; else it could not be written.
std::string Worker::unsaved_hint(bool uncut) const {
  const auto age = state_age_s();
  const std::string newest = age ? "snapshot " + std::to_string(store_.newest()->sequence) + ", " +
                                       human_duration(Milliseconds(static_cast<std::int64_t>(*age * 1000))) +
                                       " old, is the newest"
                                 : "there is no snapshot";
  const char* mend = uncut ? "mend it through a command of the program, or leave it behind: restart --fresh, or " : "";
  return mend + ("stop --force; " + newest);
}

void Worker::finish_aim(Receipt& receipt) {
  if (receipt.verdict != "ok") {
    if (pinned_ != 0) drop_pin(pinned_, pinned_before_);
    return;
  }
  receipt.pinned = pinned_;
  if (const std::string& why = handover_->cut_error(); !why.empty())
    receipt.restored.warnings.push_back("the state it had could not be saved (" + why + ")" +
                                        (pinned_ != 0 ? "; the newest snapshot before is the one that is pinned" : ""));
  if (aim_.rollback) policy_.reset();
  const auto& cut = handover_->checkpoint();
  const std::optional<std::uint64_t> before = cut && cut->iteration() ? cut->iteration() : iteration_before_aim_;
  if (before && receipt.iteration)
    receipt.iteration_lost = *before > *receipt.iteration ? *before - *receipt.iteration : 0;
}

// Nobody was live, and nobody is: as if nothing had been asked.
void Worker::on_aimed_start_failed(const Handover& attempt) {
  const bool had_ended = down_state_ == WorkerState::Finished || down_state_ == WorkerState::Failed;
  if (!had_ended) return crashed(attempt.last_candidate(), attempt.receipt().reason);
  set_state(down_state_);
  const Milliseconds retry = setup_.options->retry_failed;
  if (down_state_ == WorkerState::Failed && retry.count() > 0) restart_later(retry);
  take_pending();
}

// ---- Held back

std::string Worker::held_hash() const {
  const auto& live = log_.last_live();
  return live ? field_or<std::string>(live->held_back, "hash", "") : "";
}

bool Worker::holds_back(const ReloadRequest& request) const {
  if (request.aim.release || request.cause == "force") return false;
  return current_ && !held_hash().empty() && newest_->hash == held_hash();
}

// After a second crash, and not because somebody asked.
bool Worker::rolls_back_by_itself() const {
  return handover_ && handover_->receipt().operation == "rollback" && !aim_.rollback;
}

// What the `live` line of the generation that is about to go says.
Json Worker::hold_back_now() const {
  const bool by_hand = aim_.code && aim_.code->hash != passed_over_;
  if (by_hand || rolls_back_by_itself()) {
    const std::uint64_t to = by_hand ? aim_.generation : log_.newest_with(target_->hash);
    return {{"hash", passed_over_}, {"since", rfc3339(wall_now())}, {"generation", to}};
  }
  const bool keeps = runs_kept_code_ && !aim_.code && log_.last_live();
  return keeps ? log_.last_live()->held_back : Json();
}

// Not restored from the living state.
bool Worker::begins_anew() const {
  const bool fresh = aim_.state == Aim::State::Fresh || (starts_fresh_ && !aim_.puts_aside());
  return fresh || aim_.state == Aim::State::Snapshot;
}

SequenceRange Worker::put_aside_now() const {
  if (begins_anew()) return {aim_.source.sequence, store_.next_sequence() - 1};
  return log_.last_live() ? log_.last_live()->put_aside : SequenceRange{};
}

void Worker::keep_begun_from() {
  store_.keep(log_.last_live() ? log_.last_live()->put_aside.after : 0);
}

void Worker::release_if_changed() {
  const std::string held = held_hash();
  if (held.empty() || !newest_ || newest_->hash == held) return;
  log_writer_.write(log_.released());
  log_writer_.sync();
  emit("log", {{"level", "info"}, {"message", "the code on disk is another: it is no longer held back"}});
}

}  // namespace zeroth
