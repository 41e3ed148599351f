// The ways in which editors, version control and deployments save: each save is one reload, whatever it looks like to
// the file system, and the last content is live in the end.

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/hash.h"
#include "tests/scenario/scenario.h"
#include "tests/support/run_process.h"

namespace zeroth::scenario {
namespace {

namespace fs = std::filesystem;

// Content number `n` of the program.
std::string edition(int n) {
  return std::string(kDay) + "state EXTRA" + std::to_string(n) + "\n";
}

void put_file_at(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::trunc) << content;
}

// Runs a shell command in the program's folder.
void shell(const Daemon& daemon, const std::string& command) {
  const ProcessResult result = run_process({"sh", "-ec", command}, {{"DIR", fs::path(daemon.program()).parent_path()}},
                                           "", Milliseconds(120'000));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
}

// Long enough for every settle time and stand-still to pass: three periodic snapshots.
void let_settle(Daemon& daemon) {
  EventStream checkpoints = daemon.events({"checkpoint"});
  for (int i = 0; i < 3; ++i) checkpoints.wait_for("checkpoint");
}

struct EditorDaemon : Daemon {
  explicit EditorDaemon(const std::string& content)
      : Daemon(content, {"--rate", "1000", "--checkpoint-interval", "100ms"}) {}

  // One save happened: one reload, to this content.
  void expect_one_reload(std::uint64_t generation, const std::string& content) {
    const Json worker = wait_generation(generation);
    CHECK(worker["program_hash"] == xxh3_hex(content));
    let_settle(*this);
    CHECK(this->generation() == generation);
    CHECK(this->worker()["rejected"].is_null());
  }
};

}  // namespace

TEST_CASE("editors: one save in any manner is one reload") {
  EditorDaemon daemon(edition(0));
  const std::string path = daemon.program();
  std::uint64_t generation = 1;
  SUBCASE("in place, as nano does") {
    daemon.write(edition(1));
  }
  SUBCASE("renamed over it, as most do") {
    daemon.write_renamed(edition(1));
  }
  SUBCASE("as vim does: the old one becomes a backup, the new one is made and the backup removed") {
    fs::rename(path, path + "~");
    put_file_at(path, edition(1));
    fs::remove(path + "~");
  }
  SUBCASE("sed -i") {
    shell(daemon, "sed -i s/EXTRA0/EXTRA1/ \"$DIR\"/greeting.zero");
  }
  SUBCASE("a hard link swapped in") {
    put_file_at(path + ".next", edition(1));
    fs::create_hard_link(path + ".next", path + ".link");
    fs::rename(path + ".link", path);
  }
  SUBCASE("as rsync does: a hidden temporary file, its times set, then renamed") {
    const std::string temporary = fs::path(path).parent_path() / ".greeting.zero.Xq3Zab";
    put_file_at(temporary, edition(1));
    fs::last_write_time(temporary, fs::last_write_time(path));
    fs::rename(temporary, path);
  }
  SUBCASE("deleted, and back with new content") {
    fs::remove(path);
    let_settle(daemon);
    CHECK(daemon.generation() == 1);
    put_file_at(path, edition(1));
  }
  SUBCASE("its folder replaced by another") {
    const fs::path folder = fs::path(path).parent_path();
    fs::create_directory(folder.string() + ".next");
    put_file_at(folder.string() + ".next/greeting.zero", edition(1));
    fs::rename(folder, folder.string() + ".old");
    fs::rename(folder.string() + ".next", folder);
  }
  daemon.expect_one_reload(++generation, edition(1));
}

TEST_CASE("editors: what changes no content is no reload") {
  EditorDaemon daemon(edition(0));
  shell(daemon, "touch \"$DIR\"/greeting.zero");
  daemon.write(edition(0));
  daemon.write_renamed(edition(0));
  shell(daemon,
        "chmod 640 \"$DIR\"/greeting.zero; echo x > \"$DIR\"/other.txt; mv \"$DIR\"/other.txt \"$DIR\"/third.txt");
  let_settle(daemon);
  CHECK(daemon.generation() == 1);
  daemon.write_renamed(edition(1));
  daemon.expect_one_reload(2, edition(1));
}

TEST_CASE("editors: a symbolic link pointed elsewhere, and a volume that is swapped as a whole") {
  const TempDir volume;
  for (int n : {0, 1}) {
    fs::create_directory(volume.path("..data_" + std::to_string(n)));
    put_file_at(volume.path("..data_" + std::to_string(n) + "/greeting.zero"), edition(n));
  }
  fs::create_symlink("..data_0", volume.path("..data"));
  EditorDaemon daemon(edition(0));
  CHECK(daemon.terminate() == 0);
  fs::remove(daemon.program());
  fs::create_symlink(volume.path("..data/greeting.zero"), daemon.program());
  daemon.restart(std::vector<std::string>{"--rate", "1000", "--checkpoint-interval", "100ms", "--adopt"});
  const std::uint64_t before = daemon.generation();
  fs::create_symlink("..data_1", volume.path("..data_tmp"));
  fs::rename(volume.path("..data_tmp"), volume.path("..data"));
  daemon.expect_one_reload(before + 1, edition(1));
}

TEST_CASE("editors: one change among twenty thousand other files of its folder is not missed") {
  EditorDaemon daemon(edition(0));
  shell(daemon, "cd \"$DIR\"; i=0; while [ $i -lt 20000 ]; do : > f$i; i=$((i+1)); done");
  daemon.write_renamed(edition(1));
  daemon.expect_one_reload(2, edition(1));
}

TEST_CASE("editors: a checkout of fifty files is one restart, and so is a stash") {
  const TempDir repository;
  const auto git = [&](const std::string& command) {
    const ProcessResult result = run_process({"sh", "-ec", "cd " + repository.path() + "; " + command},
                                             {{"GIT_CONFIG_GLOBAL", "/dev/null"}, {"HOME", repository.path()}});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
  };
  git("git init -q -b main . && git config user.email a@b.c && git config user.name a");
  git("for i in $(seq 50); do echo one > f$i; done; git add . && git commit -qm one");
  git("git checkout -qb other; for i in $(seq 50); do echo two > f$i; done; git commit -qam two; git checkout -q main");
  Daemon daemon("exec sleep 100000\n", {"--watch", repository.path(), Daemon::kMuteCommand, "sh"}, "job.sh");
  git("git checkout -q other");
  CHECK(daemon.wait_generation(2)["last_reload"]["verdict"] == "ok");
  git("echo three > f1; echo three > f2");
  daemon.wait_generation(3);
  git("git stash -q");
  daemon.wait_generation(4);
  git("git stash pop -q");
  daemon.wait_generation(5);
  CHECK(daemon.ask("generations")["total"] == 5);
}

}  // namespace zeroth::scenario
