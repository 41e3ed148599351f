// JSONTestSuite (https://github.com/nst/JSONTestSuite) as params.value of ping, through a real socket. The suite is not
// part of the repository: ZEROTH_JSON_SUITE names its test_parsing folder, or it is looked for beside the sources.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "common/clock.h"
#include "common/files.h"
#include "supervisor/control/control_server.h"
#include "tests/supervisor/control/raw_client.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

std::string suite_folder() {
  if (const char* given = std::getenv("ZEROTH_JSON_SUITE")) return given;
  for (const char* up : {"/..", "/../.."}) {
    std::string folder = ZEROTH_SOURCE_DIR + std::string(up) + "/shared/data/JSONTestSuite/test_parsing";
    if (std::filesystem::is_directory(folder)) return folder;
  }
  return "";
}

// Whether every answer to these bytes was a success, and there was one.
bool accepted(Loop& loop, const std::string& socket, const std::string& bytes) {
  RawClient client(socket);
  client.send(bytes);
  const MonotonicTime deadline = monotonic_now() + std::chrono::seconds(10);
  std::string line;
  while (!client.next_line(line)) {
    uv_run(loop.uv(), UV_RUN_NOWAIT);
    if (client.ended() || monotonic_now() > deadline) return false;
  }
  return line.find("\"success\":true") != std::string::npos;
}

}  // namespace

TEST_CASE("control: JSONTestSuite is judged as the protocol says") {
  const std::string folder = suite_folder();
  if (folder.empty()) {
    MESSAGE("skipped: no JSONTestSuite (set ZEROTH_JSON_SUITE to its test_parsing folder)");
    return;
  }
  TempDir dir;
  Loop loop;
  const std::string socket = dir.path() + "/control.sock";
  const auto ping = [](const std::shared_ptr<Connection>& c, const Request& r) { c->reply(encode_result(r.id, {})); };
  auto server = ControlServer::listen(loop, socket, true, ping);
  REQUIRE(server.has_value());
  int good = 0, bad = 0;
  std::string refused_good, accepted_bad, open;
  std::set<std::string> accepted_open;  // what the suite leaves to the parser
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    std::string value = *read_file(entry.path());
    if (name[0] != 'n') std::replace(value.begin(), value.end(), '\n', ' ');
    const bool yes = accepted(loop, socket, R"({"id":1,"command":"ping","params":{"value":)" + value + "}}\n");
    good += name[0] == 'y';
    bad += name[0] == 'n';
    if (name[0] == 'y' && !yes) refused_good += name + " ";
    if (name[0] == 'n' && yes) accepted_bad += name + " ";
    if (name[0] == 'i' && yes) accepted_open.insert(name);
    if (name[0] == 'i') open += name + (yes ? ": accepted\n" : ": refused\n");
  }
  MESSAGE("left open by the suite:\n" << open);
  // Numbers too near to zero become zero; everything else that is left open is refused.
  CHECK(accepted_open == std::set<std::string>{"i_number_double_huge_neg_exp.json", "i_number_real_underflow.json"});
  CHECK(good == 95);
  CHECK(bad > 180);
  CHECK(accepted_bad == "");
  CAPTURE(refused_good);
  CHECK(std::count(refused_good.begin(), refused_good.end(), ' ') == 2);
  CHECK(refused_good.find("y_object_duplicated_key.json") != std::string::npos);
  CHECK(refused_good.find("y_object_duplicated_key_and_value.json") != std::string::npos);
}

}  // namespace zeroth
