#include "supervisor/process/user.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("user: by name and by number, with the groups of a login or with another first one") {
  const auto root = find_user("root");
  REQUIRE(root);
  CHECK(root->as.user == 0);
  CHECK(root->as.group == 0);
  CHECK(root->name == "root");
  CHECK(std::count(root->as.groups.begin(), root->as.groups.end(), gid_t(0)) == 1);
  CHECK(root->apart == (::geteuid() != 0));
  const auto number = find_user("0:4711");
  REQUIRE(number);
  CHECK(number->name == "root");
  CHECK(number->as.group == 4711);
  CHECK(std::count(number->as.groups.begin(), number->as.groups.end(), gid_t(4711)) == 1);
  CHECK(number->change);
  const auto nameless = find_user("3999999999:root");
  REQUIRE(nameless);
  CHECK(nameless->as.user == 3999999999);
  CHECK(nameless->as.groups.empty());
  CHECK(nameless->name == "3999999999");
}

TEST_CASE("user: what is none is told in words") {
  CHECK(find_user("no such user").error().message == "there is no user 'no such user'");
  CHECK(find_user("no such user").error().code == ENOENT);
  CHECK(find_user("root:no such group").error().message == "there is no group 'no such group'");
  CHECK(find_user("3999999999").error().message.find("give 3999999999:GROUP") != std::string::npos);
  for (const char* none : {"", ":", "root:", ":root", "4294967295:0", "-1:0", "root:4294967295"})
    CHECK_MESSAGE(!find_user(none), none);
}

TEST_CASE("user: becoming another takes privileges, staying who we are takes none") {
  const auto us = find_user(std::to_string(::geteuid()) + ":" + std::to_string(::getegid()));
  REQUIRE(us);
  CHECK_FALSE(us->change);
  CHECK(check_may_become(*us));
  if (::geteuid() == 0) return;
  CHECK(check_may_become(*find_user("root")).error().code == EPERM);
}

TEST_CASE("user: where it cannot come to is named by the first closed folder") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can ask as another user");
    return;
  }
  const TempDir dir;
  const RunAs nobody{65534, 65534, {}};
  std::filesystem::create_directories(dir.path("a/b"));
  REQUIRE(::chmod(dir.path().c_str(), 0711) == 0);
  CHECK(check_enters(nobody, dir.path("a/b")));
  REQUIRE(::chmod(dir.path("a").c_str(), 0700) == 0);
  const Status closed = check_enters(nobody, dir.path("a/b"));
  REQUIRE_FALSE(closed);
  CHECK(closed.error().code == EACCES);
  CHECK(closed.error().message.ends_with(" cannot enter " + dir.path("a")));
}

TEST_CASE("user: a file is ours alone if nobody else can replace it or a folder above it") {
  const TempDir dir;
  std::filesystem::create_directories(dir.path("a/b"));
  const std::string file = dir.write("a/b/file", "x");
  CHECK(check_only_ours(file));
  std::filesystem::create_symlink(dir.path("a/b"), dir.path("link"));
  CHECK(check_only_ours(dir.path("link/file")));
  REQUIRE(::chmod(dir.path("a").c_str(), 0777) == 0);
  CHECK(check_only_ours(file).error().message == dir.path("a") + ": others may write to it");
  CHECK(check_only_ours(dir.path("link/file")).error().code == EPERM);
  REQUIRE(::chmod(dir.path("a").c_str(), 0755) == 0);
  REQUIRE(::chmod(file.c_str(), 0666) == 0);
  CHECK_FALSE(check_only_ours(file));
  CHECK(check_only_ours(dir.path("none")).error().code == ENOENT);
}

}  // namespace zeroth
