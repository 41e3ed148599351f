#include "supervisor/process/output_log.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "supervisor/process/child.h"
#include "tests/support/run_until.h"

namespace zeroth {
namespace {

std::vector<std::string> texts(const std::vector<OutputEntry>& entries) {
  std::vector<std::string> found;
  for (const OutputEntry& entry : entries) found.push_back(entry.text);
  return found;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("output log: lines of two streams and generations do not mix") {
  OutputLog log("web");
  log.feed(1, OutputStream::Stdout, "a1");
  log.feed(1, OutputStream::Stderr, "b1\r\n");
  log.feed(2, OutputStream::Stdout, "c1\nc2");
  log.feed(1, OutputStream::Stdout, "a2\n");
  CHECK(texts(log.tail(9)) == Texts{"b1", "c1", "a1a2"});
  log.finish(2);
  log.finish(1);
  CHECK(texts(log.tail(2)) == Texts{"a1a2", "c2"});
  CHECK(log.tail(1)[0].generation == 2);
  CHECK(log.tail(0).empty());
}

TEST_CASE("output log: a long line is cut between characters, the rest counted") {
  OutputLog log("web");
  const std::string start(kMaxOutputLine - 1, 'x');
  log.feed(1, OutputStream::Stdout, start);
  log.feed(1, OutputStream::Stdout, "\xc3\xa4");
  log.feed(1, OutputStream::Stdout, std::string(1000, 'y') + "\nnext\n");
  CHECK(texts(log.tail(2)) == Texts{start + " … [1002 bytes cut]", "next"});
}

TEST_CASE("output log: hostile bytes are shown, not sent") {
  OutputLog log("web");
  log.feed(1, OutputStream::Stdout, "\x1b[2J\xff ok\n");
  CHECK(log.tail(1)[0].shown() == "\\x1b[2J\xef\xbf\xbd ok");
}

TEST_CASE("output log: colours of a terminal are kept for a terminal and no content elsewhere") {
  OutputLog log("web");
  log.feed(1, OutputStream::Stdout, "\x1b[31mred\x1b[0m\n");
  CHECK(log.tail(1)[0].shown() == "\\x1b[31mred\\x1b[0m");
  log.set_on_terminal(true);
  log.feed(1, OutputStream::Stdout, "\x1b[01;31m\x1b[Kred\x1b[m \x1b[2J\x1b[3\tx\x1b[1\n");
  CHECK(log.tail(1)[0].shown() == "red \\x1b[2J\\x1b[3\\tx\\x1b[1");
  CHECK(log.tail(1)[0].shown_in_colour() == "\x1b[01;31mred\x1b[m \\x1b[2J\\x1b[3\tx\\x1b[1\x1b[0m");
}

TEST_CASE("output log: of a progress bar on a terminal the last look stays") {
  OutputLog log("web");
  log.set_on_terminal(true);
  std::string tapped;
  log.set_tap([&tapped](std::string_view bytes) { tapped += bytes; });
  CHECK(!log.open_line().has_value());
  log.feed(1, OutputStream::Stderr, "\r 10%");
  log.feed(1, OutputStream::Stderr, "\r");
  REQUIRE(log.open_line().has_value());
  CHECK(log.open_line()->text == " 10%");
  for (int i = 0; i < 1'000; ++i) log.feed(1, OutputStream::Stderr, "\r 20% " + std::string(i % 50, '#'));
  log.feed(1, OutputStream::Stderr, "\r100%\r\r\ndone\r\nlast");
  log.finish(1);
  CHECK(texts(log.tail(9)) == Texts{"100%", "done", "last"});
  CHECK(!log.open_line().has_value());
  CHECK(tapped.starts_with("\r 10%\r\r 20% "));
  log.set_on_terminal(false);
  log.feed(2, OutputStream::Stdout, "a\rb\n");
  CHECK(log.tail(1)[0].shown() == "a\\rb");
}

TEST_CASE("output log: the oldest lines go, by count and by bytes") {
  OutputLog log("web", {std::size_t(1) << 20, 3});
  log.feed(1, OutputStream::Stdout, "1\n2\n3\n4\n5\n");
  CHECK(texts(log.tail(9)) == Texts{"3", "4", "5"});
  CHECK(log.dropped() == 2);
  OutputLog small("web", {10'000, 1'000});
  for (int i = 0; i < 10; ++i) small.feed(1, OutputStream::Stdout, std::string(4000, 'x') + "\n");
  CHECK(small.tail(99).size() == 2);
  CHECK(small.dropped() == 8);
}

TEST_CASE("output log: since a time") {
  WallTime now{};
  OutputLog log("web", {}, [&] { return now; });
  for (int i = 0; i < 4; ++i) {
    log.feed(1, OutputStream::Stdout, std::to_string(i) + "\n");
    now += std::chrono::seconds(1);
  }
  CHECK(texts(log.since(WallTime{} + std::chrono::seconds(2))) == Texts{"2", "3"});
}

TEST_CASE("output log: a subscriber may leave while it is called") {
  OutputLog log("web");
  Texts heard;
  OutputLog::Subscription subscription = log.subscribe([&](const OutputEntry& entry) {
    heard.push_back(entry.text);
    if (heard.size() == 2) subscription.reset();
  });
  log.feed(1, OutputStream::Stdout, "1\n2\n3\n");
  CHECK(heard == Texts{"1", "2"});
}

TEST_CASE("output log: 50 MB pass in bounded memory, all lines counted") {
  Loop loop;
  OutputLog log("web");
  SpawnRequest request;
  request.argv = {"/bin/sh", "-c", "yes 0123456789012345678901234567890123456789012345678 | head -n 1000000"};
  request.env = {"PATH=/usr/bin:/bin"};
  Child::Hooks hooks;
  bool ended = false;
  std::uint64_t bytes = 0;
  hooks.on_output = [&](OutputStream stream, std::string_view part) {
    bytes += part.size();
    log.feed(1, stream, part);
  };
  hooks.on_exit = [&](const ExitInfo&) { ended = true; };
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  const auto child = Child::start(loop, request, std::move(hooks));
  REQUIRE(child);
  REQUIRE(run_until(
      loop, [&] { return ended; }, std::chrono::seconds(60)));
  ::getrusage(RUSAGE_SELF, &after);
  CHECK(bytes == 50'000'000);
  CHECK(log.tail(99'999).size() + log.dropped() == 1'000'000);
#ifndef __SANITIZE_ADDRESS__
  CHECK(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
#endif
}

}  // namespace zeroth
