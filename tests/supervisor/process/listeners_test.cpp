#include "supervisor/process/listeners.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "supervisor/process/open_sockets.h"
#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("listeners: an address is a port, a host with a port, or a unix socket, named or not") {
  const struct {
    const char* text;
    const char* name;
    const char* address;
  } cases[] = {
      {"8080", "http", "127.0.0.1:8080"},
      {"web=8080", "web", "127.0.0.1:8080"},
      {"localhost:80", "http", "127.0.0.1:80"},
      {"*:80", "http", "0.0.0.0:80"},
      {"api=[::1]:80", "api", "[::1]:80"},
      {"10.0.0.1:0", "http", "10.0.0.1:0"},
      {"x=unix:/tmp/a=b.sock", "x", "unix:/tmp/a=b.sock"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.text);
    const auto parsed = parse_listen_address(one.text);
    REQUIRE(parsed);
    CHECK(parsed->name == one.name);
    CHECK(parsed->text == one.address);
  }
  for (const char* bad : {"", "x", "65536", "-1", "1.2.3.4", "host.example:80", "a/b=80", "unix:"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_listen_address(bad));
  }
}

TEST_CASE("listeners: a free port is chosen for 0; the second to want it is told who has it") {
  const auto first = open_listener(*parse_listen_address("0"));
  REQUIRE(first);
  CHECK_FALSE(first->text.ends_with(":0"));
  const auto second = open_listener(*parse_listen_address(first->text));
  REQUIRE(!second);
  CHECK(second.error().code == EADDRINUSE);
  CHECK(says(second.error().message, "pid " + std::to_string(::getpid())));
}

TEST_CASE("listeners: the file of a dead unix socket is replaced, a living one's and any other file is not") {
  const TempDir dir;
  const std::string path = dir.path("s");
  const auto address = *parse_listen_address("unix:" + path);
  {
    const auto living = open_listener(address);
    REQUIRE(living);
    CHECK_FALSE(open_listener(address));
  }
  CHECK(open_listener(address));
  const std::string file = dir.write("file", "mine");
  CHECK_FALSE(open_listener(*parse_listen_address("unix:" + file)));
  CHECK(dir.read("file") == "mine");
}

TEST_CASE("open sockets: a process group's own port is found, one that was lent to it is not") {
  const auto listener = open_listener(*parse_listen_address("0"));
  REQUIRE(listener);
  const auto own = own_port_of(::getpgrp(), {});
  REQUIRE(own);
  CHECK(listener->text.ends_with(":" + std::to_string(own->port)));
  CHECK(own->process == process_name(::getpid()));
  struct stat info {};
  REQUIRE(::fstat(listener->fd.get(), &info) == 0);
  CHECK_FALSE(own_port_of(::getpgrp(), {info.st_ino}));
}

}  // namespace zeroth
