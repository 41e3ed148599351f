#include "supervisor/fleet/fleet_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "supervisor/fleet/dependencies.h"

namespace zeroth {
namespace {

Options bare() {
  Options base;
  base.origins = {{"state-dir", "default"}, {"control-port", "flag"}};
  return base;
}

FleetFile right(std::string_view text, const Options& base = bare()) {
  auto file = parse_fleet_file(text, "/srv/app/fleet.toml", base);
  if (!file) FAIL(render_text("fleet.toml", file.error()));
  return std::move(*file);
}

std::string wrong(std::string_view text) {
  auto file = parse_fleet_file(text, "/srv/app/fleet.toml", bare());
  return file ? "" : render_text("fleet.toml", file.error());
}

}  // namespace

TEST_CASE("fleet file: a key means what the option of that name means; paths are relative to the file") {
  const FleetFile file = right(R"(
state_dir = "state"
[worker.web]
command = ["python3", "web.py"]
listen = ["web=8080", "unix:web.sock"]
watch = ["web.py", "/etc/hosts"]
env = { PORT = 8080, MOOD = "good" }
limits = { nofile = 64, memory = "512MB", core = "unlimited" }
stop-timeout = 7
backoff_max = "2m"
env_file = [".env", "/etc/app.env"]
no_watch = false
depends_on = "db"
[worker.db]
program = "db.zero"
cwd = "data"
rate = 0.5
)");
  CHECK(file.supervisor.state_dir == "/srv/app/state");
  REQUIRE(file.workers.size() == 2);
  const Options& web = file.workers[0].options;
  CHECK(file.workers[0].name == "web");
  CHECK(file.workers[0].depends_on == std::vector<std::string>{"db"});
  CHECK(web.command == std::vector<std::string>{"python3", "web.py"});
  CHECK(web.listen == std::vector<std::string>{"web=8080", "unix:/srv/app/web.sock"});
  CHECK(web.watch == std::vector<std::string>{"/srv/app/web.py", "/etc/hosts"});
  CHECK(web.env == std::vector<std::string>{"MOOD=good", "PORT=8080"});
  CHECK(web.env_files == std::vector<std::string>{"/srv/app/.env", "/etc/app.env"});
  CHECK(web.limits == std::vector<std::pair<int, std::uint64_t>>{
                          {RLIMIT_CORE, ~std::uint64_t(0)}, {RLIMIT_AS, 512u << 20}, {RLIMIT_NOFILE, 64}});
  CHECK(web.stop_timeout == Milliseconds(7'000));
  CHECK(web.backoff_max == Milliseconds(120'000));
  CHECK(web.checkpoint_interval == Milliseconds(1'000));
  CHECK(web.cwd == "/srv/app");
  CHECK(web.state_dir.empty());
  CHECK(web.origins["backoff-max"] == "fleet.toml:10");
  const Options& db = file.workers[1].options;
  CHECK(db.program == "/srv/app/db.zero");
  CHECK(db.cwd == "/srv/app/data");
  CHECK(db.rate == 0.5);
}

TEST_CASE("fleet file: what the command line says of the supervisor counts for more") {
  Options base = bare();
  base.control_port = 1;
  const FleetFile file = right("control_port = 2\n[worker.a]\ncommand = [\"true\"]\n", base);
  CHECK(file.supervisor.control_port == 1);
  CHECK_FALSE(file.workers[0].options.control_port.has_value());
}

TEST_CASE("fleet file: moving lines is no change, another value is one") {
  const std::string text = "[worker.a]\ncommand = [\"true\"]\nmin_uptime = \"1s\"\n";
  const Options a = right(text).workers[0].options;
  CHECK(same_settings(a, right("\n\n# moved\n" + text).workers[0].options));
  CHECK_FALSE(same_settings(a, right(text + "strict = true\n").workers[0].options));
}

TEST_CASE("fleet file: replicas are workers of their own that share the rest, also an address") {
  const FleetFile file = right(R"(
[worker.web]
command = ["python3", "web.py"]
replicas = 3
listen = 8080
[worker.front]
command = ["true"]
depends_on = ["db", "web"]
[worker.db]
command = ["true"]
[worker.lone]
command = ["true"]
replicas = 1
)");
  std::vector<std::string> names;
  for (const FleetWorker& one : file.workers) names.push_back(one.name);
  CHECK(names == std::vector<std::string>{"web-1", "web-2", "web-3", "front", "db", "lone-1"});
  CHECK(file.workers[1].group == "web");
  CHECK(file.workers[1].options.name == "web-2");
  CHECK(file.workers[1].options.listen == std::vector<std::string>{"8080"});
  CHECK(file.workers[3].group.empty());
  CHECK(file.workers[3].depends_on == std::vector<std::string>{"db", "web-1", "web-2", "web-3"});
}

TEST_CASE("fleet file: replicas that cannot be are told with their place") {
  const std::string worker = "[worker.a]\ncommand = [\"true\"]\n";
  CHECK(wrong(worker + "replicas = 0\n").find("fleet.toml:3:12: error: 'replicas' is a number from 1 to 256") == 0);
  CHECK(wrong(worker + "replicas = 257\n").find("fleet.toml:3:12: ") == 0);
  CHECK(wrong(worker + "replicas = \"2\"\n").find("fleet.toml:3:12: ") == 0);
  CHECK(wrong(worker + "replicas = 2\n[worker.a-2]\ncommand = [\"true\"]\n").find("'a-2' is already a worker") !=
        std::string::npos);
  CHECK(wrong(worker + "replicas = 2\ndepends_on = [\"a\"]\n").find("a cycle: ") != std::string::npos);
  CHECK(wrong(worker + "replicas = 2\nlisten = 80\n[worker.b]\ncommand = [\"true\"]\nlisten = 80\n")
            .find("is listened on by worker 'a' already") != std::string::npos);
  CHECK(wrong("[worker." + std::string(63, 'a') + "]\ncommand = [\"true\"]\nreplicas = 2\n").find("too long") !=
        std::string::npos);
  CHECK(wrong(worker + "cron = \"61 * * * *\"\n").find("minute '61': expected 0 to 59") != std::string::npos);
}

TEST_CASE("fleet file: every kind of mistake has its place") {
  const std::string worker = "[worker.a]\ncommand = [\"true\"]\n";
  CHECK(wrong(worker).empty());
  CHECK(wrong("[worker.a]\n").find("fleet.toml:1:") == 0);
  CHECK(wrong("watch = \"x\"\n" + worker).find("it belongs to a worker") != std::string::npos);
  CHECK(wrong("[worker.run]\ncommand = [\"true\"]\n").find("a name of the supervisor's own") != std::string::npos);
  CHECK(wrong("[worker.\"a b\"]\ncommand = [\"true\"]\n").find("no name of a worker") != std::string::npos);
  CHECK(wrong(worker + "program = \"x.zero\"\n").find("not both") != std::string::npos);
  CHECK(wrong(worker + "protocol = \"yes\"\n").find("fleet.toml:3:12: error: 'protocol' is true or false") == 0);
  CHECK(wrong(worker + "max_failures = -1\n").find("fleet.toml:3:16: error: max_failures: ") == 0);
  CHECK(wrong(worker + "limits = { nofil = 1 }\n").find("did you mean 'nofile'?") != std::string::npos);
  CHECK(wrong(worker + "limits = { nofile = \"many\" }\n").find("fleet.toml:3:21: error: a limit is") == 0);
  CHECK(wrong(worker + "user = \"no such user\"\n").find("fleet.toml:3:8: error: user: there is no user") == 0);
  CHECK(wrong(worker + "user = \"root\"\n").empty());
  CHECK(wrong(worker + "user = 0\n").empty());
  CHECK(wrong(worker + "user = [\"root\"]\n").find("fleet.toml:3:8: error: 'user' is text or a number") == 0);
  CHECK(wrong(worker + "env = { A = [] }\n").find("fleet.toml:3:13: error: expected text or a number") == 0);
  CHECK(wrong(worker + "listen = \"nowhere\"\n").find("fleet.toml:1:") == 0);
  CHECK(
      wrong(worker + "listen = 80\n[worker.b]\ncommand = [\"true\"]\nlisten = 80\n").find("fleet.toml:6:10: error: ") ==
      0);
  CHECK(wrong("worker = 3\n").find("unknown key 'worker'") != std::string::npos);
  CHECK(wrong("\xff").find("not UTF-8") != std::string::npos);
}

TEST_CASE("dependencies: a cycle is named from its beginning, and the order of a start respects the file's") {
  CHECK(find_cycle({{"a", {"b"}}, {"b", {"c"}}, {"c", {"b"}}}) == std::vector<std::string>{"b", "c", "b"});
  CHECK(find_cycle({{"a", {"a"}}}) == std::vector<std::string>{"a", "a"});
  CHECK(find_cycle({{"a", {"b", "c"}}, {"b", {"c"}}, {"c", {}}}).empty());
  CHECK(start_order({"z", "a", "m"}, {{"z", {"m"}}, {"a", {}}, {"m", {}}}) == std::vector<std::string>{"m", "z", "a"});
}

TEST_CASE("fleet file: a state file lies beside it, and is asked for once a minute unless it says otherwise") {
  const FleetFile file = right(R"(
[worker.cache]
command = ["redis-server"]
state_file = "dump.rdb"
state_command = "redis-cli save"
[worker.often]
command = ["daemon"]
state_file = "/var/lib/daemon.state"
state_signal = "USR1"
checkpoint_interval = 5
[worker.never]
command = ["daemon"]
state_file = "at-its-end"
)");
  REQUIRE(file.workers.size() == 3);
  const auto of = [&](const std::string& name) {
    for (const auto& worker : file.workers) {
      if (worker.name == name) return worker.options;
    }
    return Options();
  };
  CHECK(of("cache").state_file == "/srv/app/dump.rdb");
  CHECK(of("cache").state_command == "redis-cli save");
  CHECK(of("cache").checkpoint_interval == Milliseconds(60'000));
  CHECK(of("often").state_file == "/var/lib/daemon.state");
  CHECK(of("often").state_signal == "USR1");
  CHECK(of("often").checkpoint_interval == Milliseconds(5'000));
  CHECK(of("never").checkpoint_interval == Milliseconds(0));
  CHECK(wrong("[worker.a]\ncommand = [\"b\"]\nstate_signal = \"USR1\"\n").find("go with --state-file") !=
        std::string::npos);
}

}  // namespace zeroth
