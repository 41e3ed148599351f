#pragma once
// When a program that does not speak the protocol counts as ready: it says so (READY=1 on $NOTIFY_SOCKET), or the
// health check it was given succeeds for the first time. Without a check, having lived for a while is enough; that time
// is Generation's, its only user, which owns one from before the spawn until the process is gone.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/loop/loop.h"
#include "supervisor/process/notify_socket.h"
#include "supervisor/process/orphans.h"
#include "supervisor/process/probe.h"

namespace zeroth {

class Readiness {
 public:
  struct Hooks {
    // At most once, and only after begin().
    std::function<void()> on_ready;
    std::function<void(const std::string&)> on_status;  // STATUS=, as long as the process lives
  };

  // `notify`: the socket for READY=1; one that could not be bound is done without.
  Readiness(Loop& loop, std::optional<HealthCheck> check, Result<NotifySocket::Bound> notify, Hooks hooks);

  // For $NOTIFY_SOCKET, "" if there is none.
  std::string notify_address() const { return notify_ ? notify_->address() : ""; }
  // Whose messages count, from now on.
  void begin(RetiredGeneration whose) { whose_ = std::move(whose); }
  // The check is asked, again and again until it succeeds.
  void ask(Probe::Place place);
  // It is not asked any more, and nothing makes it ready.
  void stop();

  // "tcp:8080 (Connection refused)" while it is asked; else "".
  std::string waits_for() const;
  // May this be the process of a check?
  bool owns(pid_t pid) const { return probe_ && probe_->owns(pid); }

 private:
  bool belongs(pid_t pid) const;
  void attempt();
  void ready();

  Loop& loop_;
  std::optional<HealthCheck> check_;
  Hooks hooks_;
  RetiredGeneration whose_;
  std::unique_ptr<NotifySocket> notify_;
  Probe::Place place_;
  std::unique_ptr<Probe> probe_;
  Timer again_;
  bool asked_ = false;
  std::string why_not_;
};

}  // namespace zeroth
