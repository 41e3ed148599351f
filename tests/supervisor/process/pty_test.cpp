#include "supervisor/process/pty.h"

#include <doctest/doctest.h>

#include "supervisor/process/child.h"
#include "tests/support/run_until.h"

namespace zeroth {
namespace {

// What a shell on terminals says, as it comes.
struct AtTerminal {
  std::string out, err;
  std::optional<ExitInfo> exit;
  std::unique_ptr<Child> child;

  AtTerminal(Loop& loop, const std::string& script, bool typed = false) {
    SpawnRequest request;
    request.argv = {"/bin/sh", "-c", script};
    request.env = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    request.terminal = WorkerTerminal{{31, 77}, std::nullopt};
    if (typed) request.terminal->typed = sane();
    Child::Hooks hooks;
    hooks.on_output = [this](OutputStream stream, std::string_view bytes) {
      (stream == OutputStream::Stdout ? out : err) += bytes;
    };
    hooks.on_exit = [this](const ExitInfo& info) { exit = info; };
    auto started = Child::start(loop, request, std::move(hooks));
    REQUIRE_MESSAGE(started.has_value(), (started ? "" : started.error().message));
    child = std::move(*started);
  }

  static termios sane() {
    auto pty = open_pty({});
    REQUIRE(pty.has_value());
    termios modes{};
    REQUIRE(::tcgetattr(pty->slave.get(), &modes) == 0);
    modes.c_lflag |= static_cast<tcflag_t>(ECHO | ICANON);
    return modes;
  }
};

}  // namespace

TEST_CASE("pty: both outputs are terminals, told apart, with our size and no translated line ends") {
  Loop loop;
  AtTerminal shell(loop, "test -t 1 && test -t 2 && ! test -t 0 && stty size <&1; echo err >&2");
  REQUIRE(run_until(loop, [&] { return shell.exit.has_value(); }));
  CHECK(shell.out == "31 77\n");
  CHECK(shell.err == "err\n");
}

TEST_CASE("pty: nobody's controlling terminal") {
  Loop loop;
  AtTerminal shell(loop, "if (: </dev/tty) 2>/dev/null; then echo has one; else echo none; fi");
  REQUIRE(run_until(loop, [&] { return shell.exit.has_value(); }));
  CHECK(shell.out == "none\n");
}

TEST_CASE("pty: nothing is lost at the end, however much it is, line end or not") {
  Loop loop;
  AtTerminal shell(loop, "i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i+1)); done; printf 'the last'");
  REQUIRE(run_until(loop, [&] { return shell.exit.has_value(); }));
  CHECK(shell.out.starts_with("line 0\nline 1\n"));
  CHECK(shell.out.ends_with("line 19999\nthe last"));
  std::size_t expected = std::string("the last").size();
  for (int i = 0; i < 20'000; ++i) expected += std::to_string(i).size() + 6;
  CHECK(shell.out.size() == expected);
}

TEST_CASE("pty: a new size is seen and told") {
  Loop loop;
  AtTerminal shell(loop, "trap 'stty size <&1; exit 0' WINCH; echo ready; while :; do read x <&1; done");
  REQUIRE(run_until(loop, [&] { return shell.out == "ready\n"; }));
  shell.child->resize({9, 33});
  REQUIRE(run_until(loop, [&] { return shell.exit.has_value(); }));
  CHECK(shell.out == "ready\n9 33\n");
}

TEST_CASE("pty: one that is typed at controls its session, echoes and edits") {
  Loop loop;
  AtTerminal shell(loop, ": </dev/tty || exit 9; read name; echo \"hello $name\"; cat", true);
  shell.child->type("Bobx\x7f\n");
  REQUIRE(run_until(loop, [&] { return shell.out.find("hello") != std::string::npos; }));
  CHECK(shell.out.ends_with("hello Bob\n"));
  CHECK(shell.out.starts_with("Bobx"));
  shell.child->type("\x04");  // the end of what is typed
  REQUIRE(run_until(loop, [&] { return shell.exit.has_value(); }));
  CHECK(shell.exit->code == 0);
}

}  // namespace zeroth
