#include "worker/cli/run_command.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/support/temp_dir.h"
#include "tests/worker/vm/programs.h"
#include "worker/language/zfile.h"

namespace zeroth {
namespace {

// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string path = std::filesystem::temp_directory_path() / "zeroth-run-XXXXXX";
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ / name; }
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

int run_with(const Program& program, std::vector<std::string> words) {
  const TempDir folder;
  words.push_back(folder.write("program.z", encode(program)));
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  return run_command(pointers);
}

}  // namespace

TEST_CASE("run: a run split in two by a file ends in the state of one run") {
  const Folder folder;
  REQUIRE(run_with(day_program(),
                   {"--iterations", "40", "--observe-at", "30,5", "--state-out", folder.file("whole")}) == 0);
  REQUIRE(run_with(day_program(), {"--iterations", "20", "--observe-at=5", "--state-out", folder.file("half")}) == 0);
  REQUIRE(run_with(day_program(), {"--iterations=20", "--observe-at=10", "--state-in", folder.file("half"),
                                   "--state-out", folder.file("half")}) == 0);
  CHECK(read(folder.file("half")) == read(folder.file("whole")));
  CHECK(folder.count() == 2);
  const State state = decode_state(read(folder.file("whole"))).value();
  CHECK(state.iteration == 40);
  REQUIRE(state.observations.total() == 2);
  CHECK(state.observations.items()[0].iteration == 5);
  CHECK(state.observations.items()[0].timestamp == 0);
  CHECK(state.observations.items()[1].iteration == 30);
}

TEST_CASE("run: a halflife given is the one used and stored") {
  const Folder folder;
  REQUIRE(run_with(day_program(), {"--iterations", "1", "--halflife", "1e300", "--state-out", folder.file("s")}) == 0);
  CHECK(decode_state(read(folder.file("s"))).value().halflife == 1e300);
}

TEST_CASE("run: bad options are usage errors") {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"--iterations", "x"},
           {"--iterations", "5", "--halflife", "0"},
           {"--iterations", "5", "--halflife", "nan"},
           {"--iterations", "5", "--observe-at", "0"},
           {"--iterations", "5", "--observe-at", "6"},
           {"--iterations", "5", "--observe-at", "1,,2"},
           {"--iterations", "5", "--observe-at", ""},
       }) {
    CHECK(run_with(day_program(), words) == 2);
  }
}

TEST_CASE("run: a missing state is 66, a damaged one 1, and nothing is written") {
  const Folder folder;
  const auto run_from = [&](const char* name) {
    return run_with(day_program(),
                    {"--iterations", "1", "--state-in", folder.file(name), "--state-out", folder.file("out")});
  };
  CHECK(run_from("missing") == 66);
  std::ofstream(folder.file("damaged")) << "{";
  CHECK(run_from("damaged") == 1);
  CHECK(folder.count() == 1);
}

TEST_CASE("run: a state that cannot be written is an error") {
  const Folder folder;
  CHECK(run_with(day_program(), {"--iterations", "1", "--state-out", folder.file("no/such/folder")}) == 1);
}

}  // namespace zeroth
