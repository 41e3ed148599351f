#include "supervisor/terminal/status_line.h"

#include <cstdio>
#include <vector>

#include "common/display_width.h"
#include "common/text.h"

namespace zeroth {
namespace {

using namespace std::chrono_literals;

std::string formatted(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string rate_text(double rate) {
  return (rate < 100 ? formatted("%.1f", rate) : with_thousands(static_cast<std::uint64_t>(rate))) + "/s";
}

std::string trend_text(Trend trend, bool utf8) {
  switch (trend) {
    case Trend::Unknown:
      return "";
    case Trend::Falling:
      return utf8 ? " \xe2\x86\x93" : " falling";
    case Trend::Steady:
      return utf8 ? " \xe2\x86\x92" : " steady";
    case Trend::Rising:
      return utf8 ? " \xe2\x86\x91" : " rising";
  }
  return "";
}

// Most important first.
std::vector<std::string> parts_of(const StatusFacts& facts, bool utf8) {
  std::vector<std::string> parts;
  if (!facts.open_line.empty()) parts.push_back(facts.open_line);
  if (facts.generation > 0) parts.push_back("generation " + std::to_string(facts.generation));
  if (!facts.state.empty()) parts.push_back(facts.state);
  if (facts.rejected) parts.emplace_back("the newest edit is rejected");
  if (facts.iteration) parts.push_back("iteration " + with_thousands(*facts.iteration));
  if (facts.rate) parts.push_back(rate_text(*facts.rate));
  if (facts.convergence)
    parts.push_back("convergence " + formatted("%.6f", *facts.convergence) + trend_text(facts.trend, utf8));
  if (facts.snapshot_age)
    parts.push_back("saved " + (*facts.snapshot_age < 1s ? "now" : human_duration(*facts.snapshot_age) + " ago"));
  if (facts.files > 0)
    parts.push_back("watching " + with_thousands(facts.files) + (facts.files == 1 ? " file" : " files"));
  return parts;
}

}  // namespace

std::string status_line(const StatusFacts& facts, std::size_t columns, bool utf8) {
  constexpr std::string_view kBetween = "   ";
  std::string line;
  std::size_t width = 0;
  for (const std::string& part : parts_of(facts, utf8)) {
    const std::size_t needed = display_width(part) + (line.empty() ? 0 : kBetween.size());
    if (width + needed > columns) break;
    if (!line.empty()) line += kBetween;
    line += part;
    width += needed;
  }
  if (!line.empty()) return line;
  const auto parts = parts_of(facts, utf8);
  return parts.empty() ? "" : std::string(cut_to_width(parts.front(), columns));
}

// The units of human_duration().
std::optional<Milliseconds> changes_after(const StatusFacts& facts) {
  if (!facts.snapshot_age) return std::nullopt;
  const auto age = *facts.snapshot_age;
  const std::chrono::seconds unit = age < 2min ? 1s : age < 2h ? 60s : std::chrono::seconds(1h);
  return unit - age % unit;
}

}  // namespace zeroth
