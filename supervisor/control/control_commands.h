#pragma once
// The supervisor's own commands: one table of functions over what they act on. Filled by Supervisor; knows nothing of
// it.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/json.h"
#include "supervisor/control/dispatcher.h"
#include "supervisor/event_hub.h"
#include "supervisor/fleet/fleet.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

// What the commands act on; outlives the dispatcher.
struct ControlTargets {
  Fleet* fleet = nullptr;        // whose workers they are
  std::vector<Worker*> workers;  // at least one
  EventHub* events = nullptr;
  std::function<Json()> status;  // whole, with the workers
  std::function<Json()> config;
  // The text for Prometheus, later.
  std::function<void(std::function<void(std::string text)>)> metrics = {};
  // Checkpoint, stop everything, end; the answer is a receipt or why not. `force`: also if a state cannot be saved.
  std::function<void(bool force, Worker::Reply)> shutdown;
};

Dispatcher make_dispatcher(const ControlTargets& targets);

}  // namespace zeroth
