#include "common/loop/loop.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/loop/stream.h"

namespace zeroth {

TEST_CASE("timer: its callback may destroy it") {
  Loop loop;
  auto timer = std::make_unique<Timer>(loop);
  bool fired = false;
  timer->start(Milliseconds(1), [&] {
    timer.reset();
    fired = true;
  });
  loop.run();
  CHECK(fired);
}

TEST_CASE("timer: a loop that stood still reads what has come before a deadline counts") {
  Loop loop;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  std::string order;
  FdWatch watch(loop, ours.get());
  watch.start(FdWatch::kReadable, [&](int) {
    order += "answer ";
    watch.stop();
  });
  Timer deadline(loop);
  deadline.start(Milliseconds(50), [&] { order += "deadline"; });
  loop.post([&] {
    CHECK(::write(theirs.get(), "x", 1) == 1);
    ::poll(nullptr, 0, 700);  // suspended
  });
  loop.run();
  CHECK(order == "answer deadline");
}

TEST_CASE("pool: waiting for it ends with its work, or in time") {
  Loop loop;
  CHECK(loop.wait_for_pool(Milliseconds(0)));
  std::promise<void> disk;
  loop.in_pool([&] { disk.get_future().wait(); }, [] {});
  CHECK_FALSE(loop.wait_for_pool(Milliseconds(1)));
  disk.set_value();
  CHECK(loop.wait_for_pool(Milliseconds(20'000)));
  loop.run();
}

TEST_CASE("pool: an owner that is gone gets no answer") {
  Loop loop;
  bool worked = false, answered = false;
  {
    const auto owner = std::make_shared<int>();
    loop.in_pool([&] { worked = true; }, owner, [&] { answered = true; });
  }
  loop.run();
  CHECK(worked);
  CHECK_FALSE(answered);
}

TEST_CASE("lane: one piece of work at a time, in order, and a dead owner gets no answer") {
  Loop loop;
  Lane lane(loop);
  std::atomic<int> running{0}, most{0};
  std::string order;
  const auto owner = std::make_shared<int>();
  auto leaver = std::make_shared<int>();
  for (const char name : std::string("abcdef")) {
    lane.run([&] { most = std::max(most.load(), ++running), --running; }, name == 'c' ? leaver : owner,
             [&order, name] { order += name; });
  }
  leaver.reset();
  loop.run();
  CHECK(most == 1);
  CHECK(order == "abdef");
}

TEST_CASE("post: what a posted call posts waits for the next turn, in order") {
  Loop loop;
  std::string order;
  loop.post([&] {
    order += 'a';
    loop.post([&] { order += 'c'; });
  });
  loop.post([&] { order += 'b'; });
  uv_run(loop.uv(), UV_RUN_NOWAIT);
  CHECK(order == "ab");
  loop.run();
  CHECK(order == "abc");
}

TEST_CASE("stream: more than the socket holds arrives whole, then the end") {
  Loop loop;
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  std::optional<Stream> near(std::in_place, loop, UniqueFd(ends[0]));
  std::optional<Stream> far(std::in_place, loop, UniqueFd(ends[1]));
  std::string sent(3 << 20, 'x'), got;
  bool ended = false;
  far->start([&](std::string_view bytes) { got += bytes; },
             [&] {
               ended = true;
               far.reset();
             });
  near->start([](std::string_view) {}, [] {});
  near->on_drained([&] { near.reset(); });
  near->write(sent);
  CHECK(near->queued() > 0);
  loop.run();
  CHECK(ended);
  CHECK(got == sent);
}

}  // namespace zeroth
