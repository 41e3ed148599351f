#include "supervisor/terminal/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "common/clock.h"
#include "common/json_fields.h"
#include "common/terminal_style.h"
#include "common/text.h"

namespace zeroth {
namespace {

constexpr Milliseconds kForegroundAgain{2'000};  // a shell does not tell when it gives us the terminal
constexpr Milliseconds kLongStart{3'000};
constexpr Milliseconds kLongOther{1'000};
constexpr std::size_t kLogLines = 20;

// Messages that a person reads here, and not a program.
bool is_for_person(const Options& options) {
  return options.log_format == LogFormat::Text && ::isatty(STDERR_FILENO) == 1;
}

struct LongState {
  std::string_view state;
  Milliseconds after;
  std::string_view told;
};
constexpr LongState kLong[] = {
    {"starting", kLongStart, "still starting; the program loads or its state is being restored"},
    {"reloading", kLongOther, "still handing over; the state is being saved and restored"},
    {"stopping", kLongOther, "still saving and stopping; Ctrl-C stops at once"},
};

bool worth_showing(std::string_view state) {
  return state != "ready";
}

std::string refusal_text(const Refusal& refusal) {
  return escape_control(refusal.message) + (refusal.hint.empty() ? "" : " (" + escape_control(refusal.hint) + ")");
}

}  // namespace

Terminal::Terminal(Loop& loop, const Options& options, Console::Names names, EventHub& events)
    : options_(options),
      names_(std::move(names)),
      keyboard_(Keyboard::open(loop, [this](std::string_view bytes) { on_typed(bytes); })),
      has_keys_(keyboard_ && !options.give_stdin && is_for_person(options) && in_foreground(STDIN_FILENO)),
      has_footer_(is_for_person(options) && options.verbosity >= 0 && !options.raw && !options.give_stdin),
      screen_(loop),
      console_(screen_, options, names_, events, has_keys_ ? key_hint() : "Ctrl-C saves and stops"),
      tick_(loop),
      long_(loop) {
  ignore_background_signals();
  if (!options.give_stdin && !is_for_person(options)) keyboard_.reset();
  open_worker_terminal();
  if (options.give_stdin && !(of_workers_ && of_workers_->typed)) keyboard_.reset();  // the worker reads for itself
  subscription_ = events.subscribe([this](std::string_view type, const Json& data) { on_event(type, data); });
  signals_.push_back(std::make_unique<SignalWatch>(loop, SIGWINCH, [this] {
    screen_.on_resize();
    open_worker_terminal();
    for (Worker* worker : workers_) {
      if (of_workers_) worker->resize();
    }
  }));
  if (!keyboard_ && !has_footer_) return;
  signals_.push_back(std::make_unique<SignalWatch>(loop, SIGTSTP, [this] { suspend(); }));
  signals_.push_back(std::make_unique<SignalWatch>(loop, SIGCONT, [this] { look_at_foreground(); }));
}

Terminal::~Terminal() {
  close();
}

// Output goes to our stdout: what that is, the worker is to see. What is typed goes through us, so that a generation
// that is not live, or a worker while the shell has the terminal, takes none of it.
void Terminal::open_worker_terminal() {
  const auto size = terminal_size(STDOUT_FILENO);
  if (::isatty(STDOUT_FILENO) != 1 || options_.log_format != LogFormat::Text) return;
  WorkerTerminal terminal;
  terminal.size = size.value_or(TerminalSize());
  if (keyboard_ && options_.give_stdin) {
    terminal.typed = of_workers_ ? of_workers_->typed : keyboard_->own_modes();
  } else if (!options_.raw) {
    const auto prefix = static_cast<unsigned short>(names_.worker.size() + 6);  // "greeting.17 │ "
    if (terminal.size.columns > 2 * prefix) terminal.size.columns -= prefix;
  }
  of_workers_ = terminal;
}

void Terminal::attach(Worker& worker) {
  workers_.push_back(&worker);
  const bool raw = options_.raw || options_.give_stdin;
  worker.output().set_tap([this, raw](std::string_view bytes) {
    if (options_.log_format == LogFormat::JsonLines) return;
    if (raw) return screen_.raw_output(bytes);
    screen_.refresh();  // of a line that is not complete
  });
  if (raw) return;
  output_[&worker] = worker.output().subscribe(
      [this, name = worker.name()](const OutputEntry& entry) { console_.on_output(name, entry); });
}

void Terminal::begin(Hooks hooks) {
  hooks_ = std::move(hooks);
  look_at_foreground();
  on_state(state_);
}

void Terminal::detach(Worker& worker) {
  worker.output().set_tap({});
  output_.erase(&worker);
  std::erase(workers_, &worker);
}

void Terminal::detach() {
  close();
  for (Worker* worker : std::vector(workers_)) detach(*worker);
}

void Terminal::close() {
  closed_ = true;
  if (keyboard_) keyboard_->suspend();
  screen_.hide_footer();
  tick_.stop();
  long_.stop();
}

// ---- Who has the terminal

void Terminal::look_at_foreground() {
  if (closed_ || (!keyboard_ && !has_footer_)) return;
  foreground_ = in_foreground(keyboard_ ? STDIN_FILENO : STDERR_FILENO);
  if (!foreground_) {
    if (keyboard_) keyboard_->suspend();
    screen_.hide_footer();
    return tick_after(kForegroundAgain);
  }
  if (keyboard_) keyboard_->resume();
  screen_.on_resize();
  if (has_footer_)
    screen_.set_footer([this](std::size_t columns) {
      if (!in_foreground(STDERR_FILENO)) {
        tick_after(Milliseconds(0));
        return std::string();
      }
      const StatusFacts now = facts();
      if (const auto change = changes_after(now)) tick_after(*change);
      return status_line(now, columns, locale_is_utf8());
    });
}

// Nothing ticks but the age of the newest snapshot, and a look whether we are in the foreground again.
void Terminal::tick_after(Milliseconds time) {
  if (closed_) return;
  tick_.start(time, [this] {
    const bool stays = foreground_ && in_foreground(keyboard_ ? STDIN_FILENO : STDERR_FILENO);
    if (stays) return screen_.refresh();
    look_at_foreground();
  });
}

void Terminal::suspend() {
  if (keyboard_) keyboard_->suspend();
  screen_.hide_footer();
  struct sigaction ours {
  }, stops{};
  stops.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &stops, &ours);
  std::raise(SIGTSTP);  // returns when we are continued, or at once where no shell could continue us
  ::sigaction(SIGTSTP, &ours, nullptr);
  look_at_foreground();
}

// ---- Keys

void Terminal::on_typed(std::string_view bytes) {
  if (workers_.empty() || closed_) return;
  if (options_.give_stdin) return workers_.front()->type(std::string(bytes));
  if (const auto on_yes = std::exchange(asked_, nullptr)) {
    if (letter_of(bytes) == 'y') return on_yes();
    console_.say("nothing was changed");
    if (letter_of(bytes) == 'n') return;
  }
  if (bytes == "\n" || bytes == "\r") return console_.say("");
  if (const KeyEntry* entry = find_key(bytes)) return act(entry->key);
  const char letter = letter_of(bytes);
  if (letter > ' ' && letter < 0x7f) console_.say("no key '" + std::string(1, letter) + "'; h lists them");
}

void Terminal::act(Key key) {
  Worker* worker = only();
  if (worker == nullptr) return act_on_all(key);
  switch (key) {
    case Key::Help:
      return console_.say(key_help());
    case Key::Restart:
      return worker->reload({"restart", true, {}, monotonic_now(), outcome("restart")});
    case Key::Fresh:
      return fresh(*worker);
    case Key::Undo:
      return undo(*worker);
    case Key::Snapshot:
      return snapshot(*worker);
    case Key::Logs:
      return show_logs();
    case Key::Quit:
      return hooks_.quit();
  }
}

// What leaves state behind is asked of one worker by name.
void Terminal::act_on_all(Key key) {
  switch (key) {
    case Key::Help:
      return console_.say(key_help());
    case Key::Restart:
      return hooks_.restart_all(outcome("rolling restart"));
    case Key::Fresh:
      return console_.say("of one worker only: zerothctl restart --fresh WORKER");
    case Key::Undo:
      return console_.say("of one worker only: zerothctl rollback --worker WORKER GENERATION");
    case Key::Snapshot:
      for (Worker* worker : workers_) {
        if (worker->state() == WorkerState::Ready) snapshot(*worker);
      }
      return;
    case Key::Logs:
      return show_logs();
    case Key::Quit:
      return hooks_.quit();
  }
}

void Terminal::snapshot(Worker& worker) {
  const std::string of = only() == nullptr ? worker.name() + ": " : "";
  worker.checkpoint("manual", [this, of](const tl::expected<Json, Refusal>& done) {
    if (!done) return console_.say(of + "no snapshot: " + refusal_text(done.error()));
    console_.say(of + "snapshot " + std::to_string(field_or<std::uint64_t>(*done, "sequence", 0)) + " saved, " +
                 with_thousands(field_or<std::uint64_t>(*done, "bytes", 0)) + " bytes");
  });
}

// ---- What throws something away

void Terminal::ask(const std::string& sentence, std::function<void()> on_yes) {
  console_.say(sentence + "? [y/N]");
  asked_ = std::move(on_yes);
}

std::function<void(const tl::expected<Json, Refusal>&)> Terminal::outcome(const std::string& what) {
  return [this, what](const tl::expected<Json, Refusal>& done) {
    if (!done) return console_.say("no " + what + ": " + refusal_text(done.error()));
    const bool several = find_member(*done, "workers") != nullptr;  // of one, its own line tells
    if (several && field_or<std::string>(*done, "verdict", "") != "ok")
      console_.say(what + " ended: " + escape_control(field_or<std::string>(*done, "reason", "")));
  };
}

void Terminal::fresh(Worker& worker) {
  ask("start without state; the present one is left behind and pinned", [this, &worker] {
    Worker::ReloadRequest request{"restart", true, {}, monotonic_now(), outcome("fresh start")};
    request.aim.state = Aim::State::Fresh;
    worker.reload(std::move(request));
  });
}

void Terminal::undo(Worker& worker) {
  const auto& programs = worker.generations().programs();
  const auto& live = worker.generations().last_live();
  auto before = programs.lower_bound(live ? live->generation : 0);
  if (before == programs.begin()) return console_.say("no undo: there is no generation before this one");
  Worker::RollbackRequest request;
  request.wish.generation = (--before)->first;
  request.preview = true;
  request.reply = [this, &worker, wish = request.wish](const tl::expected<Json, Refusal>& told) {
    if (!told) return console_.say("no undo: " + refusal_text(told.error()));
    const auto age = std::chrono::duration<double>(field_or<double>(*told, "age_s", 0));
    std::string sentence = "back to generation " + std::to_string(*wish.generation) +
                           (field_or<bool>(*told, "code", false) ? " and its code, " : ", ") +
                           human_duration(std::chrono::duration_cast<std::chrono::nanoseconds>(age));
    const auto lost = optional_field<std::uint64_t>(*told, "iteration_lost");
    if (lost && lost->value_or(0) > 0) sentence += " and " + with_thousands(**lost) + " iterations";
    ask(sentence + " are left behind and pinned", [this, &worker, wish] {
      Worker::RollbackRequest back;
      back.wish = wish;
      back.reply = outcome("undo");
      worker.roll_back(std::move(back));
    });
  };
  worker.roll_back(std::move(request));
}

void Terminal::show_logs() {
  std::vector<std::pair<const Worker*, OutputEntry>> entries;
  for (Worker* worker : workers_) {
    for (OutputEntry& entry : worker->output().tail(kLogLines)) entries.emplace_back(worker, std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
  if (entries.size() > kLogLines)
    entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(kLogLines));
  if (entries.empty())
    return console_.say(only() != nullptr ? "the worker has written nothing yet"
                                          : "no worker has written anything yet");
  console_.say("the last " + std::to_string(entries.size()) + " lines of output:");
  for (const auto& [worker, entry] : entries)
    console_.say(console_.prefix_of(worker->name(), entry.generation) +
                 (screen_.colour() ? entry.shown_in_colour() : entry.shown()));
}

// ---- The status line

void Terminal::on_event(std::string_view type, const Json& data) {
  if (names_.workers > 0) return screen_.refresh();  // of several, facts_of_all() looks
  if (type == "worker-state") {
    on_state(field_or<std::string>(data, "state", ""));
  } else if (type == "beat") {
    const auto generation = field_or<std::uint64_t>(data, "generation", 0);
    if (generation != generation_) meter_.restart();
    generation_ = generation;
    const Json* metrics = find_member(data, "metrics");
    const auto convergence = metrics != nullptr ? optional_field<double>(*metrics, "convergence") : std::nullopt;
    const auto iteration = optional_field<std::uint64_t>(data, "iteration");
    meter_.on_beat(iteration.value_or(std::nullopt), convergence ? *convergence : std::nullopt, monotonic_now());
  } else if ((type == "reload" || type == "rejected") && !field_or<bool>(data, "superseded", false)) {
    const auto verdict = field_or<std::string>(data, "verdict", "");
    const bool live = verdict == "ok" || verdict == "rolled_back";
    const auto to = field_or<std::uint64_t>(data, "to", 0);
    if (live && to != generation_) {
      generation_ = to;
      meter_.restart();
    }
    const bool for_env = field_or<std::string>(data, "cause", "") == "env";  // of the same code
    if (verdict == "rejected" && !for_env) rejected_ = true;
    if (live || field_or<bool>(data, "repaired", false)) rejected_ = false;
  }
  screen_.refresh();
}

void Terminal::on_state(const std::string& state) {
  state_ = state;
  long_.stop();
  if (closed_ || names_.workers > 0) return;
  for (const LongState& entry : kLong) {
    if (entry.state == state)
      long_.start(entry.after, [this, told = std::string(entry.told)] {
        const std::string awaited = only() != nullptr ? only()->waits_for() : "";
        console_.progress(awaited.empty() ? told : "still " + state_ + "; waiting for " + awaited);
      });
  }
}

StatusFacts Terminal::facts() const {
  if (only() == nullptr) return facts_of_all();
  StatusFacts facts;
  if (const auto open = only()->output().open_line())
    facts.open_line = console_.prefix_of(names_.worker, open->generation) + open->shown();
  facts.generation = generation_;
  if (worth_showing(state_)) facts.state = state_;
  facts.rejected = rejected_;
  facts.iteration = meter_.iteration();
  facts.rate = meter_.rate(monotonic_now());
  facts.convergence = meter_.convergence();
  facts.trend = meter_.trend();
  if (const auto age = only()->state_age_s())
    facts.snapshot_age = std::chrono::seconds(static_cast<std::int64_t>(*age));
  facts.files = hooks_.files ? hooks_.files() : 0;
  return facts;
}

StatusFacts Terminal::facts_of_all() const {
  StatusFacts facts;
  std::size_t ready = 0;
  std::string others;  // by name
  for (const Worker* worker : workers_) {
    const bool up = worker->state() == WorkerState::Ready || worker->state() == WorkerState::Reloading;
    if (up) ++ready;
    if (!up) others += "   " + worker->name() + " " + std::string(to_string(worker->state()));
  }
  if (workers_.empty()) return facts;
  facts.state = std::to_string(ready) + " of " + std::to_string(workers_.size()) + " workers ready" + others;
  facts.files = hooks_.files ? hooks_.files() : 0;
  return facts;
}

}  // namespace zeroth
