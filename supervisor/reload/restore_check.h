#pragma once
// Whether a generation that is ready, but not live yet, has the state it was restored from: asks for it and compares
// the two as values, on the pool. Differences that its answer to restore tells of are none. Made by Handover between
// ready and go; dropping it drops the answer.

#include <functional>
#include <memory>
#include <string>

#include "common/loop/loop.h"
#include "common/worker_protocol.h"
#include "supervisor/generation/checkpoint.h"

namespace zeroth {

class RestoreCheck {
 public:
  // `asked`: of the generation, not taken yet. `given`: what it was restored from. `told`: its answer to that.
  RestoreCheck(Loop& loop, std::shared_ptr<Checkpoint> asked, RestoreSource given, const RestoreSummary& told);

  // `done` is told once, later than this call; an error names the first difference by its JSON pointer.
  void begin(std::function<void(const Status&)> done);

 private:
  void on_taken(const Status& taken);

  Loop& loop_;
  const std::shared_ptr<Checkpoint> asked_;
  const RestoreSource given_;
  const RestoreSummary told_;
  std::function<void(const Status&)> done_;
  std::shared_ptr<void> alive_ = std::make_shared<int>();
};

// "2 parts (a, b)", "30 parts (a, b, …)".
std::string listed(const NameCount& names);

}  // namespace zeroth
