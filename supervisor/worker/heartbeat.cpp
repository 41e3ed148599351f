#include "supervisor/worker/heartbeat.h"

namespace zeroth {
namespace {

constexpr Milliseconds kPing{2'000};

}  // namespace

void Heartbeat::beat(const std::shared_ptr<Generation>& worker) {
  worker_ = worker;
  waiting_ = std::make_shared<bool>(true);
  timer_.start(silence_, [this] { ping(); });
}

void Heartbeat::pause() {
  waiting_ = std::make_shared<bool>(true);
  timer_.stop();
}

void Heartbeat::ping() {
  const auto worker = worker_.lock();
  if (!worker || worker->gone()) return;
  worker->request("ping", Json::object(), kPing,
                  [this, waiting = std::weak_ptr<bool>(waiting_)](const auto& outcome, std::string_view) {
                    if (waiting.expired()) return;
                    if (outcome) {
                      timer_.start(silence_, [this] { ping(); });
                    } else {
                      on_silent_();
                    }
                  });
}

}  // namespace zeroth
