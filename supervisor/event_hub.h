#pragma once
// Everything worth telling goes through here once: to the terminal, the log and the clients of `events`. A subscriber
// sees what happens while its subscription lives.

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "common/json.h"

namespace zeroth {

inline constexpr std::string_view kEventTypes[] = {"worker-state",      "reload", "rejected", "crash", "checkpoint",
                                                   "snapshot-rejected", "env",    "log",      "beat",  "supervisor"};

class EventHub {
 public:
  // `type` is one of kEventTypes.
  using Listener = std::function<void(std::string_view type, const Json& data)>;
  using Subscription = std::shared_ptr<Listener>;

  [[nodiscard]] Subscription subscribe(Listener listener) {
    auto subscription = std::make_shared<Listener>(std::move(listener));
    listeners_.push_back(subscription);
    return subscription;
  }

  void publish(std::string_view type, const Json& data) {
    std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
    for (const auto& weak : std::list(listeners_)) {
      if (const auto listener = weak.lock()) (*listener)(type, data);
    }
  }

 private:
  std::list<std::weak_ptr<Listener>> listeners_;
};

}  // namespace zeroth
