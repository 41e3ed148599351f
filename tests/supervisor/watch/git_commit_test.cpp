#include "supervisor/watch/git_commit.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/run_process.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

namespace fs = std::filesystem;

const std::string kFirst(40, 'a'), kSecond(40, 'b');

}  // namespace

TEST_CASE("git commit: of the branch, packed or not, of a detached head, of a linked tree; none is none") {
  const TempDir folder;
  fs::create_directories(folder.path("tree/.git/refs/heads/x"));
  fs::create_directories(folder.path("tree/src/deep"));
  CHECK(git_commit_of(folder.path("tree/src/deep")).empty());
  folder.write("tree/.git/HEAD", "ref: refs/heads/x/main\n");
  CHECK(git_commit_of(folder.path("tree/src/deep")).empty());  // nothing is committed yet
  folder.write("tree/.git/packed-refs", "# pack-refs with: peeled\n" + kSecond + " refs/heads/other\n" + kFirst +
                                            " refs/heads/x/main\n^" + kSecond + "\n");
  CHECK(git_commit_of(folder.path("tree/src/deep")) == kFirst);
  folder.write("tree/.git/refs/heads/x/main", kSecond + "\n");
  CHECK(git_commit_of(folder.path("tree/src/deep")) == kSecond);

  fs::create_directories(folder.path("tree/.git/worktrees/linked"));
  fs::create_directories(folder.path("linked"));
  folder.write("linked/.git", "gitdir: ../tree/.git/worktrees/linked\n");
  folder.write("tree/.git/worktrees/linked/commondir", "../..\n");
  folder.write("tree/.git/worktrees/linked/HEAD", "ref: refs/heads/x/main\n");
  CHECK(git_commit_of(folder.path("linked")) == kSecond);
  folder.write("tree/.git/worktrees/linked/HEAD", kFirst + "\n");
  CHECK(git_commit_of(folder.path("linked")) == kFirst);
}

TEST_CASE("git commit: a head that leads elsewhere, or says something else, is none") {
  const TempDir folder;
  fs::create_directories(folder.path(".git"));
  folder.write("outside", kFirst + "\n");
  for (const char* head : {"ref: ../outside\n", "ref: /etc/hostname\n", "what\n", "", "ref: \n"}) {
    folder.write(".git/HEAD", head);
    CHECK(git_commit_of(folder.path()).empty());
  }
  CHECK(git_commit_of(folder.path("nowhere")).empty());
}

TEST_CASE("git commit: as git itself says") {
  const TempDir folder;
  const auto git = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"git", "-C", folder.path(), "-c", "user.name=t", "-c", "user.email=t@t"});
    return run_process(words);
  };
  if (git({"init", "-q"}).exit_code != 0) {
    MESSAGE("skipped: no git");
    return;
  }
  REQUIRE(git({"commit", "-q", "--allow-empty", "-m", "x"}).exit_code == 0);
  CHECK(git_commit_of(folder.path()) + "\n" == git({"rev-parse", "HEAD"}).out);
  REQUIRE(git({"pack-refs", "--all"}).exit_code == 0);
  CHECK(git_commit_of(folder.path()) + "\n" == git({"rev-parse", "HEAD"}).out);
}

}  // namespace zeroth
