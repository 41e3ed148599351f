#include "common/files.h"
#include "common/unix_socket.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// Of a process that was, until now.
std::string dead_pid() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  REQUIRE(pid > 0);
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  return std::to_string(pid);
}

}  // namespace

TEST_CASE("files: temporary files of dead processes are removed, all others stay") {
  const TempDir folder;
  const std::string dead = dead_pid(), alive = std::to_string(::getppid()), ours = std::to_string(::getpid());
  for (const std::string& name : {".pid." + dead + ".tmp", ".instance.json." + dead + ".tmp", ".pid." + ours + ".tmp"})
    folder.write(name, "left behind");
  const std::vector<std::string> kept = {
      ".pid." + alive + ".tmp", "pid." + dead + ".tmp", ".pid." + dead, ".pid." + dead + "x.tmp",
      "." + dead + ".tmp",      ".pid.-1.tmp",          ".pid..tmp"};
  for (const std::string& name : kept) folder.write(name, "another's");
  CHECK(remove_dead_temporaries(folder.path(), "instance.json") ==
        std::vector<std::string>{".instance.json." + dead + ".tmp"});
  CHECK(remove_dead_temporaries(folder.path()).size() == 2);
  CHECK(remove_dead_temporaries(folder.path()).empty());
  for (const std::string& name : kept) CHECK_MESSAGE(std::filesystem::exists(folder.path(name)), name);
  CHECK(remove_dead_temporaries(folder.path("missing")).empty());
}

TEST_CASE("files: a dead process's socket that got no name is removed, one that has a name stays") {
  const TempDir folder;
  const std::string dead = "." + dead_pid();
  REQUIRE(listen_privately(folder.path("named")));
  REQUIRE(listen_privately(folder.path(dead)));
  folder.write("." + dead_pid(), "no socket");
  CHECK(remove_dead_temporaries(folder.path(), "named").empty());
  CHECK(remove_dead_temporaries(folder.path()) == std::vector<std::string>{dead});
}

}  // namespace zeroth
