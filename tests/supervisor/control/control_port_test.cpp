#include "supervisor/control/control_port.h"

#include <doctest/doctest.h>

#include "common/files.h"
#include "tests/support/raw_connection.h"
#include "tests/support/run_until.h"
#include "tests/support/temp_dir.h"

namespace zeroth {

TEST_CASE("control port: whoever handles a request never sees its token, and gets none without") {
  const TempDir dir;
  Loop loop;
  auto port = ControlPort::open(0, dir.path());
  REQUIRE(port.has_value());
  const std::string token = dir.read("token");
  std::vector<Request> handled;
  (*port)->serve(loop, [&](const std::shared_ptr<Connection>& connection, const Request& request) {
    handled.push_back(request);
    connection->reply(encode_result(request.id, Json::object()));
  });
  RawConnection right = RawConnection::to_port((*port)->port()), wrong = RawConnection::to_port((*port)->port());
  right.send(dump(Json{{"id", 1}, {"command", "ping"}, {"token", token}}) + "\n");
  wrong.send(dump(Json{{"id", 2}, {"command", "ping"}, {"token", std::string(64, '0')}}) + "\n");
  std::optional<std::string> yes, no;
  const auto answered = [&] {
    if (!yes) yes = right.line(Milliseconds(0));
    if (!no) no = wrong.line(Milliseconds(0));
    return yes && no;
  };
  CHECK(run_until(loop, answered));
  CHECK(yes.value_or("").find("\"success\":true") != std::string::npos);
  CHECK(no.value_or("").find("unauthorized") != std::string::npos);
  REQUIRE(handled.size() == 1);
  CHECK(handled[0].id == 1);
  CHECK(handled[0].token.is_null());
}

TEST_CASE("control port: after leave() another can bind it, and who is connected stays") {
  const TempDir dir, other;
  Loop loop;
  auto port = ControlPort::open(0, dir.path());
  REQUIRE(port.has_value());
  const std::string token = dir.read("token");
  (*port)->serve(loop, [](const std::shared_ptr<Connection>& connection, const Request& request) {
    connection->reply(encode_result(request.id, Json::object()));
  });
  RawConnection client = RawConnection::to_port((*port)->port());
  const std::string ping = dump(Json{{"id", 1}, {"command", "ping"}, {"token", token}}) + "\n";
  const auto served = [&] {
    client.send(ping);
    return run_until(loop, [&] { return client.line(Milliseconds(0)).has_value(); });
  };
  CHECK(served());
  CHECK(ControlPort::open((*port)->port(), other.path()).error().code == EADDRINUSE);
  (*port)->leave();
  CHECK(ControlPort::open((*port)->port(), other.path()).has_value());
  CHECK(served());
  CHECK_FALSE(read_file(dir.path("token")).has_value());
}

}  // namespace zeroth
