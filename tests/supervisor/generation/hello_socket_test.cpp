#include "supervisor/generation/hello_socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/files.h"
#include "tests/support/run_process.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

constexpr const char* kKey = "0123456789abcdef";

struct HelloFixture {
  TempDir dir;
  Loop loop;
  std::string seen;  // key of the connection that was taken
  UniqueFd taken;
  std::unique_ptr<HelloSocket> socket;

  HelloFixture() {
    auto made =
        HelloSocket::listen(loop, dir.path("worker.sock"), [this](const std::string& key, UniqueFd& connection) {
          seen = key;
          if (key != kKey) return false;
          taken = std::move(connection);
          return true;
        });
    REQUIRE(made);
    socket = std::move(*made);
  }

  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket->path().copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  // Until the other side closes; what it said.
  std::string read_to_end(const UniqueFd& fd) {
    std::string text;
    REQUIRE(run_until(loop, [&] {
      char bytes[4096];
      ssize_t got = 0;
      while ((got = ::read(fd.get(), bytes, sizeof bytes)) > 0) text.append(bytes, static_cast<std::size_t>(got));
      return got == 0;
    }));
    return text;
  }
};

std::string hello_with(const std::string& key) {
  return R"({"event":"hello","data":{"protocol":1,"name":"x","version":"1","pid":1,"key":")" + key + "\"}}\n";
}

}  // namespace

TEST_CASE("hello socket: the connection with the right key is handed over with its hello unread") {
  HelloFixture at;
  struct stat info {};
  REQUIRE(::stat(at.socket->path().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const UniqueFd client = at.connect();
  const std::string hello = hello_with(kKey);
  REQUIRE(write_all(client.get(), hello.substr(0, 20)));  // in two parts
  REQUIRE(run_until(at.loop, [round = 0]() mutable { return ++round > 5; }));
  REQUIRE(write_all(client.get(), hello.substr(20)));
  REQUIRE(run_until(at.loop, [&] { return bool(at.taken); }));
  char bytes[4096];
  const ssize_t got = ::read(at.taken.get(), bytes, sizeof bytes);
  CHECK(std::string(bytes, got > 0 ? static_cast<std::size_t>(got) : 0) == hello);
}

TEST_CASE("hello socket: whoever has no key is told so and let go") {
  HelloFixture at;
  for (const std::string& first : {hello_with("another"), hello_with(""), std::string("GET / HTTP/1.1\r\n"),
                                   std::string("{\"event\":\"ready\",\"data\":{}}\n")}) {
    CAPTURE(first);
    const UniqueFd client = at.connect();
    REQUIRE(write_all(client.get(), first));
    CHECK(says(at.read_to_end(client), "unauthorized"));
  }
  const UniqueFd endless = at.connect();
  REQUIRE(write_all(endless.get(), std::string(20'000, 'x')));
  CHECK(says(at.read_to_end(endless), "too long"));
  CHECK_FALSE(at.taken);
}

TEST_CASE("hello socket: those who say nothing do not keep others out for long, and the name goes with it") {
  HelloFixture at;
  const UniqueFd silent = at.connect();
  const UniqueFd client = at.connect();
  REQUIRE(write_all(client.get(), hello_with(kKey)));
  REQUIRE(run_until(at.loop, [&] { return bool(at.taken); }));
  CHECK(says(at.read_to_end(silent), "no hello"));
  const std::string path = at.socket->path();
  at.socket.reset();
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("hello socket: keys are long and differ") {
  CHECK(make_key().size() == 32);
  CHECK(make_key() != make_key());
}

}  // namespace zeroth
