#include "supervisor/generation/exchange.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "common/files.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct ExchangeFixture {
  Loop loop;
  TempDir folder, ours;
  Exchange exchange{loop, folder.path(), RunAs{::geteuid(), ::getegid(), {}}};

  Exchange::Handle offered() {
    std::optional<Result<Exchange::Handle>> got;
    exchange.offer([&](Result<Exchange::Handle> file) { got = std::move(file); });
    REQUIRE(run_until(loop, [&] { return got.has_value(); }));
    REQUIRE(*got);
    return **got;
  }
  Status taken(const Exchange::Handle& from, std::uint64_t bytes, const StateFile& to) {
    std::optional<Status> got;
    exchange.take_in(from, bytes, to, [&](Status status) { got = std::move(status); });
    REQUIRE(run_until(loop, [&] { return got.has_value(); }));
    return *got;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder.path()), {}));
  }
};

void write_at(const std::string& path, std::string_view text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  REQUIRE(fd);
  REQUIRE(write_all(fd.get(), text));
}

}  // namespace

TEST_CASE_FIXTURE(ExchangeFixture, "exchange: what the worker wrote comes to its place, and the file goes") {
  Exchange::Handle file = offered();
  write_at(file->path, "{\"a\":1}, and more");
  const StateFile to{ours.write("draft", "head"), 4, 0};
  REQUIRE(taken(file, 7, to));
  CHECK(ours.read("draft") == "head{\"a\":1}");
  CHECK(files() == 1);
  file.reset();
  CHECK(run_until(loop, [&] { return files() == 0; }));
}

TEST_CASE_FIXTURE(ExchangeFixture, "exchange: less than was announced is an error, and another file is never read") {
  const Exchange::Handle file = offered();
  write_at(file->path, "123");
  const StateFile to{ours.write("draft", ""), 0, 0};
  CHECK(taken(file, 4, to).error().message.find("announced 4 bytes and wrote 3") != std::string::npos);
  std::filesystem::remove(file->path);
  std::filesystem::create_symlink(ours.write("secret", "a secret"), file->path);
  CHECK_FALSE(taken(file, 8, to));
  REQUIRE(taken(file, 3, to));
  CHECK(ours.read("draft") == "123");
}

TEST_CASE_FIXTURE(ExchangeFixture, "exchange: a file of holes takes no room of ours") {
  const Exchange::Handle file = offered();
  constexpr std::uint64_t kHoles = std::uint64_t(1) << 40;
  REQUIRE(::truncate(file->path.c_str(), kHoles) == 0);
  const StateFile to{ours.write("draft", ""), 0, 0};
  CHECK(taken(file, kHoles, to).error().message.find("not JSON") != std::string::npos);
  CHECK(ours.read("draft").empty());
}

TEST_CASE_FIXTURE(ExchangeFixture, "exchange: a state is handed out as a copy of its own; a link is not followed") {
  const StateFile state{ours.write("snapshot", "head{\"a\":1}tail"), 4, 7};
  std::optional<Result<Exchange::Handle>> got;
  exchange.hand_out(state, [&](Result<Exchange::Handle> file) { got = std::move(file); });
  REQUIRE(run_until(loop, [&] { return got.has_value(); }));
  REQUIRE(*got);
  CHECK(*read_file((**got)->path) == "{\"a\":1}");
  struct stat info {};
  REQUIRE(::stat((**got)->path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  got.reset();
  std::filesystem::create_symlink(ours.path("snapshot"), ours.path("link"));
  exchange.hand_out({ours.path("link"), 0, 4}, [&](Result<Exchange::Handle> file) { got = std::move(file); });
  REQUIRE(run_until(loop, [&] { return got.has_value(); }));
  CHECK_FALSE(*got);
  CHECK(run_until(loop, [&] { return files() == 0; }));
}

}  // namespace zeroth
