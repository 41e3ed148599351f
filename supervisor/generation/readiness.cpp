#include "supervisor/generation/readiness.h"

#include <unistd.h>

#include <utility>

#include "common/clock.h"

namespace zeroth {
namespace {

constexpr Milliseconds kAskAgain{200};

}  // namespace

Result<std::unique_ptr<Readiness>> Readiness::prepare(Loop& loop, std::optional<HealthCheck> check,
                                                      const std::string& folder, Hooks hooks,
                                                      std::optional<uid_t> user) {
  const bool needs_socket = check && check->kind == HealthCheck::Kind::Notify;
  std::unique_ptr<Readiness> made(new Readiness(loop, std::move(check), std::move(hooks)));
  NotifySocket::Hooks heard;
  heard.belongs = [of = made.get()](pid_t pid) { return of->belongs(pid); };
  heard.on_message = [of = made.get()](const Notification& told) {
    const Hooks call = of->hooks_;
    if (told.status && call.on_status) call.on_status(*told.status);
    if (told.ready) of->ready();
  };
  auto notify = NotifySocket::open(loop, folder + "/notify", std::move(heard), user);
  if (notify) {
    made->notify_ = std::move(*notify);
  } else if (needs_socket) {
    return fail(std::move(notify.error()));
  }
  return made;
}

Readiness::Readiness(Loop& loop, std::optional<HealthCheck> check, Hooks hooks)
    : loop_(loop), check_(std::move(check)), hooks_(std::move(hooks)), again_(loop) {}

// A process that is gone already cannot be told from a stranger's: it is not believed.
bool Readiness::belongs(pid_t pid) const {
  if (whose_.session <= 0) return false;
  return pid == whose_.session || ::getpgid(pid) == whose_.session || belongs_to(pid, whose_);
}

void Readiness::ask(Probe::Place place) {
  place_ = std::move(place);
  asked_ = true;
  if (check_ && check_->asks()) attempt();
}

void Readiness::attempt() {
  probe_ = std::make_unique<Probe>(loop_, *check_, place_, [this](Status outcome) {
    loop_.post([finished = std::shared_ptr<Probe>(std::move(probe_))] {});  // it is still on the stack
    if (outcome) return ready();
    why_not_ = outcome.error().message;
    again_.start(kAskAgain, [this] { attempt(); });
  });
}

void Readiness::stop() {
  hooks_.on_ready = nullptr;
  asked_ = false;
  probe_.reset();
  again_.stop();
}

void Readiness::ready() {
  const auto call = std::exchange(hooks_.on_ready, nullptr);
  stop();
  if (call) call();
}

std::string Readiness::waits_for() const {
  if (!asked_) return "";
  const bool told = check_ && check_->kind == HealthCheck::Kind::Notify;
  return told ? "READY=1 on $NOTIFY_SOCKET" : check_->text + (why_not_.empty() ? "" : " (" + why_not_ + ")");
}

}  // namespace zeroth
