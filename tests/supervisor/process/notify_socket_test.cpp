#include "supervisor/process/notify_socket.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "common/clock.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct NotifyFixture {
  TempDir dir;
  Loop loop;
  bool believed = true;
  std::vector<pid_t> asked;
  std::vector<Notification> told;
  std::unique_ptr<NotifySocket> socket;

  explicit NotifyFixture(const std::string& file = "notify") { open(file); }

  void open(const std::string& file) {
    NotifySocket::Hooks hooks;
    hooks.belongs = [this](pid_t pid) {
      asked.push_back(pid);
      return believed;
    };
    hooks.on_message = [this](const Notification& message) { told.push_back(message); };
    auto bound = NotifySocket::bind(dir.path(file));
    REQUIRE(bound);
    socket = std::make_unique<NotifySocket>(loop, std::move(*bound), std::move(hooks));
  }

  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const std::string& name = socket->address();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = offsetof(sockaddr_un, sun_path) + name.size();
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) == 0);
    return fd;
  }

  void send(const std::string& text) const {
    const UniqueFd fd = connect();
    REQUIRE(::send(fd.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }

  bool ready() const { return !told.empty() && told.back().ready; }
};

}  // namespace

TEST_CASE("notify: what a datagram says") {
  CHECK(parse_notification("READY=1").ready);
  CHECK(parse_notification("MAINPID=3\nREADY=1\nSTATUS=at 3 %\n").ready);
  CHECK(parse_notification("MAINPID=3\nREADY=1\nSTATUS=at 3 %\n").status == "at 3 %");
  for (const char* text : {"", "\n\n", "READY=0", "READY=10", " READY=1", "NOTREADY=1", "ready=1", "STATUS"})
    CHECK(parse_notification(text).empty());
  CHECK(parse_notification("STATUS=\x1b[31mred\xff").status == "\\x1b[31mred\xef\xbf\xbd");
  CHECK(parse_notification("STATUS=" + std::string(5'000, 'a')).status->size() <= 512);
}

TEST_CASE("notify: the socket is ours alone, tells who sent, and goes with its object") {
  NotifyFixture at;
  struct stat info {};
  REQUIRE(::stat(at.socket->address().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  at.send("READY=1\nSTATUS=warm");
  CHECK(run_until(at.loop, [&] { return at.ready(); }));
  CHECK(at.told.back().status == "warm");
  CHECK(at.asked == std::vector<pid_t>{::getpid()});
  const std::string path = at.socket->address();
  at.socket.reset();
  CHECK(run_until(at.loop, [&] { return ::access(path.c_str(), F_OK) != 0; }));
}

TEST_CASE("notify: a process that is not the worker's is not believed") {
  NotifyFixture at;
  at.believed = false;
  at.send("READY=1");
  CHECK(run_until(at.loop, [&] { return !at.asked.empty(); }));
  at.believed = true;
  at.send("STATUS=mine");
  CHECK(run_until(at.loop, [&] { return !at.told.empty(); }));
  CHECK(at.told.size() == 1);
  CHECK_FALSE(at.told[0].ready);
}

TEST_CASE("notify: a path that is too long gets a name without a file") {
  NotifyFixture at(std::string(120, 'n'));
  CHECK(at.socket->address()[0] == '@');
  at.send("READY=1");
  CHECK(run_until(at.loop, [&] { return at.ready(); }));
}

TEST_CASE("notify: the next one takes the place of the file and the old one does not remove it") {
  NotifyFixture at;
  std::unique_ptr<NotifySocket> old = std::move(at.socket);
  at.open("notify");
  old.reset();
  REQUIRE(at.loop.wait_for_pool(Milliseconds(20'000)));
  at.send("READY=1");
  CHECK(run_until(at.loop, [&] { return at.ready(); }));
}

TEST_CASE("notify: descriptors that come along are closed at once, so a barrier ends") {
  NotifyFixture at;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const UniqueFd read_end(ends[0]);
  {
    const UniqueFd write_end(ends[1]);
    const UniqueFd fd = at.connect();
    std::string text = "BARRIER=1";
    iovec bytes{text.data(), text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(3 * sizeof(int))> room{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(3 * sizeof(int));
    const int passed[3] = {ends[1], ends[1], ends[1]};
    std::memcpy(CMSG_DATA(head), passed, sizeof passed);
    REQUIRE(::sendmsg(fd.get(), &message, 0) > 0);
  }
  char byte;
  CHECK(run_until(at.loop, [&] { return ::read(read_end.get(), &byte, 1) == 0; }));
}

TEST_CASE("notify: nonsense, huge and empty datagrams are passed over") {
  NotifyFixture at;
  at.send(std::string(100'000, 'x'));
  at.send("READY=1\n" + std::string(50'000, 'x'));  // cut off, so not believed
  at.send("");
  at.send(std::string("\0\xff\n=\n", 5));
  at.send("STATUS=after all that");
  CHECK(run_until(at.loop, [&] { return !at.told.empty(); }));
  CHECK(at.told.size() == 1);
  CHECK(at.told[0].status == "after all that");
}

TEST_CASE("notify: a flood does not keep the loop from anything else") {
  NotifyFixture at;
  const pid_t flooder = ::fork();
  if (flooder == 0) {
    const UniqueFd fd = at.connect();
    (void)::fcntl(fd.get(), F_SETFL, 0);
    for (;;) (void)!::send(fd.get(), "STATUS=more", 11, MSG_NOSIGNAL);
  }
  int ticks = 0;
  Timer timer(at.loop);
  timer.start_repeating(Milliseconds(1), [&] { ++ticks; });
  CHECK(run_until(at.loop, [&] { return at.told.size() > 200 && ticks > 20; }));
  ::kill(flooder, SIGKILL);
  ::waitpid(flooder, nullptr, 0);
}

}  // namespace zeroth
