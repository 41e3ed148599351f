#include "supervisor/instance/instance_lock.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <barrier>
#include <cstring>
#include <thread>

#include "common/files.h"
#include "supervisor/instance/instance_record.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("instance lock: two at the same instant, one winner, 200 of 200") {
  const TempDir folder;
  int one_winner = 0;
  for (int round = 0; round < 200; ++round) {
    std::barrier start(2), end(2);
    std::atomic<int> winners = 0;
    const auto contend = [&] {
      start.arrive_and_wait();
      const auto lock = InstanceLock::take(folder.path());
      if (lock) ++winners;
      if (!lock) CHECK(lock.error().code == EWOULDBLOCK);
      end.arrive_and_wait();
    };
    std::thread other(contend);
    contend();
    other.join();
    if (winners == 1) ++one_winner;
    if (round % 10 == 0) ::unlink((folder.path() + "/lock").c_str());
  }
  CHECK(one_winner == 200);
}

TEST_CASE("instance lock: goes with its holder, the file stays") {
  const TempDir folder;
  { CHECK(InstanceLock::take(folder.path())); }
  CHECK(read_file(folder.path() + "/lock"));
  CHECK(InstanceLock::take(folder.path()));
}

TEST_CASE("instance lock: it holds only while the file it locked has that name") {
  const TempDir folder;
  const auto lock = InstanceLock::take(folder.path());
  REQUIRE(lock);
  CHECK(lock->holds(folder.path()));
  ::unlink(folder.path("lock").c_str());
  CHECK_FALSE(lock->holds(folder.path()));
  const auto other = InstanceLock::take(folder.path());
  REQUIRE(other);
  CHECK_FALSE(lock->holds(folder.path()));
  CHECK(other->holds(folder.path()));
}

TEST_CASE("instance lock: hard links, symlinks and folders in its place are refused") {
  const TempDir folder;
  const std::string lock = folder.path() + "/lock", other = folder.path() + "/other";
  REQUIRE(write_file_atomically(other, ""));
  REQUIRE(::link(other.c_str(), lock.c_str()) == 0);
  CHECK(InstanceLock::take(folder.path()).error().code == EPERM);
  ::unlink(lock.c_str());
  REQUIRE(::symlink(other.c_str(), lock.c_str()) == 0);
  CHECK_FALSE(InstanceLock::take(folder.path()));
  ::unlink(lock.c_str());
  REQUIRE(::mkdir(lock.c_str(), 0700) == 0);
  CHECK_FALSE(InstanceLock::take(folder.path()));
}

TEST_CASE("private folder: made 0700; one that others may write to is refused") {
  const TempDir folder;
  const std::string path = folder.path() + "/a/b";
  REQUIRE(prepare_private_folder(path));
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0700);
  REQUIRE(::chmod(path.c_str(), 0755) == 0);
  CHECK(prepare_private_folder(path));
  REQUIRE(::chmod(path.c_str(), 0770) == 0);
  CHECK_FALSE(prepare_private_folder(path));
  REQUIRE(write_file_atomically(folder.path() + "/file", ""));
  CHECK_FALSE(prepare_private_folder(folder.path() + "/file"));
}

namespace {

void bind_socket(const std::string& path) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

}  // namespace

TEST_CASE("instance record: written, read back, its leftovers removed only if it is dead") {
  const TempDir folder;
  const std::string& dir = folder.path();
  CHECK(read_instance_record(dir).error().code == ENOENT);
  InstanceRecord record{"/srv/shop.zero",      "shop",       {"/srv/old.zero"},     dir,
                        dir + "/control.sock", dir + "/pid", "zeroth@shop.service", *identity_of(::getpid())};
  REQUIRE(write_instance_record(dir, record));
  const auto read = read_instance_record(dir);
  REQUIRE(read);
  CHECK(read->identity == record.identity);
  CHECK(read->socket == record.socket);
  CHECK(read->worker == "shop");
  CHECK(read->former == record.former);
  CHECK(read->unit == record.unit);
  CHECK(read->process == record.process);

  REQUIRE(write_pid_file(record.pid_file));
  CHECK(read_file(record.pid_file) == std::to_string(::getpid()) + "\n");
  bind_socket(record.socket);
  CHECK(remove_leftovers(record).empty());
  record.process.start_time -= 1;
  record.process.pid += 1;
  CHECK(remove_leftovers(record).empty());  // the pid file names another process
  record.process.pid -= 1;
  CHECK(remove_leftovers(record) == std::vector<std::string>{record.pid_file, record.socket});
  REQUIRE(write_file_atomically(record.socket, "not a socket"));
  CHECK(remove_leftovers(record).empty());
}

TEST_CASE("pid file: a folder that is not there is named, not a temporary file") {
  const TempDir folder;
  const Status written = write_pid_file(folder.path("missing/pid"));
  REQUIRE_FALSE(written);
  CHECK(written.error().code == ENOENT);
  CHECK(written.error().message == "pid file " + folder.path("missing/pid") + ": no such folder");
}

TEST_CASE("pid file: only our own is removed") {
  const TempDir folder;
  const std::string pid = folder.path("pid");
  REQUIRE(write_file_atomically(pid, std::to_string(::getppid()) + "\n"));
  remove_pid_file(pid);
  CHECK(read_file(pid));
  REQUIRE(write_pid_file(pid));
  remove_pid_file(pid);
  CHECK_FALSE(read_file(pid));
}

TEST_CASE("pid file: one with several names is refused") {
  const TempDir folder;
  const std::string pid = folder.path() + "/pid";
  REQUIRE(write_pid_file(pid));
  REQUIRE(::link(pid.c_str(), (folder.path() + "/other").c_str()) == 0);
  CHECK(write_pid_file(pid).error().code == EPERM);
}

}  // namespace zeroth
