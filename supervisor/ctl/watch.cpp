#include "supervisor/ctl/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <thread>

#include "common/display_width.h"
#include "common/exit_codes.h"
#include "common/json_fields.h"
#include "common/terminal_style.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/run.h"
#include "supervisor/ctl/texts.h"

namespace zeroth {
namespace {

constexpr Milliseconds kEvery{500};
constexpr std::size_t kMostValues = 500;  // wider than any terminal

// Text that is written over what was written before it. Never clears more than its own rows.
class Redrawn {
 public:
  bool show(const std::string& text) {
    if (!in_place_) return print(text);
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && size.ws_row > 1;
    const std::size_t columns = known ? size.ws_col - 1u : 79, rows = known ? size.ws_row - 1u : 23;
    std::string out = rows_ > 0 ? "\r\x1b[" + std::to_string(rows_) + "A" : "";
    rows_ = 0;
    for (std::size_t at = 0; at < text.size() && rows_ < rows; ++rows_) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = std::string_view(text).substr(at, end - at);
      const bool coloured = line.find('\x1b') != std::string_view::npos;  // by us, and short
      out += std::string(coloured ? line : cut_to_width(line, columns)) + "\x1b[K\n";
      at = end + 1;
    }
    return print(out + "\x1b[J");
  }

 private:
  const bool in_place_ = is_capable_terminal(STDOUT_FILENO);
  std::size_t rows_ = 0;
};

// Asks until the supervisor ends. A worker that is down for now is told and asked again.
template <class Text>
int watch(const Invocation& call, const Text& text) {
  auto chosen = choose_or_tell(call);
  if (!chosen) return chosen.error().code;
  const bool lines = call.json || ::isatty(STDOUT_FILENO) != 1;
  Redrawn screen;
  std::string refused;
  std::optional<MonotonicTime> end;
  if (call.timeout) end = monotonic_now() + *call.timeout;
  while (!end || monotonic_now() < *end) {
    const auto response = chosen->client->call(call.word, call.params, call.verb->deadline);
    if (!response && response.error().code == ECONNRESET) return kExitOk;  // it was stopped
    if (!response) return report(response.error());
    if (response->outcome) {
      refused.clear();
      if (!(lines ? print(dump(*response->outcome) + "\n") : screen.show(text(*response->outcome)))) return kExitFailed;
    } else if (response->outcome.error().code != ErrorCode::Unavailable) {
      return report(response->outcome.error());
    } else if (refused != response->outcome.error().message) {
      refused = response->outcome.error().message;
      if (lines || !screen.show(refused + "\n")) complain(refused);
    }
    std::this_thread::sleep_for(kEvery);
  }
  return kExitOk;
}

}  // namespace

std::string sparkline(const std::vector<double>& values, std::size_t columns, bool utf8) {
  constexpr std::array<std::string_view, 8> kBlocks = {"\u2581", "\u2582", "\u2583", "\u2584",
                                                       "\u2585", "\u2586", "\u2587", "\u2588"};
  constexpr std::array<std::string_view, 8> kAscii = {"_", ".", "-", "~", "=", "+", "*", "#"};
  const std::size_t shown = std::min(columns, values.size());
  const auto from = values.end() - static_cast<std::ptrdiff_t>(shown);
  std::string line;
  if (shown == 0) return line;
  const auto [least, most] = std::minmax_element(from, values.end());
  const double range = *most - *least;
  for (auto value = from; value != values.end(); ++value) {
    const double level = range > 0 && std::isfinite(range) ? (*value - *least) / range * 7 : 0;
    line += (utf8 ? kBlocks : kAscii)[static_cast<std::size_t>(std::lround(level))];
  }
  return line;
}

int run_observe(const Invocation& call) {
  if (!call.params.contains("watch")) return run_call(call);
  Invocation asked = call;
  asked.params.erase("watch");
  asked.params["passive"] = true;  // looking all the time would act on the field
  std::vector<double> values;
  return watch(asked, [&values](const Json& result) {
    const auto convergence = field_or<double>(result, "convergence", NAN);
    if (std::isfinite(convergence)) values.push_back(convergence);
    if (values.size() > kMostValues) values.erase(values.begin());
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 30;
    return sparkline(values, known ? size.ws_col - 1u : 60, locale_is_utf8()) + "\n" + observe_text(result);
  });
}

int run_status_watch(const Invocation& call) {
  Invocation asked = call;
  asked.params.erase("watch");
  return watch(asked, [](const Json& result) { return status_text(result); });
}

}  // namespace zeroth
