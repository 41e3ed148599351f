#include "common/save_watch.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLongAgo{10'000};

bool told(SaveWatch& watch) {
  pollfd ready = {watch.fd(), POLLIN, 0};
  const bool something = ::poll(&ready, 1, 0) > 0;
  watch.read();
  return something;
}

}  // namespace

TEST_CASE("save watch: a rename to the name is a save at once, whatever else happens there") {
  const TempDir dir;
  auto watch = SaveWatch::begin(dir.path("state"));
  REQUIRE(watch);
  CHECK_FALSE(watch->saved(monotonic_now()));
  dir.write("other", "1");
  CHECK(told(*watch));
  CHECK_FALSE(watch->saved(monotonic_now() + kLongAgo));
  std::filesystem::rename(dir.path("other"), dir.path("state"));
  watch->read();
  CHECK(watch->saved(monotonic_now()));
}

TEST_CASE("save watch: a write in place is one when it was closed and stood still") {
  const TempDir dir;
  dir.write("state", "0");
  auto watch = SaveWatch::begin(dir.path("state"));
  REQUIRE(watch);
  UniqueFd file(::open(dir.path("state").c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(write_all(file.get(), "1"));
  watch->read();
  CHECK_FALSE(watch->saved(monotonic_now() + kLongAgo));  // it is still open
  CHECK_FALSE(watch->ask_at());
  file.reset();
  watch->read();
  REQUIRE(watch->ask_at());
  CHECK_FALSE(watch->saved(*watch->ask_at() - SaveWatch::kQuiet));
  CHECK(watch->saved(*watch->ask_at()));
  file = UniqueFd(::open(dir.path("state").c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(write_all(file.get(), "2"));
  watch->read();
  CHECK_FALSE(watch->saved(monotonic_now() + kLongAgo));  // and is written again
}

TEST_CASE("save watch: a folder that is not there is named") {
  const auto watch = SaveWatch::begin("/nowhere/at/all/state");
  REQUIRE_FALSE(watch);
  CHECK(watch.error().message.find("/nowhere/at/all") != std::string::npos);
}

TEST_CASE("signals to ask by: their names, and no others") {
  CHECK(parse_signal("USR1") == SIGUSR1);
  CHECK(parse_signal("SIGHUP") == SIGHUP);
  CHECK(parse_signal("RTMIN") == SIGRTMIN);
  CHECK(parse_signal("RTMIN+3") == SIGRTMIN + 3);
  CHECK(name_of_signal(SIGUSR2) == "USR2");
  CHECK(name_of_signal(SIGRTMIN + 3) == "RTMIN+3");
  for (const char* name : {"", "KILL", "TERM", "usr1", "10", "RTMIN+", "RTMIN+99", "RTMIN+1x"}) {
    CAPTURE(name);
    const auto number = parse_signal(name);
    REQUIRE_FALSE(number);
    CHECK(number.error().message.find("is no signal to ask by: HUP USR1") != std::string::npos);
  }
}

TEST_CASE("signals to ask by: whether a process has a use for one") {
  const auto before = ::signal(SIGUSR2, SIG_DFL);
  CHECK(check_handles(::getpid(), SIGUSR2).error().message == "the program has no handler for USR2: it is not sent");
  ::signal(SIGUSR2, SIG_IGN);
  CHECK(check_handles(::getpid(), SIGUSR2).error().message == "the program ignores USR2");
  ::signal(SIGUSR2, [](int) {});
  CHECK(check_handles(::getpid(), SIGUSR2));
  ::signal(SIGUSR2, before);
}

}  // namespace zeroth
