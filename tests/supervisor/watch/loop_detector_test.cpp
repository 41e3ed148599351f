#include "supervisor/watch/loop_detector.h"

#include <doctest/doctest.h>

#include <functional>

namespace zeroth {
namespace {

using Verdict = LoopDetector::Verdict;

// A detector under a clock that only these functions move.
struct Looping {
  Verdict change(const std::vector<std::string>& paths, int after_ms) {
    now += Milliseconds(after_ms);
    return detector.on_change(paths, now, now);
  }
  // A change, and the generation that it starts.
  Verdict reload(const std::vector<std::string>& paths, int after_ms) {
    const Verdict verdict = change(paths, after_ms);
    if (verdict == Verdict::Reload) detector.on_generation(now += Milliseconds(20));
    return verdict;
  }
  LoopDetector detector{{"/app/main.py"}};
  MonotonicTime now{std::chrono::hours(1)};
};

}  // namespace

TEST_CASE("loop detector: a file that every generation writes is held, tried once more, then suspended") {
  Looping loop;
  loop.detector.on_generation(loop.now);
  for (int i = 0; i < 3; ++i) CHECK(loop.reload({"/app/data"}, 100) == Verdict::Reload);
  CHECK(loop.reload({"/app/data"}, 100) == Verdict::Hold);
  REQUIRE(loop.detector.due());
  CHECK(*loop.detector.due() == loop.now + Milliseconds(1'000));
  loop.now = *loop.detector.due();
  CHECK(loop.detector.release() == std::vector<std::string>{"/app/data"});
  CHECK_FALSE(loop.detector.due());
  loop.detector.on_generation(loop.now);
  CHECK(loop.change({"/app/data"}, 100) == Verdict::Suspend);
  CHECK(loop.detector.suspended().contains("/app/data"));
  CHECK(loop.change({"/app/data"}, 100) == Verdict::Drop);
  CHECK(loop.change({"/app/data", "/app/view"}, 100) == Verdict::Reload);
  loop.detector.reset();
  CHECK(loop.change({"/app/data"}, 100) == Verdict::Reload);
}

TEST_CASE("loop detector: a file that never comes to rest is suspended without another try") {
  Looping loop;
  loop.detector.on_generation(loop.now);
  for (int i = 0; i < 3; ++i) CHECK(loop.reload({"/app/log"}, 50) == Verdict::Reload);
  for (int i = 0; i < 10; ++i) CHECK(loop.change({"/app/log"}, 500) == Verdict::Hold);
  CHECK(loop.change({"/app/log"}, 500) == Verdict::Suspend);
}

TEST_CASE("loop detector: a burst of saves by hand is held until it ends, and nothing is suspended") {
  Looping loop;
  loop.detector.on_generation(loop.now);
  for (int i = 0; i < 20; ++i) (void)loop.reload({"/app/view"}, 50);
  REQUIRE(loop.detector.due());
  loop.now = *loop.detector.due();
  (void)loop.detector.release();
  loop.detector.on_generation(loop.now);
  for (int i = 0; i < 20; ++i) CHECK(loop.reload({"/app/view"}, 900) == Verdict::Reload);
  CHECK(loop.detector.suspended().empty());
}

TEST_CASE("loop detector: what is late, joined by another file or the program itself is no loop") {
  Looping loop;
  loop.detector.on_generation(loop.now);
  const auto twenty = [&](const std::function<std::vector<std::string>(int)>& paths, int after_ms) {
    for (int i = 0; i < 20; ++i) CHECK(loop.reload(paths(i), after_ms) == Verdict::Reload);
  };
  using Paths = std::vector<std::string>;
  SUBCASE("late") {
    twenty([](int) { return Paths{"/app/view"}; }, 501);
  }
  SUBCASE("another file in between") {
    twenty([](int i) { return Paths{i % 3 == 2 ? "/app/other" : "/app/view"}; }, 50);
  }
  SUBCASE("another file with it") {
    twenty([](int i) { return Paths{"/app/view", "/app/new" + std::to_string(i)}; }, 50);
  }
  SUBCASE("the program") {
    twenty([](int) { return Paths{"/app/main.py"}; }, 50);
  }
}

TEST_CASE("loop detector: another file's change ends the hold at once") {
  Looping loop;
  loop.detector.on_generation(loop.now);
  for (int i = 0; i < 4; ++i) (void)loop.reload({"/app/data"}, 50);
  REQUIRE(loop.detector.due());
  CHECK(loop.change({"/app/view"}, 50) == Verdict::Reload);
  CHECK_FALSE(loop.detector.due());
}

TEST_CASE("loop detector: what may be a loop's doing is not plain, and asking counts for nothing") {
  Looping loop;
  const auto plain = [&](const std::string& path) { return loop.detector.is_plain({path}, loop.now); };
  CHECK(plain("/app/data"));
  loop.detector.on_generation(loop.now);
  loop.now += Milliseconds(100);
  CHECK_FALSE(plain("/app/data"));
  CHECK(plain("/app/main.py"));
  loop.now += Milliseconds(500);
  for (int i = 0; i < 10; ++i) CHECK(plain("/app/data"));
  CHECK(loop.reload({"/app/data"}, 0) == Verdict::Reload);
  for (int i = 0; i < 3; ++i) CHECK(loop.reload({"/app/data"}, 100) == Verdict::Reload);
  CHECK(loop.reload({"/app/data"}, 100) == Verdict::Hold);
  CHECK_FALSE(plain("/app/main.py"));
}

TEST_CASE("loop detector: what is written just before a generation goes live, and told after, is its doing") {
  Looping loop;
  Verdict last = Verdict::Reload;
  for (int i = 0; i < 4 && last == Verdict::Reload; ++i) {
    loop.detector.on_generation(loop.now);  // spawned
    loop.now += Milliseconds(100);
    const MonotonicTime written = loop.now;
    loop.detector.on_generation(loop.now += Milliseconds(10));  // live
    loop.now += Milliseconds(10);
    last = loop.detector.on_change({"/app/data"}, written, loop.now);
  }
  CHECK(last == Verdict::Hold);
}

}  // namespace zeroth
