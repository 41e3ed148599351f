// Worker: programs that do not speak the protocol, workers that open their port themselves, and how they are replaced.

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/text.h"
#include "supervisor/option_names.h"
#include "supervisor/process/memory_room.h"
#include "supervisor/worker/worker.h"

namespace zeroth {
namespace {

constexpr std::size_t kLastLines = 20;          // of a failed candidate, in which a taken port is looked for
constexpr std::uint64_t kNeverMuch = 16 << 20;  // bytes that always fit once more

}  // namespace

// There is no state to carry over and nothing to take a cut of: the old one is stopped, then the new one started.
void Worker::replace_mute(ReloadRequest request) {
  set_state(WorkerState::Starting);
  port_check_.cancel();
  pause_health();
  replacing_ = std::move(request);
  live_->stop(setup_.options->stop_timeout);
}

void Worker::on_mute_replaced() {
  const ReloadRequest request = *std::exchange(replacing_, std::nullopt);
  const bool same_code = request.cause == "unhealthy" || (request.cause == "env" && *newest_ == *current_);
  stopped_for_successor_ = !same_code;  // else the same code is started anew
  aim_ = request.aim;
  pinned_ = 0;
  pinned_before_ = false;
  passed_over_ = newest_->hash;
  down_state_ = WorkerState::Ready;
  launch("reload", request.cause, *newest_, false, request.changed);
}

// A process that cannot use the descriptor it inherited finds its generation by the secret.
void Worker::open_hello_socket() {
  const auto take = [this](const std::string& key, UniqueFd& connection) {
    const std::shared_ptr<Generation> candidate = handover_ ? handover_->candidate() : nullptr;
    const std::shared_ptr<Generation> checked = check_ ? check_->candidate() : nullptr;
    for (const auto& one : {candidate, live_, checked}) {
      if (one && one->take_channel(key, connection)) return true;
    }
    return false;
  };
  const WorkerPlace& place = setup_.place;
  auto opened =
      HelloSocket::listen(loop_, place.socket, take, place.apart() ? std::optional(place.user->as.user) : std::nullopt);
  if (opened) {
    hello_socket_ = std::move(*opened);
  } else {
    emit("log", {{"level", "warning"}, {"message", opened.error().message}});
  }
}

void Worker::restore_hello_socket() {
  const WorkerPlace& place = setup_.place;
  if (place.apart() && ::access(place.own.c_str(), F_OK) != 0) {
    if (Status made = make_place(place); !made) emit("log", {{"level", "error"}, {"message", made.error().message}});
  }
  if (place.socket.empty() || ::access(place.socket.c_str(), F_OK) == 0) return;
  hello_socket_.reset();
  open_hello_socket();
}

// It goes through the same steps as one that has just been spawned: restored, sent go.
void Worker::on_late_hello() {
  emit("log", {{"level", "info"}, {"message", "generation " + std::to_string(live_->number()) + " speaks after all"}});
  if (handover_ || final_stop_ || replacing_) return;  // it is on its way out
  spoke_late_ = std::exchange(live_, nullptr);
  launch("start", "start", *current_, false);
}

void Worker::on_own_port(const std::string& what) {
  if (own_port_ == what || !live_) return;
  own_port_ = what;
  const ReloadMode before = mode_;
  decide_mode();
  if (mode_ != before) emit("log", {{"level", "info"}, {"message", "reloads are recreate: " + mode_reason_}});
}

// Did the new generation die of the port that the old one still holds? Only once: then the mode is another.
bool Worker::lost_a_port(const Handover& attempt) const {
  const auto& candidate = attempt.last_candidate();
  const bool failed = candidate && candidate->gone() && candidate != live_;
  if (!failed || attempt.context().mode != HandoverMode::Overlap || setup_.options->reload != ReloadMode::Auto)
    return false;
  const std::vector<OutputEntry> lines = output_.tail(kLastLines);
  return std::any_of(lines.begin(), lines.end(), [&](const OutputEntry& line) {
    return line.generation == candidate->number() && (line.text.find("EADDRINUSE") != std::string::npos ||
                                                      line.text.find("Address already in use") != std::string::npos);
  });
}

// "" if a second generation fits beside the live one.
std::string Worker::lacks_memory() const {
  const std::uint64_t takes = memory_of_tree(live_->pid());
  if (takes < kNeverMuch) return "";
  const auto room = memory_room();
  if (!room || takes <= *room) return "";
  return "it takes " + human_size(takes) + " of memory, a second one does not fit into the " + human_size(*room) +
         " that are left";
}

// How the next reload is to be done: what was asked for as far as the live one can.
void Worker::decide_mode() {
  const Capabilities& can = live_->loaded().capabilities;
  const bool can_overlap = can.restore && can.hold && can.checkpoint;
  const ReloadMode asked = setup_.options->reload;
  const bool own_port = !own_port_.empty() && asked != ReloadMode::Overlap;
  const bool file = !setup_.options->state_file.empty();
  mode_ = can_overlap && !own_port && !file ? ReloadMode::Overlap : ReloadMode::Recreate;
  mode_reason_ = live_->mute()  ? "it does not speak the worker protocol"
                 : file         ? "its state is a file, for one process at a time"
                 : !can_overlap ? "the worker announced no hold and restore"
                 : own_port     ? own_port_ + "; lend it with --listen for no downtime"
                                : "the worker can hold and restore";
  if (asked == ReloadMode::Auto) return;
  const bool can_do = asked == ReloadMode::Recreate || (can_overlap && (asked != ReloadMode::Exec || can.reexec));
  if (can_do) {
    mode_ = asked;
    mode_reason_ = "asked for";
  } else if (asked == ReloadMode::Exec && can_overlap) {
    mode_reason_ = "exec was asked for, but the worker announced no reexec" + (own_port ? "; " + mode_reason_ : "");
  } else {
    mode_reason_ = std::string(name_of_value(kReloadModes, asked)) + " was asked for, but " + mode_reason_;
  }
}

}  // namespace zeroth
