#include "supervisor/watch/default_targets.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("default targets: what was asked for, else the program, else the command's folder") {
  using Targets = std::vector<std::string>;
  CHECK(watch_targets({"a", "b"}, {"p.zero", {}, "/w", ""}) == Targets{"a", "b"});
  CHECK(watch_targets({}, {"p.zero", {}, "/w", ""}) == Targets{"p.zero"});
  CHECK(watch_targets({}, {"", {"python3", "shop.py"}, "/w", ""}) == Targets{"/w"});
  CHECK(watch_targets({"a"}, {"", {"python3", "shop.py"}, "/w", ""}) == Targets{"a"});
}

TEST_CASE("default targets: words of the command that are files are the program itself") {
  const TempDir dir;
  dir.write("shop.py", "");
  const std::string real = std::filesystem::canonical(dir.path("shop.py")).string();
  CHECK(files_named_by({"", {"python3", "shop.py", "--port", "80", "."}, dir.path(), ""}) == std::vector{real});
  CHECK(files_named_by({"", {"python3", dir.path("shop.py")}, "/", ""}) == std::vector{real});
  CHECK(files_named_by({"p.zero", {}, "/", ""}).empty());
}

TEST_CASE("default targets: neither the root nor a home is watched as a whole") {
  using Targets = std::vector<std::string>;
  const TempDir home;
  home.write("bot.py", "");
  const std::string real = std::filesystem::canonical(home.path("bot.py")).string();
  CHECK(watch_targets({}, {"", {"python3", "bot.py"}, home.path(), home.path() + "/"}) == Targets{real});
  CHECK(watch_targets({}, {"", {"sleep", "9"}, "/", home.path()}).empty());
  CHECK(watch_targets({"/"}, {"", {"sleep", "9"}, "/", home.path()}) == Targets{"/"});
  CHECK_FALSE(is_too_wide(home.path("project"), home.path()));
  CHECK_FALSE(is_too_wide("/srv", ""));
}

}  // namespace zeroth
