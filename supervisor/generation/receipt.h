#pragma once
// The record of one operation on a worker: what was asked, what came of it, how long each step took. Shown by status
// and generations, kept in generations.jsonl, printed by the terminal. Fields as in the control protocol.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/json.h"
#include "common/worker_protocol.h"

namespace zeroth {

// Durations in milliseconds; a step that was not taken is absent.
struct StepTimes {
  std::optional<double> settle, start, drain, checkpoint, restore, go, total;
  std::optional<double> pause;  // from the old worker's cut to go
};

struct Receipt {
  std::string operation;  // start reload crash-restart rollback stop
  std::string worker;
  std::uint64_t from = 0;  // 0: none
  std::uint64_t to = 0;
  std::optional<std::uint64_t> restored_generation;
  std::string mode;
  std::string mode_reason = "";  // "": it needs none
  std::string cause;
  std::vector<std::string> changed;
  std::string verdict;  // ok unchanged rejected abandoned rolled_back failed
  std::string reason;
  std::string hint;  // what to do about it; "" if nothing special
  Json diagnostics = Json::array();
  RestoreSummary restored;
  std::string migrated_from, migrated_to;  // schemas; "": the state was not migrated
  std::optional<std::uint64_t> iteration;
  std::optional<std::uint64_t> iteration_lost;
  bool code = false;        // other code than before
  std::string commit = "";  // of git, that a command's folder was at; "": none is known
  std::uint64_t closed = 0;
  Json env = {{"set", Json::array()}, {"unset", Json::array()}};  // names of the variables that are others now
  StepTimes ms;
  std::uint64_t snapshot = 0;     // sequence restored from, 0: none
  std::optional<double> age_s;    // of that snapshot
  Json defaults = Json::array();  // that the code changed and the state overrides: {key, from, to, live}
  std::uint64_t pinned = 0;       // sequence of the state that was replaced, 0: it was not
  WallTime at = wall_now();
};

Json to_json(const Receipt& receipt);

// What reloads dropped of the state. A part that the code before lacked as well is no loss any more: libraries keep
// such parts, and name them at each restore.
class Losses {
 public:
  // Receipts as JSON, in their order. The snapshot of which that operation dropped something, 0: nothing.
  std::uint64_t note(const Json& receipt);
  // Of these parts those that the live code still has.
  NameCount fresh(const NameCount& dropped) const;

 private:
  NameCount before_;  // what the live code does without
};

}  // namespace zeroth
