#pragma once
// What is under way with several workers at a time. Only for the files of Fleet.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "supervisor/fleet/fleet.h"

namespace zeroth {

// All are stopped, those first on whom nobody depends.
struct Fleet::StopRun {
  bool insist = false;
  std::set<std::string> left;   // not asked to stop yet
  std::set<std::string> asked;  // on their way
  std::vector<Stopped> stopped;
  std::vector<std::function<void(const std::vector<Stopped>&)>> done;
};

// One after the other is restarted.
struct Fleet::Rolling {
  std::vector<std::string> left;  // in order; the first is the next
  std::string current;            // restarted, and to be ready before the next
  bool answered = false;          // its verdict was ok
  Json receipts = Json::array();
  Reply reply;
};

// Of a single worker that was to stop.
tl::expected<Json, Refusal> stop_receipt(const std::string& name, const Worker::StopOutcome& outcome);

}  // namespace zeroth
