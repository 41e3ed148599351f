// Worker: states of another schema than the code's: what is passed over, and what a person is told to do.

#include <utility>

#include "supervisor/worker/worker.h"

namespace zeroth {

// Names the ways out that are there: a hook, an older state, none.
std::string Worker::schema_hint(const Handover& attempt) const {
  const SchemaRule rule = attempt.last_candidate()->loaded().takes();
  std::string hint = "let the code migrate it (a hook in the worker library), or keep the schema's name if the form is";
  hint += " the same; ";
  if (const auto sequence = store_.newest_of(rule))
    hint += "zerothctl rollback --sequence " + std::to_string(*sequence) +
            " --state-only goes back to the newest state that it takes, ";
  return hint + "zerothctl restart --fresh begins without; the state is kept in any case";
}

// Kept code that comes back after newer code has changed the form of the state: the newest one that it takes, and
// nobody has to be started for each that it does not. Never of code on disk: that is refused, and touches no snapshot.
bool Worker::pass_over_schema(const Handover& attempt) {
  if (!runs_kept_code_ || target_->copy.empty() || search_takes_) return false;
  const Receipt receipt = attempt.receipt();
  emit("log",
       {{"level", "warning"}, {"message", receipt.reason + ": the newest snapshot that the code takes is looked for"}});
  search_takes_ = attempt.last_candidate()->loaded().takes();
  launch(receipt.operation, receipt.cause, *target_, runs_kept_code_);
  return true;
}

}  // namespace zeroth
