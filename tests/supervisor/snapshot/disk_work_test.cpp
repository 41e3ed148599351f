#include "supervisor/snapshot/disk_work.h"

#include <doctest/doctest.h>

#include <future>
#include <string>

namespace zeroth {
namespace {

// A disk that answers when it is told to.
struct SlowDisk {
  std::promise<void> back;
  std::shared_future<void> is_back{back.get_future()};
  Loop loop;
  int returned = 0;
  DiskWork disk{loop, [this] { ++returned; }};
  std::shared_ptr<void> owner = std::make_shared<int>();
  std::string order;

  void run(Milliseconds patience, bool waits, const std::string& name) {
    const auto work = [waits, on = is_back]() -> Result<int> {
      if (waits) on.wait();
      return 7;
    };
    const auto tell = [this, name](const std::string& how) {
      return [this, name, how](const Result<int>& result) {
        const bool timed_out = !result && result.error().code == ETIMEDOUT;
        order += name + how + (result ? "+" : timed_out ? "!" : "-") + " ";
        if (timed_out && name == "a") {
          run(Milliseconds(10'000), false, "b");  // while it is overdue nothing is begun
          loop.post([this] { back.set_value(); });
        }
      };
    };
    disk.run<int>(patience, work, owner, tell(""), tell("-late"));
  }
};

}  // namespace

TEST_CASE("disk work: what is overdue is given up, nothing new is begun, and its end is told to who tidies up") {
  SlowDisk slow;
  slow.run(Milliseconds(10), true, "a");
  CHECK_FALSE(slow.disk.overdue());
  slow.loop.run();
  CHECK(slow.order == "a! b! a-late+ ");
  CHECK(slow.returned == 1);
  CHECK_FALSE(slow.disk.overdue());
  slow.run(Milliseconds(10'000), false, "c");
  slow.loop.run();
  CHECK(slow.order == "a! b! a-late+ c+ ");
}

TEST_CASE("disk work: an owner that is gone is told nothing") {
  SlowDisk slow;
  slow.back.set_value();
  slow.run(Milliseconds(10'000), true, "c");
  slow.owner.reset();
  slow.loop.run();
  CHECK(slow.order.empty());
}

}  // namespace zeroth
