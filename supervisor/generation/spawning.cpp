// Generation: its process is started on the pool, because its alive file, and the socket by which it says that it is
// ready, may lie on a disk that does not answer.

#include <fcntl.h>
#include <sys/socket.h>

#include <utility>

#include "supervisor/generation/generation.h"

namespace zeroth {

// What the pool has of it, which outlives the generation if need be.
struct Generation::Spawning {
  SpawnRequest request;
  UniqueFd ours, theirs;
  std::vector<UniqueFd> lent;  // the listeners may be closed meanwhile
  std::string notify_path;     // "": it must speak the protocol
  std::optional<uid_t> notify_user;
  bool needs_notify = false;
  Result<NotifySocket::Bound> notify = zeroth::fail("");
  Result<Spawned> spawned = zeroth::fail("");

  Result<Spawned> start();
};

Result<Spawned> Generation::Spawning::start() {
  if (!notify_path.empty()) {
    notify = NotifySocket::bind(notify_path, notify_user);
    if (!notify && needs_notify) return zeroth::fail(notify.error());
    if (notify) request.env.push_back("NOTIFY_SOCKET=" + notify->address);
  }
  auto started = zeroth::spawn(request);
  if (!started && notify) NotifySocket::remove(*notify);
  return started;
}

Status Generation::prepare_spawn(Spawning& spawning) {
  if (plan_.mute_after) spawning.notify_path = plan_.notify_folder + "/notify";
  spawning.notify_user = other_user();
  spawning.needs_notify = plan_.health && plan_.health->kind == HealthCheck::Kind::Notify;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return zeroth::fail(last_error("socketpair"));
  spawning.ours.reset(ends[0]);
  spawning.theirs.reset(ends[1]);
  SpawnRequest& request = spawning.request;
  for (const int listener : plan_.lent) {
    spawning.lent.emplace_back(::fcntl(listener, F_DUPFD_CLOEXEC, 0));
    if (!spawning.lent.back()) return zeroth::fail(last_error("dup"));
    request.lent.push_back(spawning.lent.back().get());
  }
  request.argv = plan_.argv;
  request.env = environment();
  request.cwd = plan_.cwd;
  request.channel = spawning.theirs.get();
  request.alive_file = plan_.alive_file;
  request.number = plan_.noted;
  request.terminal = plan_.terminal;
  request.stdin_mode = plan_.stdin_mode;
  request.die_with_us = plan_.die_with_us;
  request.limits = plan_.limits;
  request.run_as = run_as();
  return {};
}

void Generation::spawn(std::function<void(const Error&)> on_unable) {
  if (child_) return await_loaded();
  spawned_at_ = monotonic_now();
  const auto spawning = std::make_shared<Spawning>();
  const std::weak_ptr<bool> alive = alive_;
  if (Status prepared = prepare_spawn(*spawning); !prepared) {
    cannot_spawn(prepared.error());
    return loop_.post([on_unable = std::move(on_unable), error = prepared.error(), alive] {
      if (!alive.expired()) on_unable(error);
    });
  }
  spawning_ = true;
  const bool begins = !plan_.disk->overdue();
  const auto take = [this, spawning, alive, on_unable, loop = &loop_] {
    if (!alive.expired()) return on_spawned(*spawning, on_unable);
    if (spawning->spawned) Child::adopt(*loop, std::move(*spawning->spawned), spawning->request, {});  // it ends
  };
  plan_.disk->run<void>(
      DiskWork::patience_for(0),
      [spawning]() -> Status {
        spawning->spawned = spawning->start();
        spawning->theirs.reset();
        spawning->lent.clear();
        return {};
      },
      spawning,
      [this, begins, take, alive, on_unable](const Status& answered) {
        if (answered) return take();
        if (!alive.expired()) on_spawn_late(begins, answered.error(), on_unable);
      },
      [take](const Status&) { take(); });
}

// What was begun is killed once it is there.
void Generation::on_spawn_late(bool begun, const Error& why, const std::function<void(const Error&)>& on_unable) {
  const Error error = Error(why).in("not started");
  const bool waited_for = !doomed_;
  doomed_ = true;
  if (failure_.empty()) failure_ = error.message;
  spawn_error_ = error.code;
  if (!begun) {
    spawning_ = false;
    gone_ = true;
  }
  if (waited_for) return on_unable(error);
  const auto call = gone_ ? hooks_.on_gone : nullptr;
  if (call) call();
}

void Generation::cannot_spawn(const Error& error) {
  gone_ = true;
  if (failure_.empty()) failure_ = error.message;
  spawn_error_ = error.code;
}

void Generation::on_spawned(Spawning& spawning, const std::function<void(const Error&)>& on_unable) {
  spawning_ = false;
  if (!spawning.spawned) {
    cannot_spawn(spawning.spawned.error());
    if (!doomed_) return on_unable(spawning.spawned.error());
    const auto call = hooks_.on_gone;
    if (call) call();
    return;
  }
  child_ = Child::adopt(loop_, std::move(*spawning.spawned), spawning.request, child_hooks());
  spawned_at_ = monotonic_now();
  if (!channel_) open_channel(std::move(spawning.ours));
  if (plan_.mute_after) make_readiness(std::move(spawning.notify));
  if (doomed_) return kill();
  if (hello_) return;  // over a channel that it opened itself, and sooner than we heard of it
  if (readiness_) {
    readiness_->begin({plan_.worker, plan_.number, child_->pid()});
    await_readiness();
  } else {
    await_loaded();
  }
}

}  // namespace zeroth
