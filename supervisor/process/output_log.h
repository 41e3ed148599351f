#pragma once
// The captured output of one worker, over all its generations: the newest lines in bounded memory, for crash reports,
// `logs` and live display. Fed by Child's on_output; however much comes, the oldest is dropped and counted.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "supervisor/process/output_stream.h"

namespace zeroth {

struct OutputEntry {
  WallTime at;
  std::uint64_t generation = 0;
  OutputStream stream = OutputStream::Stdout;
  std::string text;          // the worker's bytes, without line end; at most kMaxOutputLine and the mark of a cut
  bool on_terminal = false;  // written to one: colours in it are no content

  // For people and for JSON: valid UTF-8, without colours, control characters escaped.
  std::string shown() const;
  // For a terminal: as shown(), but coloured (SGR) as it was written, and with its tabs.
  std::string shown_in_colour() const;
};

inline constexpr std::size_t kMaxOutputLine = 8 * 1024;

class OutputLog {
 public:
  struct Limits {
    std::size_t bytes = std::size_t(1) << 20;  // text and what keeping it costs
    std::size_t lines = 10'000;
  };
  using Subscription = std::shared_ptr<std::function<void(const OutputEntry&)>>;
  using Tap = std::function<void(std::string_view bytes)>;

  explicit OutputLog(std::string worker) : OutputLog(std::move(worker), Limits()) {}
  OutputLog(std::string worker, Limits limits, std::function<WallTime()> clock = wall_now);

  const std::string& worker() const { return worker_; }
  // The worker writes to terminals: a carriage return begins the line anew, so that of a progress bar the last look is
  // kept.
  void set_on_terminal(bool on_terminal) { on_terminal_ = on_terminal; }

  // Bytes of one output of one generation; a line is an entry when its end has come.
  void feed(std::uint64_t generation, OutputStream stream, std::string_view bytes);
  // The generation has ended: what is left without a line end becomes entries.
  void finish(std::uint64_t generation);

  // The newest `count` entries, oldest first.
  std::vector<OutputEntry> tail(std::size_t count) const;
  // Entries from `time` on, oldest first.
  std::vector<OutputEntry> since(WallTime time) const;
  // Lines no longer kept.
  std::uint64_t dropped() const { return dropped_; }

  // `on_entry` is called for each new entry for as long as the returned value lives.
  [[nodiscard]] Subscription subscribe(std::function<void(const OutputEntry&)> on_entry);
  // All bytes as they come, before the entries that they complete. One at a time.
  void set_tap(Tap tap) { tap_ = std::move(tap); }
  // The line that was written last if its end has not come yet (a progress bar, a question).
  std::optional<OutputEntry> open_line() const;

 private:
  struct Line {
    std::string text;
    std::size_t cut = 0;    // bytes beyond kMaxOutputLine, not kept
    bool returned = false;  // a carriage return came: the next byte begins anew
  };
  void extend(Line& line, std::string_view bytes) const;
  void append(Line& line, std::string_view bytes) const;
  void add(std::uint64_t generation, OutputStream stream, Line& line, WallTime at);
  void shrink();

  std::string worker_;
  Limits limits_;
  std::function<WallTime()> clock_;
  Tap tap_;
  bool on_terminal_ = false;
  std::map<std::pair<std::uint64_t, OutputStream>, Line> open_;
  std::pair<std::uint64_t, OutputStream> last_fed_{};
  std::deque<OutputEntry> entries_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  std::vector<std::weak_ptr<std::function<void(const OutputEntry&)>>> subscribers_;
};

}  // namespace zeroth
