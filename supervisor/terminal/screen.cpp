#include "supervisor/terminal/screen.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/clock.h"
#include "common/display_width.h"
#include "common/terminal_style.h"
#include "supervisor/process/pty.h"

namespace zeroth {
namespace {

constexpr Milliseconds kRedrawEvery{200};
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kUndimmed = "\x1b[0m";

bool one_terminal() {
  struct stat out {
  }, err{};
  return ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1 && ::fstat(STDOUT_FILENO, &out) == 0 &&
         ::fstat(STDERR_FILENO, &err) == 0 && out.st_rdev == err.st_rdev;
}

std::size_t columns_now() {
  const auto size = terminal_size(STDERR_FILENO);
  return size ? size->columns : 0;
}

}  // namespace

Screen::Screen(Loop& loop)
    : out_(one_terminal() ? nullptr : std::make_unique<Outlet>(loop, STDOUT_FILENO)),
      err_(std::make_unique<Outlet>(loop, STDERR_FILENO)),
      redraw_(loop),
      columns_(columns_now()),
      footer_possible_(is_capable_terminal(STDERR_FILENO)),
      colour_(colours_wanted(STDERR_FILENO)),
      output_colour_(colours_wanted(STDOUT_FILENO)) {}

void Screen::begin_text() {
  clear();
  if (half_line_) err_->write("\n");
  half_line_ = false;
}

void Screen::message(std::string text) {
  begin_text();
  if (!text.ends_with('\n')) text += '\n';
  err_->write(std::move(text));
  refresh();
}

void Screen::output(std::string line) {
  line += '\n';
  if (out_) return out_->write(std::move(line));
  begin_text();
  err_->write(std::move(line));
  refresh();
}

void Screen::raw_output(std::string_view bytes) {
  if (bytes.empty()) return;
  if (out_) return out_->write(std::string(bytes));
  clear();
  half_line_ = bytes.back() != '\n';
  err_->write(std::string(bytes));
  refresh();
}

void Screen::set_footer(std::function<std::string(std::size_t)> text) {
  if (!footer_possible_) return;
  footer_ = std::move(text);
  refresh();
}

void Screen::hide_footer() {
  footer_ = {};
  redraw_.stop();
  clear();
}

void Screen::refresh() {
  if (!footer_ || redraw_.active()) return;
  const auto since = std::chrono::duration_cast<Milliseconds>(monotonic_now() - drawn_at_);
  redraw_.start(std::max(Milliseconds(0), kRedrawEvery - since), [this] { draw(); });
}

// One column stays free: a line that fills the last one wraps on some terminals.
void Screen::draw() {
  if (!footer_ || half_line_ || columns_ < 2 || err_->queued() > 0) return;
  const std::string text = footer_(columns_ - 1);
  drawn_at_ = monotonic_now();
  if (text == drawn_) return;
  if (text.empty()) return clear();
  err_->write("\r" + (colour_ ? std::string(kDim) + text + std::string(kUndimmed) : text) + "\x1b[K");
  drawn_ = text;
}

void Screen::clear() {
  if (drawn_.empty()) return;
  drawn_.clear();
  err_->write("\r\x1b[K");
}

// A terminal that became narrower has wrapped the footer: the rows above the cursor's are the footer's too.
void Screen::on_resize() {
  columns_ = columns_now();
  const std::size_t width = display_width(drawn_);
  if (columns_ > 0 && width > columns_) {
    drawn_.clear();
    err_->write("\r\x1b[" + std::to_string((width - 1) / columns_) + "A\x1b[J");
  }
  clear();
  refresh();
}

}  // namespace zeroth
