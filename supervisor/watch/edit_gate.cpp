#include "supervisor/watch/edit_gate.h"

#include <filesystem>
#include <utility>

#include "common/text.h"

namespace zeroth {
namespace {

std::vector<std::string> real_paths(const std::vector<std::string>& paths) {
  std::vector<std::string> real;
  for (const std::string& path : paths) {
    std::error_code unresolved;
    const std::filesystem::path resolved = std::filesystem::weakly_canonical(path, unresolved);
    real.push_back(unresolved ? path : resolved.string());
  }
  return real;
}

}  // namespace

EditGate::EditGate(Loop& loop, std::set<std::string> trusted, std::function<void(const Changes&)> on_edit,
                   std::function<void(const std::string&)> on_note)
    : detector_(std::move(trusted)), on_edit_(std::move(on_edit)), on_note_(std::move(on_note)), timer_(loop) {}

void EditGate::on_change(const Changes& changes) {
  if (!changes.settled) {
    if (detector_.is_plain(real_paths(changes.paths), changes.first_event)) on_edit_(changes);
    return;
  }
  const std::set<std::string> before = detector_.suspended();
  switch (detector_.on_change(real_paths(changes.paths), changes.first_event, monotonic_now())) {
    case LoopDetector::Verdict::Reload:
      return on_edit_(changes);
    case LoopDetector::Verdict::Drop:
      return;
    case LoopDetector::Verdict::Hold:
      return schedule();
    case LoopDetector::Verdict::Suspend:
      break;
  }
  for (const std::string& path : detector_.suspended()) {
    if (before.contains(path)) continue;
    const std::string shown = escape_control(path);
    on_note_(shown + " changes whenever the command starts: it is not watched any more; --ignore " +
             shown.substr(shown.rfind('/') + 1) + " says so for good, a restart watches it again");
  }
}

void EditGate::schedule() {
  if (const auto due = detector_.due()) timer_.start(Milliseconds(ms_until(*due)), [this] { on_due(); });
}

void EditGate::on_due() {
  const auto due = detector_.due();
  if (!due) return;
  if (*due > monotonic_now()) return schedule();
  Changes held;
  held.paths = detector_.release();
  held.count = held.paths.size();
  held.first_event = monotonic_now();
  on_edit_(held);
}

}  // namespace zeroth
