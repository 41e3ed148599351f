#pragma once
// Everything a person in the foreground sees and types: messages, the worker's output, the status line, the keys, and
// the terminal that is passed on to workers. Owned by Supervisor; gives the terminal back when it is destroyed, when we
// are suspended, and when we crash.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/loop/loop.h"
#include "supervisor/event_hub.h"
#include "supervisor/options.h"
#include "supervisor/process/output_log.h"
#include "supervisor/process/pty.h"
#include "supervisor/terminal/console.h"
#include "supervisor/terminal/keyboard.h"
#include "supervisor/terminal/keys.h"
#include "supervisor/terminal/progress_meter.h"
#include "supervisor/terminal/screen.h"
#include "supervisor/terminal/status_line.h"
#include "supervisor/worker/worker.h"

namespace zeroth {

class Terminal {
 public:
  struct Hooks {
    std::function<std::size_t()> files;              // how many are watched
    std::function<void()> quit;                      // save and stop; again: at once
    std::function<void(Worker::Reply)> restart_all;  // of several, one after the other
  };

  // `options` and `events` outlive it.
  Terminal(Loop& loop, const Options& options, Console::Names names, EventHub& events);
  ~Terminal();

  // What generations of a command get for their output; stays where it is and changes with our size.
  const std::optional<WorkerTerminal>& of_workers() const { return of_workers_; }
  // From now on its output is shown and the keys act on it. It outlives us or detach().
  void attach(Worker& worker);
  // From now on the keys and the status line are there.
  void begin(Hooks hooks);
  // Before the worker is destroyed; or all of them.
  void detach(Worker& worker);
  void detach();

  Console& console() { return console_; }
  // Nothing more is typed or redrawn; messages still come.
  void close();

 private:
  void open_worker_terminal();
  void watch_signals();
  void on_typed(std::string_view bytes);
  void act(Key key);
  void snapshot(Worker& worker);
  void show_logs();
  void act_on_all(Key key);
  // Says it, and does it if the next key is y.
  void ask(const std::string& sentence, std::function<void()> on_yes);
  void fresh(Worker& worker);
  void undo(Worker& worker);
  // Of a restart or a rollback that was asked for by a key.
  std::function<void(const tl::expected<Json, Refusal>&)> outcome(const std::string& what);
  void on_event(std::string_view type, const Json& data);
  void on_state(const std::string& state);
  StatusFacts facts() const;
  StatusFacts facts_of_all() const;
  // With a single program; null with a fleet.
  Worker* only() const { return names_.workers == 0 && !workers_.empty() ? workers_.front() : nullptr; }
  void look_at_foreground();
  void tick_after(Milliseconds time);
  void suspend();

  const Options& options_;
  const Console::Names names_;
  std::unique_ptr<Keyboard> keyboard_;  // null: stdin is no terminal
  const bool has_keys_, has_footer_;
  Screen screen_;
  Console console_;
  std::optional<WorkerTerminal> of_workers_;
  EventHub::Subscription subscription_;
  std::map<const Worker*, OutputLog::Subscription> output_;
  std::vector<std::unique_ptr<SignalWatch>> signals_;
  Timer tick_;
  Timer long_;  // a state lasts longer than a person expects
  std::vector<Worker*> workers_;
  Hooks hooks_;
  std::function<void()> asked_;  // done if the next key is y
  bool closed_ = false;
  bool foreground_ = false;

  ProgressMeter meter_;
  std::uint64_t generation_ = 0;
  std::string state_ = "starting";
  bool rejected_ = false;
};

}  // namespace zeroth
