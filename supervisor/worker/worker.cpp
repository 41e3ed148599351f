#include "supervisor/worker/worker.h"

#include <algorithm>
#include <cerrno>
#include <random>
#include <ranges>
#include <utility>

#include "common/exit_codes.h"
#include "supervisor/worker/changed_defaults.h"
#include "supervisor/worker/launch_plan.h"

namespace zeroth {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kCallDeadline = 5s;
constexpr std::size_t kTypedEarly = 4096;  // bytes, as many as a terminal keeps

RestartOptions restart_options(const Options& options) {
  const RestartMode mode = options.restart == RestartOn::OnFailure ? RestartMode::OnFailure
                           : options.restart == RestartOn::Always  ? RestartMode::Always
                                                                   : RestartMode::Never;
  return {mode, options.min_uptime, options.max_failures, options.backoff_max, options.retry_failed};
}

RetentionRules rules_of(const Options& options) {
  RetentionRules rules;
  rules.max_bytes = options.keep_bytes;
  return rules;
}

std::function<double()> random_source() {
  const auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
}

}  // namespace

std::string_view to_string(WorkerState state) {
  switch (state) {
    case WorkerState::Starting:
      return "starting";
    case WorkerState::Ready:
      return "ready";
    case WorkerState::Reloading:
      return "reloading";
    case WorkerState::Backoff:
      return "backoff";
    case WorkerState::Failed:
      return "failed";
    case WorkerState::Finished:
      return "finished";
    case WorkerState::Stopping:
      return "stopping";
    case WorkerState::Stopped:
      return "stopped";
  }
  return "unknown";
}

Worker::Worker(Loop& loop, Setup setup, GenerationLog log, Hooks hooks)
    : loop_(loop),
      setup_(std::move(setup)),
      hooks_(std::move(hooks)),
      log_(std::move(log)),
      log_writer_(loop, log_.sync_job(),
                  [this](const std::string& note) {
                    emit("log", {{"level", "warning"}, {"message", note}});
                  }),
      store_(loop, setup_.folder, setup_.identity, rules_of(*setup_.options)),
      content_(loop, setup_.options->program, setup_.cwd.empty() ? "." : setup_.cwd, setup_.scope, setup_.folder,
               shown_programs(setup_),
               [this](const std::string& note) {
                 emit("log", {{"level", "warning"}, {"message", note}});
               }),
      output_(setup_.name),
      policy_(restart_options(*setup_.options), random_source()),
      router_(loop),
      checkpointer_(loop, store_, {setup_.options->checkpoint_interval, setup_.options->checkpoint_rate},
                    setup_.options->max_snapshot_age.has_value(),
                    {[this](const std::string& cause) { return make_checkpoint(live_, cause); },
                     [this](const Checkpointer::Committed& done, const std::string& cause) {
                       emit("checkpoint",
                            {{"sequence", done.sequence}, {"bytes", done.bytes}, {"ms", done.ms}, {"cause", cause}});
                     },
                     [this](const std::string& degraded) {
                       emit("checkpoint", {{"degraded", degraded.empty() ? Json() : Json(degraded)}});
                     }}),
      heartbeat_(loop, [this] { on_silent(); }),
      health_(
          loop, [this](const std::string& reason) { on_unwell(reason); },
          [this](const std::string& told) {
            emit("log", {{"level", "info"}, {"message", "health: " + told}});
          }),
      memory_(loop, [this](std::uint64_t bytes) { on_too_large(bytes); }),
      sidecar_(loop, setup_.worker_binary, setup_.options->program, !setup_.options->no_sidecar && !setup_.exchange,
               [this](const std::string& note) {
                 emit("log", {{"level", "warning"}, {"message", note}});
               }),
      port_check_(loop, [this](const std::string& what) { on_own_port(what); }),
      restart_timer_(loop),
      rejection_timer_(loop),
      reread_timer_(loop),
      starts_fresh_(setup_.options->fresh) {
  setup_.starts = std::make_shared<DiskWork>(loop_);
  output_.set_on_terminal(setup_.terminal != nullptr && setup_.terminal->has_value());
  store_.accept(setup_.former);
  for (const Json& receipt : log_.receipts() | std::views::reverse) store_.keep_before_loss(losses_.note(receipt));
  store_.set_on_back([this] { checkpointer_.try_again(); });
}

Worker::~Worker() = default;

void Worker::emit(std::string_view type, Json data) const {
  Json all = {{"worker", setup_.name}};
  all.update(data);
  hooks_.emit(type, std::move(all));
}

void Worker::set_state(WorkerState state) {
  if (state_ == state) return;
  state_ = state;
  if (state != WorkerState::Backoff && state != WorkerState::Failed) next_try_.reset();
  if (state != WorkerState::Ready && state != WorkerState::Reloading)
    env_.asked = nullptr;  // it may not answer any more
  if (state == WorkerState::Starting || state == WorkerState::Reloading) router_.queue();
  const bool unreachable =
      state != WorkerState::Ready && state != WorkerState::Starting && state != WorkerState::Reloading;
  if (unreachable) router_.close(std::string(to_string(state)));
  emit("worker-state", {{"state", to_string(state)}});
}

// ---- Generations

Handover::Hooks Worker::handover_hooks() {
  Handover::Hooks hooks;
  hooks.make_candidate = [this] { return make_candidate(); };
  const std::string cut_cause = aim_.rollback ? "rollback" : "reload";
  hooks.make_checkpoint = [this, cut_cause](const std::shared_ptr<Generation>& old) {
    return make_checkpoint(old, cut_cause);
  };
  hooks.on_cut = [this] { on_cut(); };
  hooks.on_output = [this](const Generation& from, OutputStream stream, std::string_view bytes) {
    output_.feed(from.number(), stream, bytes);
  };
  // What a rollback or a fresh start leaves behind, and code that is held back, is forgotten neither in a power cut.
  const bool forgets = log_.last_live() && (begins_anew() || aim_.code);
  hooks.before_go = [this, forgets](const std::shared_ptr<Generation>& generation, const LogWriter::Done& done) {
    write_live_line(*generation, [this, forgets, done](const Status& written) {
      if (forgets && written) return log_writer_.sync(done);
      const bool late = !written && written.error().code == ETIMEDOUT;
      done(forgets || late ? written : Status());  // a full disk, say, is told of and no reason not to go
    });
  };
  hooks.on_go = [this](const std::shared_ptr<Generation>& generation, const Receipt& receipt) {
    on_go(generation, receipt);
  };
  hooks.on_go_answered = [this] { on_go_answered(); };
  hooks.on_resumed = [this] { on_resumed(); };
  hooks.on_committed = [this, cut_cause](const Result<SnapshotStore::Committed>& committed, MonotonicTime cut) {
    checkpointer_.on_cut_committed(committed, cut);
    const bool waited = handover_ && handover_->context().go_answered && state_ == WorkerState::Ready;
    if (waited && live_->loaded().capabilities.checkpoint) checkpointer_.begin(false);
    if (!committed) return;
    emit("checkpoint",
         {{"sequence", committed->sequence}, {"bytes", committed->bytes}, {"ms", committed->ms}, {"cause", cut_cause}});
  };
  hooks.bury = [this](std::shared_ptr<Generation> generation) { bury(std::move(generation)); };
  hooks.on_verdict = [this](const Receipt& receipt) { on_verdict(receipt); };
  hooks.on_done = [this](const std::vector<HandoverAction>& actions) { on_handover_done(actions); };
  return hooks;
}

std::shared_ptr<Generation> Worker::make_candidate() {
  if (!runs_kept_code_) target_ = newest_;
  hooks_.on_generation();
  if (spoke_late_) return std::exchange(spoke_late_, nullptr);
  const std::string cause = handover_ ? handover_->receipt().cause : "start";
  const std::vector<std::string> changed = handover_ ? handover_->receipt().changed : std::vector<std::string>();
  const bool uncut = handover_ && handover_->context().mode == HandoverMode::Recreate && !handover_->context().old_cuts;
  if (uncut) search_source();  // what the old one saved by itself has to do
  const std::uint64_t number = log_.next_generation();
  const auto noted = log_writer_.note(log_.spawned(number, target_->hash, cause));
  const auto& before = log_.last_live();
  const std::optional<bool> speaks = before ? std::optional(before->speaks) : std::nullopt;
  env_.spawned = env_to_start_with();
  GenerationPlan plan = launch_plan(setup_, number, cause, *target_, changed, speaks, *env_.spawned);
  plan.noted = noted;
  return std::make_shared<Generation>(loop_, std::move(plan));
}

std::shared_ptr<Checkpoint> Worker::make_checkpoint(const std::shared_ptr<Generation>& generation,
                                                    const std::string& cause) {
  return std::make_shared<Checkpoint>(
      store_, generation, snapshot_head(setup_, generation->number(), generation->plan().program_hash, cause),
      living_snapshots());
}

// Keeps a process that is over until it is reaped, and hunts what it left behind.
void Worker::bury(std::shared_ptr<Generation> generation) {
  hooks_.on_generation();
  const auto leave = [this, of = generation.get()] {
    output_.finish(of->number());
    setup_.orphans->kill_of({setup_.name, of->number(), of->pid()}, [](const std::vector<pid_t>&) {});
    loop_.post([this, of, alive = std::weak_ptr<void>(alive_)] {
      if (alive.expired()) return;
      std::erase_if(dying_, [&](const auto& dead) { return dead.get() == of; });
    });
  };
  Generation::Hooks hooks;
  hooks.on_output = [this, of = generation.get()](OutputStream stream, std::string_view bytes) {
    output_.feed(of->number(), stream, bytes);
  };
  hooks.on_gone = leave;
  const bool gone = generation->gone();
  generation->set_hooks(std::move(hooks));
  dying_.push_back(std::move(generation));
  if (gone) leave();
}

void Worker::on_cut() {
  pause_health();
  checkpointer_.hold();
  set_state(WorkerState::Reloading);
}

void Worker::write_live_line(const Generation& generation, const LogWriter::Done& done) {
  if (!std::exchange(line_before_go_, true)) live_before_go_ = log_.last_live();
  log_writer_.write(
      log_.live({generation.number(), generation.pid(), generation.loaded().schema, setup_.identity,
                 generation.plan().program_hash, !generation.mute(), put_aside_now(), begins_anew(), hold_back_now()}),
      done);
}

// It went in vain, or never: whose state and code counted before, counts again.
void Worker::unwrite_live_line() {
  line_before_go_ = false;
  if (live_before_go_) log_writer_.write(log_.live(*live_before_go_));
  log_writer_.sync();
  keep_begun_from();
}

void Worker::on_go(const std::shared_ptr<Generation>& generation, const Receipt& receipt) {
  hooks_.on_generation();
  line_before_go_ = false;
  keep_begun_from();
  if (live_ && live_->gone()) {
    bury(live_);
  } else if (live_) {
    Generation::Hooks retiring;
    retiring.on_output = [this, of = live_.get()](OutputStream stream, std::string_view bytes) {
      output_.feed(of->number(), stream, bytes);
    };
    retiring.on_gone = [this, of = live_.get()] {
      for (const auto& dying : std::vector(dying_)) {
        if (dying.get() == of) bury(dying);
      }
      if (handover_ && handover_->old().get() == of) handover_->old_gone();
    };
    live_->set_hooks(std::move(retiring));
    dying_.push_back(live_);
  }
  live_ = generation;
  live_->set_hooks(live_hooks(live_));
  before_go_ = current_;
  previous_before_go_ = previous_;
  if (current_ && !(*current_ == *target_)) previous_ = current_;
  if (aim_.rollback) previous_.reset();  // who chose this code does not want to be taken back to the newer one
  current_ = target_;
  starts_fresh_ = false;  // from now on there is this life to go on from
  commands_ = live_->loaded().commands;
  const auto& cut = handover_->checkpoint();
  const bool living = cut && aim_.state == Aim::State::Living;
  changed_defaults_ =
      living ? changed_defaults(initial_, live_->loaded().initial, cut->source().state) : Json(Json::array());
  initial_ = live_->loaded().initial;
  if (receipt.iteration || aim_.puts_aside()) last_iteration_ = receipt.iteration;
  env_.asked = nullptr;
  env_.live_before = std::exchange(env_.live, live_->env());
  last_reload_ = to_json(receipt);
  last_reload_["env"] = env_difference(*live_);
}

void Worker::on_go_answered() {
  search_before_ = kMaxSequence + 1;
  search_takes_.reset();
  suspect_ = 0;
  stopped_for_successor_ = false;
  const bool restored = handover_->receipt().snapshot != 0;
  const bool stopping = state_ == WorkerState::Stopping;  // asked for since go: the stop path follows
  if (!stopping) {
    set_state(WorkerState::Ready);
    router_.open(live_);
    type_early();
  }
  // A save that waits for the cut is answered by it: while that is being committed, nothing else is asked for.
  const bool commits = handover_->context().commit == HandoverContext::Saving::Running;
  if (!stopping && !commits && live_->loaded().capabilities.checkpoint) {
    checkpointer_.begin(handover_->context().mode == HandoverMode::Start && restored);
  }
  if (!stopping) watch_health();
  if (first_start_ && setup_.options->health == "notify" && !live_->mute())
    emit("log",
         {{"level", "info"}, {"message", "--health notify: this program says by the protocol when it is ready"}});
  if (!setup_.options->command.empty()) port_check_.begin(live_->pid(), live_->plan().lent);
  if (first_start_ || handover_->receipt().code) sidecar_.write(current_->copy);
  first_start_ = false;
}

void Worker::on_resumed() {
  if (state_ == WorkerState::Stopping) return;
  set_state(WorkerState::Ready);
  router_.open(live_);
  type_early();
  if (live_->loaded().capabilities.checkpoint) checkpointer_.begin(false);
  if (live_->last_beat_at()) heartbeat_.beat(live_);
  watch_health();
}

bool Worker::is_dying(const Generation* generation) const {
  return std::any_of(dying_.begin(), dying_.end(), [&](const auto& dying) { return dying.get() == generation; });
}

Generation::Hooks Worker::live_hooks(const std::shared_ptr<Generation>& generation) {
  Generation* of = generation.get();
  Generation::Hooks hooks;
  hooks.on_output = [this, of](OutputStream stream, std::string_view bytes) {
    output_.feed(of->number(), stream, bytes);
  };
  hooks.on_beat = [this, of] {
    if (of->beat()->iteration) last_iteration_ = of->beat()->iteration;
    if (state_ == WorkerState::Ready) heartbeat_.beat(live_);
    hooks_.emit("beat", {{"worker", setup_.name},
                         {"generation", of->number()},
                         {"iteration", last_iteration_ ? Json(*last_iteration_) : Json()},
                         {"metrics", of->beat()->metrics}});
  };
  hooks.on_save = [this](const Json& id) {
    checkpointer_.request(
        "save", [weak = std::weak_ptr<Generation>(live_), id](const Result<SnapshotStore::Committed>& done) {
          const auto worker = weak.lock();
          if (!worker || worker->gone()) return;
          worker->respond(done ? encode_result(id, {{"sequence", done->sequence}})
                               : encode_refusal(id, {ErrorCode::Failed, done.error().message, "", nullptr}));
        });
  };
  hooks.on_failed = [this, of](const std::string& reason) {
    emit("log", {{"level", "error"}, {"message", "generation " + std::to_string(of->number()) + ": " + reason}});
    of->kill();
  };
  hooks.on_late_hello = [this] { on_late_hello(); };
  hooks.on_gone = [this] { on_live_end(); };
  return hooks;
}

bool Worker::owns(pid_t pid) const {
  const auto is = [pid](const std::shared_ptr<Generation>& generation) { return generation && generation->owns(pid); };
  if (is(live_) || sidecar_.owns(pid) || health_.owns(pid)) return true;
  if (handover_ && is(handover_->candidate())) return true;
  if (check_ && is(check_->candidate())) return true;
  return std::any_of(dying_.begin(), dying_.end(), is);
}

void Worker::call(const std::string& command, const Json& params, std::optional<double> timestamp,
                  CallRouter::Reply reply) {
  router_.call(command, params, timestamp, kCallDeadline, std::move(reply));
}

void Worker::resize() {
  const TerminalSize size = (*setup_.terminal)->size;
  if (live_) live_->resize(size);
  if (handover_ && handover_->candidate()) handover_->candidate()->resize(size);
}

void Worker::type(std::string bytes) {
  if (live_ && state_ == WorkerState::Ready) return live_->type(std::move(bytes));
  const bool first = state_ == WorkerState::Starting && handover_ && handover_->candidate();
  if (first) return handover_->candidate()->type(std::move(bytes));  // a program that asks before it is taken as live
  if (typed_early_.size() + bytes.size() <= kTypedEarly) typed_early_ += bytes;
}

void Worker::type_early() {
  if (!typed_early_.empty()) live_->type(std::exchange(typed_early_, {}));
}

void Worker::checkpoint(const std::string& cause, Reply reply) {
  if (!live_)
    return reply(
        refuse(ErrorCode::Unavailable, "no worker is live", "the worker is " + std::string(to_string(state_))));
  if (!live_->loaded().capabilities.checkpoint) return reply(refuse(ErrorCode::Refused, "this worker keeps no state"));
  checkpointer_.request(cause, [reply = std::move(reply)](const Result<SnapshotStore::Committed>& done) {
    if (!done) return reply(refuse(ErrorCode::Failed, done.error().message));
    reply(Json{{"sequence", done->sequence}, {"bytes", done->bytes}, {"ms", done->ms}});
  });
}

}  // namespace zeroth
