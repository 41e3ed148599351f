#include "worker/host/host.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/reexec.h"
#include "common/text.h"
#include "common/worker_protocol.h"
#include "worker/host/commands.h"
#include "worker/language/load.h"
#include "worker/vm/state_codec.h"

namespace zeroth {
namespace {

using namespace std::chrono_literals;

constexpr auto kSlice = 200us;           // iterating at a stretch before the channel is looked at
constexpr auto kBeatEvery = 500ms;       // shown by status; silence is judged after 10 s
constexpr auto kLongestBacklog = 250ms;  // behind by more (suspended machine): the missed iterations are dropped

Json names_json(const std::vector<RestoreReport::Renamed>& renamed) {
  Json names = Json::array();
  for (std::size_t i = 0; i < renamed.size() && i < 20; ++i) names.push_back(renamed[i].was + " → " + renamed[i].name);
  return names;
}

Json to_json(const RestoreReport& report) {
  RestoreSummary summary;
  summary.kept = NameCount::of(report.kept);
  summary.added = NameCount::of(report.added);
  summary.removed = NameCount::of(report.removed);
  summary.rewritten = NameCount::of(report.rewritten);
  summary.warnings = report.warnings;
  Json json = zeroth::to_json(summary);
  json["renamed"] = {{"count", report.renamed.size()}, {"names", names_json(report.renamed)}};
  return json;
}

Result<std::string> read_state_file(const StateFile& file) {
  auto bytes = read_file(file.path);
  if (!bytes) return bytes;
  if (file.offset > bytes->size() || file.length > bytes->size() - file.offset)
    return fail(file.path + ": shorter than announced");
  bytes->resize(file.offset + file.length);
  bytes->erase(0, file.offset);
  return bytes;
}

tl::unexpected<Refusal> unknown_request(std::string_view name) {
  constexpr std::array<std::string_view, 8> kKnown = {"restore", "go",   "checkpoint", "resume",
                                                      "stop",    "call", "ping",       "reexec"};
  const std::string_view meant = nearest(name, kKnown);
  return tl::unexpected(Refusal{ErrorCode::UnknownCommand, "unknown command '" + escape_control(name) + "'",
                                meant.empty() ? "" : "did you mean '" + std::string(meant) + "'?", nullptr});
}

double wall_seconds() {
  return std::chrono::duration<double>(wall_now().time_since_epoch()).count();
}

}  // namespace

Host::Host(Channel channel, Program program, HostSettings settings)
    : channel_(std::move(channel)), settings_(std::move(settings)), program_(std::move(program)) {}

int Host::run() {
  say_loaded();
  while (state_ != State::Stopping && !channel_.ended()) {
    if (state_ == State::Live) {
      serve_channel(time_to_next());
      if (state_ != State::Live) continue;
      iterate();
      beat_if_due();
    } else {
      serve_channel(-1ns);
    }
  }
  if (state_ == State::Stopping) {
    channel_.flush(1s);
    return 0;
  }
  return on_channel_end();
}

void Host::say_loaded() {
  Loaded loaded;
  loaded.capabilities = {.checkpoint = true, .restore = true, .hold = true, .call = true, .reexec = true};
  loaded.commands = zero_commands();
  loaded.schema = kStateSchema;
  loaded.program_path = settings_.program_path;
  loaded.program_hash = program_->hash;
  channel_.send(encode_event("loaded", zeroth::to_json(loaded)));
}

void Host::serve_channel(std::chrono::nanoseconds timeout) {
  const bool written = channel_.wait(timeout, checkpoints_.fd());
  channel_.read([this](std::string_view line) { on_line(line); });
  if (!written || !checkpoints_.running()) return;
  const Json id = *checkpoints_.running();
  reply_checkpoint(id, checkpoints_.finish());
}

void Host::on_line(std::string_view line) {
  auto message = decode_message(line, {.exempt_state = true});
  if (!message) {
    channel_.send(encode_refusal(message.error().id, {ErrorCode::BadRequest, message.error().reason, "", nullptr}));
    return;
  }
  if (const auto* request = std::get_if<Request>(&*message)) on_request(*request, line);
}

// Requests are executed in order of arrival; what the present state cannot take yet waits, and all behind it.
bool Host::must_wait(const Request& request) const {
  // Between ready and go the state may be asked for.
  const bool asked = state_ == State::Restored && request.command == "checkpoint";
  if (asked && !field_or<bool>(request.params, "hold", false)) return false;
  constexpr std::array<std::string_view, 6> kAtOnce = {"stop", "ping", "resume", "restore", "go", "reexec"};
  return state_ != State::Live && std::find(kAtOnce.begin(), kAtOnce.end(), request.command) == kAtOnce.end();
}

void Host::on_request(const Request& request, std::string_view line) {
  if (must_wait(request)) {
    waiting_.emplace_back(line);
    return;
  }
  if (request.command == "checkpoint") return on_checkpoint(request.id, request.params);
  if (request.command == "call") return reply(request.id, on_call(request.params));
  if (request.command == "restore") {
    reply(request.id, on_restore(request.params, line));
    if (state_ == State::Restored) channel_.send(encode_event("ready", Json::object()));
    return;
  }
  if (request.command == "go") return reply(request.id, on_go());
  if (request.command == "resume") return reply(request.id, on_resume());
  if (request.command == "reexec") return reply(request.id, on_reexec(request.params));
  if (request.command == "ping") return reply(request.id, Json::object());
  if (request.command == "stop") {
    state_ = State::Stopping;
    return reply(request.id, Json::object());
  }
  reply(request.id, unknown_request(request.command));
}

void Host::take_waiting() {
  std::deque<std::string> lines = std::exchange(waiting_, {});
  for (const std::string& line : lines) on_line(line);
}

void Host::reply(const Json& id, const Outcome& outcome) {
  channel_.send(outcome ? encode_result(id, *outcome) : encode_refusal(id, outcome.error()));
  // An answered go or resume is followed by whatever came too early for it.
  if (outcome && state_ == State::Live && !waiting_.empty()) take_waiting();
}

Host::Outcome Host::on_restore(const Json& params, std::string_view line) {
  if (state_ != State::Fresh) return refuse(ErrorCode::Refused, "restore was sent before");
  auto head = parse_restore_head(params);
  if (!head) return refuse(ErrorCode::BadParams, head.error().message);
  const Json* inline_state = find_member(params, "state");
  const bool has_state = head->state_file || (inline_state != nullptr && !inline_state->is_null());
  std::optional<zeroth::State> from;
  if (has_state) {
    auto text =
        head->state_file ? read_state_file(*head->state_file) : Result<std::string>(json_span(line, "params", "state"));
    if (!text) return refuse(ErrorCode::Failed, text.error().message);
    auto state = decode_state(*text);
    if (!state) return refuse(ErrorCode::Failed, "state: " + state.error().message);
    from = std::move(*state);
  }
  vm_ = Vm::create(std::move(*program_), settings_.halflife);
  program_.reset();
  Json report = from ? to_json(vm_->restore(std::move(*from))) : to_json(RestoreReport{});
  report["iteration"] = vm_->state().iteration;
  state_ = State::Restored;
  return report;
}

Host::Outcome Host::on_go() {
  if (state_ != State::Restored) return refuse(ErrorCode::Refused, "go without ready");
  state_ = State::Live;
  was_live_ = true;
  restart_schedule();
  next_beat_ = monotonic_now();
  return Json::object();
}

Host::Outcome Host::on_resume() {
  if (state_ == State::Held) {
    state_ = State::Live;
    restart_schedule();
  }
  return Json::object();
}

Host::Outcome Host::on_call(const Json& params) {
  auto command = required_field<std::string>(params, "command");
  if (!command) return refuse(ErrorCode::BadRequest, command.error().message);
  const Json* inner = find_member(params, "params");
  auto timestamp = optional_field<double>(params, "timestamp");
  const double at = timestamp && *timestamp ? **timestamp : wall_seconds();
  return run_zero_command(*vm_, *command, inner != nullptr && inner->is_object() ? *inner : Json::object(), at);
}

// Does not return where all is well.
Host::Outcome Host::on_reexec(const Json& params) {
  if (state_ != State::Held) return refuse(ErrorCode::Refused, "reexec without a hold");
  auto order = parse_reexec(params);
  if (!order) return refuse(ErrorCode::BadParams, order.error().message);
  std::vector<std::string> argv = settings_.argv;
  std::string& file = argv[settings_.program_word];
  if (!order->program.empty()) file = order->program;
  if (auto program = load_program(file); !program) {
    Json data = {{"diagnostics", to_json(settings_.program_path, program.error().diagnostics)}};
    return refuse(ErrorCode::Failed, "the new code does not compile", "", std::move(data));
  }
  channel_.flush(1s);
  return refuse(ErrorCode::Failed, exec_again(argv, *order, channel_.fd()).message);
}

void Host::on_checkpoint(const Json& id, const Json& params) {
  const bool hold = field_or<bool>(params, "hold", false);
  if (checkpoints_.running()) {
    const Json earlier = *checkpoints_.running();
    if (!hold) return reply(id, refuse(ErrorCode::Busy, "a checkpoint is being written"));
    checkpoints_.abort_running();
    reply(earlier, refuse(ErrorCode::Busy, "ended for a checkpoint with hold"));
  }
  std::optional<StateFile> file;
  if (const Json* member = find_member(params, "state_file"); member != nullptr && !member->is_null()) {
    auto parsed = parse_state_file(*member);
    if (!parsed) return reply(id, refuse(ErrorCode::BadParams, parsed.error().message));
    file = std::move(*parsed);
  }
  auto taken = checkpoints_.take(id, vm_->state(), file, hold);
  if (taken && hold) state_ = State::Held;
  if (!taken) return reply_checkpoint(id, fail(std::move(taken.error())));
  if (*taken) reply_checkpoint(id, std::move(**taken));
}

void Host::reply_checkpoint(const Json& id, const Result<std::string>& result_text) {
  if (!result_text) return reply(id, refuse(ErrorCode::Failed, result_text.error().message));
  channel_.send(encode_result_text(id, *result_text));
}

void Host::restart_schedule() {
  schedule_start_ = monotonic_now();
  schedule_done_ = 0;
}

std::chrono::nanoseconds Host::time_to_next() const {
  const MonotonicTime now = monotonic_now();
  if (settings_.rate == 0) return 0ns;
  const auto due = schedule_start_ + std::chrono::nanoseconds(static_cast<std::int64_t>(
                                         1e9 * static_cast<double>(schedule_done_ + 1) / settings_.rate));
  return std::max<std::chrono::nanoseconds>(0ns, std::min(due, next_beat_) - now);
}

void Host::iterate() {
  const MonotonicTime slice_end = monotonic_now() + kSlice;
  if (settings_.rate == 0) {
    // The clock costs as much as a step of a few states: look at it after about 10,000 of them.
    const std::size_t steps = std::max<std::size_t>(1, 10'000 / vm_->state().states.size());
    do {
      for (std::size_t i = 0; i < steps; ++i) vm_->step();
    } while (monotonic_now() < slice_end);
    return;
  }
  const double elapsed = std::chrono::duration<double>(monotonic_now() - schedule_start_).count();
  const auto due = static_cast<std::uint64_t>(elapsed * settings_.rate);
  while (schedule_done_ < due) {
    vm_->step();
    ++schedule_done_;
    if (monotonic_now() < slice_end) continue;
    const double behind = static_cast<double>(due - schedule_done_) / settings_.rate;
    if (behind > std::chrono::duration<double>(kLongestBacklog).count()) restart_schedule();
    return;
  }
}

void Host::beat_if_due() {
  const MonotonicTime now = monotonic_now();
  if (now < next_beat_) return;
  next_beat_ = now + kBeatEvery;
  const Convergence converged = vm_->converge(false);
  const Json metrics = {{"convergence", converged.convergence},
                        {"epsilon", converged.epsilon},
                        {"pressure", vm_->state().pressure},
                        {"states", vm_->state().states.size()}};
  channel_.send(encode_event("beat", {{"iteration", vm_->state().iteration}, {"metrics", metrics}}));
}

int Host::on_channel_end() {
  checkpoints_.abort_running();
  const char* path = std::getenv(env::kEmergencyFile);
  if (!was_live_ || path == nullptr) return 0;
  Status written = write_emergency_file(path, vm_->state());
  if (written) return 0;
  const std::string said =
      "zeroth-worker: the supervisor is gone and the state could not be saved: " + written.error().message + "\n";
  (void)write_all(STDERR_FILENO, said);
  return 1;
}

}  // namespace zeroth
