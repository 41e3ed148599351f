#include "supervisor/log_queue.h"

#include <doctest/doctest.h>

#include <future>
#include <string>

namespace zeroth {
namespace {

// What a writer got, which waits at its first line until it is let go.
struct Written {
  std::promise<void> begun, go;
  std::string text;
  bool first = true;

  LogQueue::Writer writer(bool waits) {
    LogQueue::Writer writer;
    writer.write = [this, waits, go = go.get_future().share()](const LogQueue::Line& line) {
      if (waits && first) {
        begun.set_value();
        go.wait();
      }
      first = false;
      text += line.text;
    };
    writer.flush = [this] { text += "|"; };
    writer.reopen = [this] { text += "reopened "; };
    writer.dropped = [](std::uint64_t count) { return LogQueue::Line{{}, 0, "[" + std::to_string(count) + "]"}; };
    return writer;
  }
};

constexpr Milliseconds kLong(20'000);

}  // namespace

TEST_CASE("log queue: lines come in order, and a flush waits for the last one") {
  Written written;
  LogQueue queue(written.writer(false));
  std::string expected;
  for (int i = 0; i < 1'000; ++i) {
    queue.push({{}, 0, std::to_string(i) + " "});
    expected += std::to_string(i) + " ";
  }
  REQUIRE(queue.flush(kLong));
  std::erase(written.text, '|');
  CHECK(written.text == expected);
}

TEST_CASE(
    "log queue: what a disk that hangs cannot take is dropped from its oldest end, counted and told of in its place") {
  Written written;
  LogQueue queue(written.writer(true), 6);
  queue.push({{}, 0, "a"});
  written.begun.get_future().wait();
  for (const char* text : {"b1", "b2", "b3", "b4", "b5"}) queue.push({{}, 0, text});
  CHECK_FALSE(queue.flush(Milliseconds(0)));
  written.go.set_value();
  REQUIRE(queue.flush(kLong));
  queue.push({{}, 0, "c"});
  REQUIRE(queue.flush(kLong));
  CHECK(written.text == "a|[2]b3b4b5|c|");
}

TEST_CASE("log queue: the file is opened anew before the lines that come after that was asked for") {
  Written written;
  LogQueue queue(written.writer(true));
  queue.push({{}, 0, "a"});
  written.begun.get_future().wait();
  queue.reopen();
  queue.push({{}, 0, "b"});
  written.go.set_value();
  REQUIRE(queue.flush(kLong));
  CHECK(written.text == "a|reopened b|");
}

TEST_CASE("log queue: it goes while its disk hangs, and what it held is written when that is back") {
  const auto written = std::make_shared<Written>();
  std::promise<void> over;
  LogQueue::Writer writer = written->writer(true);
  writer.flush = [written, &over] {
    if (written->text == "ab") over.set_value();
  };
  {
    LogQueue queue(std::move(writer));
    queue.push({{}, 0, "a"});
    written->begun.get_future().wait();
    queue.push({{}, 0, "b"});
    CHECK_FALSE(queue.flush(Milliseconds(1)));
  }
  written->go.set_value();
  over.get_future().wait();
  CHECK(written->text == "ab");
}

}  // namespace zeroth
