#include "supervisor/worker/log_writer.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <future>
#include <string>

#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// A log that notes what happens to it, and a disk that answers when it is told to.
struct Noted {
  std::promise<void> back;
  std::shared_future<void> is_back{back.get_future()};
  Loop loop;
  std::mutex mutex;
  std::string disk;   // what was written
  std::string told;   // what those who wait got
  std::string notes;  // what was said of failures
  Error failure{ENOSPC, "full"};

  std::unique_ptr<LogWriter> writer(Milliseconds patience = Milliseconds(20'000)) {
    const auto sync = [this] { return put("sync "); };
    return std::make_unique<LogWriter>(
        loop, sync, [this](const std::string& note) { notes += note + "; "; }, patience);
  }
  Status put(const std::string& text) {
    const std::lock_guard lock(mutex);
    disk += text;
    return {};
  }
  LogWriter::Line line(const std::string& name, bool works = true) {
    return [this, name, works]() -> Status {
      if (!works) return fail(failure);
      return put(name + " ");
    };
  }
  LogWriter::Line hanging(const std::string& name) {
    return [this, name, on = is_back] {
      on.wait();
      return put(name + " ");
    };
  }
  LogWriter::Done tell(const std::string& name) {
    return [this, name](const Status& done) {
      told += name + (done ? "+" : done.error().code == ETIMEDOUT ? "!" : "-") + " ";
    };
  }
};

}  // namespace

TEST_CASE("log writer: lines are written in order, and an fsync comes after those before it") {
  Noted noted;
  const auto writer = noted.writer();
  std::string expected, answers;
  for (int i = 0; i < 200; ++i) {
    const std::string name = std::to_string(i);
    writer->write(noted.line(name), noted.tell(name));
    expected += name + " ";
    answers += name + "+ ";
  }
  writer->sync(noted.tell("durable"));
  CHECK(noted.told.empty());  // never from inside the call
  noted.loop.run();
  CHECK(noted.disk == expected + "sync ");
  CHECK(noted.told == answers + "durable+ ");
  CHECK(noted.notes.empty());
}

TEST_CASE("log writer: an error is told once, until a line is written again") {
  Noted noted;
  const auto writer = noted.writer();
  const auto write = [&](const char* name, bool works) { writer->write(noted.line(name, works), noted.tell(name)); };
  write("a", false);
  write("b", false);
  noted.loop.run();
  CHECK(noted.notes == "full; ");
  write("c", true);
  write("d", false);
  noted.loop.run();
  CHECK(noted.notes == "full; full; ");
  CHECK(noted.told == "a- b- c+ d- ");
  CHECK(noted.disk == "c ");
}

TEST_CASE("log writer: a number is noted once its line is written, or one of a higher number") {
  Noted noted;
  const TempDir dir;
  const auto is_noted = [&](const std::shared_ptr<NumberNote>& number) {
    const std::string path = dir.write("alive", "");
    number->remove(path);
    return !std::filesystem::exists(path);
  };
  const auto writer = noted.writer();
  const auto in_vain = writer->note(noted.line("a", false));
  noted.loop.run();
  CHECK_FALSE(is_noted(in_vain));
  const auto written = writer->note(noted.line("b"));
  noted.loop.run();
  CHECK(is_noted(written));
  CHECK(is_noted(in_vain));
}

TEST_CASE(
    "log writer: who waits for a disk that hangs is answered, and the lines are written in order when it is back") {
  Noted noted;
  const auto writer = noted.writer(Milliseconds(10));
  writer->write(noted.hanging("a"), noted.tell("a"));
  writer->write(noted.line("b"), noted.tell("b"));
  writer->sync(noted.tell("sync"));
  REQUIRE(run_until(noted.loop, [&] { return noted.told == "sync! a! b! "; }));
  writer->write(noted.line("c"), noted.tell("c"));  // it is not waited for anew
  REQUIRE(run_until(noted.loop, [&] { return noted.told == "sync! a! b! c! "; }));
  CHECK(noted.notes.find("has not answered for") != std::string::npos);
  CHECK(noted.notes.find(';') == noted.notes.rfind(';'));  // one note
  CHECK(noted.disk.empty());
  noted.back.set_value();
  noted.loop.run();
  CHECK(noted.disk == "a b c sync ");
  writer->write(noted.line("d"), noted.tell("d"));
  noted.loop.run();
  CHECK(noted.told == "sync! a! b! c! d+ ");
}

TEST_CASE("log writer: a slow fsync holds no line up") {
  Noted noted;
  LogWriter writer(
      noted.loop,
      [&noted, on = noted.is_back] {
        on.wait();
        return noted.put("sync ");
      },
      [](const std::string&) {});
  writer.sync(noted.tell("sync"));
  writer.write(noted.line("a"), noted.tell("a"));
  REQUIRE(run_until(noted.loop, [&] { return noted.told == "a+ "; }));
  noted.back.set_value();
  noted.loop.run();
  CHECK(noted.told == "a+ sync+ ");
  CHECK(noted.disk == "a sync ");
}

TEST_CASE("log writer: what was told before it goes is written, and nobody is answered") {
  Noted noted;
  auto writer = noted.writer();
  writer->write(noted.hanging("a"), noted.tell("a"));
  writer->write(noted.line("b"), noted.tell("b"));
  writer.reset();
  noted.back.set_value();
  noted.loop.run();
  CHECK(noted.disk == "a b ");
  CHECK(noted.told.empty());
}

}  // namespace zeroth
