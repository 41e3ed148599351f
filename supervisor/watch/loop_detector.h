#pragma once
// Does a command reload itself by what it writes? Pure; the clock is passed in. Supervisor tells it of every generation
// and asks it about every edit before it becomes a reload.
//
// Who wrote a file cannot be seen, but when it changed can. A file is suspected after `suspicious` reloads in a row
// that nothing else caused and that each came soon after a generation began or ended. One of these is chance and two
// are an editor with a formatter; three a person does not manage within half a second each. A burst of saves looks
// alike but ends: so a suspected file is reloaded once more after it was left alone, and only if it then changes right
// away again, or never comes to rest, is it suspended.

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"

namespace zeroth {

struct LoopLimits {
  int suspicious = 3;           // reloads in a row
  Milliseconds soon{500};       // after a generation began or ended; an editor saves by itself after a second or more
  Milliseconds quiet{1'000};    // without a change before a suspected file is tried once more
  Milliseconds longest{5'000};  // a suspected file that changes for so long is never quiet
};

class LoopDetector {
 public:
  enum class Verdict {
    Reload,   // as any edit
    Hold,     // not now: ask again at due()
    Suspend,  // never again for these files: suspended() just grew
    Drop,     // only suspended files changed
  };

  // Files in `trusted` are never suspected: those the command names are the program itself.
  explicit LoopDetector(std::set<std::string> trusted = {}, LoopLimits limits = {})
      : trusted_(std::move(trusted)), limits_(limits) {}

  // A generation was started, went live or ended.
  void on_generation(MonotonicTime now);
  // These files changed, first at `began`.
  Verdict on_change(const std::vector<std::string>& paths, MonotonicTime began, MonotonicTime now);
  // It would be Reload, and counts for nothing yet.
  bool is_plain(const std::vector<std::string>& paths, MonotonicTime began) const;
  // When held files have to be decided about; nullopt if none are held.
  std::optional<MonotonicTime> due() const;
  // At due(): the held files are quiet. Their content is to be reloaded.
  std::vector<std::string> release();
  // The user changed the rules or restarted: everything is watched again.
  void reset();

  const std::set<std::string>& suspended() const { return suspended_; }

 private:
  Verdict suspend(const std::vector<std::string>& paths);
  bool is_soon(MonotonicTime began) const;

  std::set<std::string> trusted_;
  LoopLimits limits_;
  std::deque<MonotonicTime> generations_;  // the last moments of some, oldest first
  std::map<std::string, int> strikes_;     // of the files of the last reload
  std::vector<std::string> held_;
  MonotonicTime held_since_{}, held_last_{};
  bool on_trial_ = false;  // the held files were released: the next change of theirs decides
  std::set<std::string> suspended_;
};

}  // namespace zeroth
