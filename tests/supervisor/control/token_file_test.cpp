#include "supervisor/control/token_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/files.h"
#include "common/secret.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("token: 64 hex digits in a file for its owner alone, another one each time") {
  TempDir dir;
  const std::string path = dir.path("token");
  const auto first = TokenFile::make(path);
  REQUIRE(first.has_value());
  CHECK(first->token().size() == 64);
  CHECK(first->token().find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(dir.read("token") == first->token());
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const auto second = TokenFile::make(path);
  REQUIRE(second.has_value());
  CHECK(second->token() != first->token());
  first->remove();  // it is not the first one's any more
  CHECK(dir.read("token") == second->token());
  second->remove();
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("token: a link, a hard link, another user's file and a folder are refused and left alone") {
  TempDir dir;
  const std::string path = dir.path("token"), precious = dir.write("precious", "precious");
  SUBCASE("symbolic link") {
    REQUIRE(::symlink(precious.c_str(), path.c_str()) == 0);
  }
  SUBCASE("hard link") {
    REQUIRE(::link(precious.c_str(), path.c_str()) == 0);
  }
  SUBCASE("folder") {
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
  }
  SUBCASE("another user's") {
    if (::geteuid() != 0) {
      MESSAGE("skipped: only root can make another user's file");
      return;
    }
    dir.write("token", "theirs");
    REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
  }
  const auto made = TokenFile::make(path);
  REQUIRE_FALSE(made.has_value());
  CHECK(made.error().code == EPERM);
  CHECK(made.error().message.find(path) != std::string::npos);
  CHECK(dir.read("precious") == "precious");
  CHECK(::access(path.c_str(), F_OK) == 0);
}

TEST_CASE("token: the same one is written again when its file was taken away or replaced") {
  TempDir dir;
  auto token = TokenFile::make(dir.path("token"));
  REQUIRE(token.has_value());
  CHECK(*token->keep() == false);
  REQUIRE(::unlink(dir.path("token").c_str()) == 0);
  CHECK(*token->keep() == true);
  CHECK(dir.read("token") == token->token());
  REQUIRE(write_file_atomically(dir.path("token"), "forged").has_value());
  CHECK(*token->keep() == true);
  CHECK(dir.read("token") == token->token());
  CHECK(*token->keep() == false);
}

TEST_CASE("secret: the same only if all of it is") {
  const std::string secret = random_secret(32);
  CHECK(same_secret(secret, secret));
  for (std::size_t i = 0; i < secret.size(); ++i) {
    std::string wrong = secret;
    wrong[i] = static_cast<char>(wrong[i] ^ 1);
    CHECK_FALSE(same_secret(wrong, secret));
  }
  CHECK_FALSE(same_secret("", secret));
  CHECK_FALSE(same_secret(secret.substr(1), secret));
  CHECK_FALSE(same_secret(secret + "0", secret));
}

}  // namespace zeroth
