#include "supervisor/process/memory_room.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

// A file of the kernel's, as it would be found below the folder.
void put(const TempDir& root, const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(root.path(path)).parent_path());
  root.write(path, text);
}

}  // namespace

TEST_CASE("memory room: what the machine has, or the tightest control group above us") {
  const TempDir root;
  const auto room = [&] { return memory_room(root.path()); };
  CHECK_FALSE(room());
  put(root, "proc/meminfo", "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n");
  CHECK(room() == 1'024'000);
  put(root, "proc/self/cgroup", "0::/a.slice/b.service\n");
  CHECK(room() == 1'024'000);
  SUBCASE("version 2") {
    const std::string above = "sys/fs/cgroup/a.slice/", ours = above + "b.service/";
    put(root, ours + "memory.max", "max\n");
    put(root, ours + "memory.current", "5000\n");
    CHECK(room() == 1'024'000);
    put(root, ours + "memory.max", "9000\n");
    CHECK(room() == 4'000);
    put(root, ours + "memory.stat", "anon 4000\ninactive_file 500\nactive_file 300\nslab_reclaimable 200\nslab 250\n");
    CHECK(room() == 5'000);
    put(root, above + "memory.max", "6000\n");
    put(root, above + "memory.current", "5500\n");
    CHECK(room() == 500);
    put(root, above + "memory.current", "7000\n");  // more than it may, for a moment
    CHECK(room() == 0);
  }
  SUBCASE("version 1, beside an empty hierarchy of version 2") {
    put(root, "proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory_not:/x\n3:memory:/job\n0::/\n");
    const std::string ours = "sys/fs/cgroup/memory/job/";
    put(root, ours + "memory.limit_in_bytes", "9223372036854771712\n");
    put(root, ours + "memory.usage_in_bytes", "700000\n");
    CHECK(room() == 1'024'000);
    put(root, ours + "memory.limit_in_bytes", "800000\n");
    put(root, ours + "memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
    CHECK(room() == 150'000);
  }
  SUBCASE("a group that is not seen from in here") {
    put(root, "sys/fs/cgroup/memory.max", "3000\n");
    put(root, "sys/fs/cgroup/memory.current", "1000\n");
    CHECK(room() == 2'000);
  }
}

TEST_CASE("memory room: a process takes some, its children too, and one that is gone none") {
  const std::uint64_t alone = memory_of_tree(::getpid());
  CHECK(alone > 100'000);
  CHECK(memory_of_tree(0) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  CHECK(memory_of_tree(::getpid()) > alone + alone / 4);  // it shares much of ours, and that counts again
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

}  // namespace zeroth
