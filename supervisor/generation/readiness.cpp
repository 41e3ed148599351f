#include "supervisor/generation/readiness.h"

#include <unistd.h>

#include <utility>

#include "common/clock.h"

namespace zeroth {
namespace {

constexpr Milliseconds kAskAgain{200};

}  // namespace

Readiness::Readiness(Loop& loop, std::optional<HealthCheck> check, Result<NotifySocket::Bound> notify, Hooks hooks)
    : loop_(loop), check_(std::move(check)), hooks_(std::move(hooks)), again_(loop) {
  if (!notify) return;
  NotifySocket::Hooks heard;
  heard.belongs = [this](pid_t pid) { return belongs(pid); };
  heard.on_message = [this](const Notification& told) {
    const Hooks call = hooks_;
    if (told.status && call.on_status) call.on_status(*told.status);
    if (told.ready) ready();
  };
  notify_ = std::make_unique<NotifySocket>(loop, std::move(*notify), std::move(heard));
}

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
