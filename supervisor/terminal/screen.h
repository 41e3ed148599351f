#pragma once
// Where everything for a person is written: messages to stderr, the worker's output to stdout, and on a terminal a
// footer below them that is cleared before any other text and drawn again after it. If both go to the same terminal
// they go one way, so their order stays.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/clock.h"
#include "common/loop/loop.h"
#include "supervisor/terminal/outlet.h"

namespace zeroth {

class Screen {
 public:
  explicit Screen(Loop& loop);
  ~Screen() { hide_footer(); }

  // A message: whole lines, the last line end may be missing.
  void message(std::string text);
  // A line of the worker's output.
  void output(std::string line);
  // The worker's output as it is; a message after half a line begins a new one.
  void raw_output(std::string_view bytes);

  // `text` is asked for the footer, in so many columns, when one is to be drawn; "" is none. Without effect where
  // stderr is no terminal that can move its cursor.
  void set_footer(std::function<std::string(std::size_t columns)> text);
  // The footer says something else now: drawn soon, at most so often that a person can read it.
  void refresh();
  // Until set_footer() is called again.
  void hide_footer();
  void on_resize();

  bool can_have_footer() const { return footer_possible_; }
  bool colour() const { return colour_; }  // in messages
  bool output_colour() const { return output_colour_; }
  std::size_t columns() const { return columns_; }  // 0: not known

 private:
  void draw();
  void clear();
  void begin_text();

  std::unique_ptr<Outlet> out_;  // null: err_ leads to the same terminal
  std::unique_ptr<Outlet> err_;
  Timer redraw_;
  std::function<std::string(std::size_t)> footer_;
  std::string drawn_;  // what is on the terminal now
  MonotonicTime drawn_at_{};
  std::size_t columns_ = 0;
  bool half_line_ = false;
  const bool footer_possible_, colour_, output_colour_;
};

}  // namespace zeroth
