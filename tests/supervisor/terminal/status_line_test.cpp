#include "supervisor/terminal/status_line.h"

#include <doctest/doctest.h>

#include "common/display_width.h"

namespace zeroth {
namespace {

using namespace std::chrono_literals;

StatusFacts full() {
  StatusFacts facts;
  facts.generation = 18;
  facts.iteration = 25'404;
  facts.rate = 59.96;
  facts.convergence = 0.2237654;
  facts.trend = Trend::Falling;
  facts.snapshot_age = 3s;
  facts.files = 1;
  return facts;
}

}  // namespace

TEST_CASE("status line: all facts in one line") {
  CHECK(status_line(full(), 110, false) ==
        "generation 18   iteration 25,404   60.0/s   convergence 0.223765 falling   saved 3 s ago   watching 1 file");
  CHECK(status_line(full(), 110, true).find("0.223765 \xe2\x86\x93   saved") != std::string::npos);
}

TEST_CASE("status line: whole facts are left out from the right until it fits") {
  const std::string whole = status_line(full(), 200, true);
  for (std::size_t columns = 0; columns <= 120; ++columns) {
    const std::string line = status_line(full(), columns, true);
    CHECK(display_width(line) <= columns);
    CHECK(whole.starts_with(line));
  }
  CHECK(status_line(full(), 40, true) == "generation 18   iteration 25,404");
  CHECK(status_line(full(), 5, true) == "gener");
}

TEST_CASE("status line: only what is known, and the state if it is not the usual one") {
  StatusFacts facts;
  CHECK(status_line(facts, 80, true).empty());
  facts.state = "starting";
  CHECK(status_line(facts, 80, true) == "starting");
  facts.generation = 3;
  facts.state = "backoff";
  facts.rejected = true;
  facts.files = 1'234;
  facts.snapshot_age = 0s;
  CHECK(status_line(facts, 100, true) ==
        "generation 3   backoff   the newest edit is rejected   saved now   watching 1,234 files");
}

TEST_CASE("status line: half a line of the worker comes first, wide characters count twice") {
  StatusFacts facts = full();
  facts.open_line = "w.1 | \xe4\xb8\xad\xe6\x96\x87 42%";  // 4 columns of Chinese
  CHECK(status_line(facts, 29, true) == facts.open_line);
  CHECK(status_line(facts, 30, true).ends_with("generation 18"));
  CHECK(status_line(facts, 7, true) == "w.1 | ");
}

TEST_CASE("status line: it changes by itself only while a snapshot grows old") {
  StatusFacts facts = full();
  CHECK(changes_after(facts) == 1s);
  facts.snapshot_age = 150s;
  CHECK(changes_after(facts) == 30s);
  facts.snapshot_age = 3h;
  CHECK(changes_after(facts) == 1h);
  facts.snapshot_age.reset();
  CHECK(!changes_after(facts).has_value());
}

TEST_CASE("progress meter: the rate over the last seconds, and none when the beats stop") {
  ProgressMeter meter;
  const MonotonicTime begin{};
  CHECK(!meter.rate(begin).has_value());
  for (std::uint64_t i = 0; i <= 100; ++i)
    meter.on_beat(i * 6, 1.0 / (1.0 + static_cast<double>(i)), begin + i * 100ms);
  CHECK(meter.rate(begin + 10s).value_or(0) == doctest::Approx(60));
  CHECK(meter.trend() == Trend::Falling);
  CHECK(!meter.rate(begin + 13s).has_value());
  CHECK(meter.iteration() == 600);
  meter.restart();
  CHECK(!meter.rate(begin + 10s).has_value());
  CHECK(meter.iteration() == 600);
  CHECK(meter.trend() == Trend::Unknown);
}

TEST_CASE("progress meter: steady, rising, and a worker that reports neither") {
  const MonotonicTime begin{};
  ProgressMeter steady, rising, mute;
  for (int i = 0; i <= 10; ++i) {
    steady.on_beat(i, 0.5, begin + i * 100ms);
    rising.on_beat(i, 0.1 * i, begin + i * 100ms);
    mute.on_beat(std::nullopt, std::nullopt, begin + i * 100ms);
  }
  CHECK(steady.trend() == Trend::Steady);
  CHECK(rising.trend() == Trend::Rising);
  CHECK(mute.trend() == Trend::Unknown);
  CHECK(!mute.rate(begin + 1s).has_value());
}

}  // namespace zeroth
