#include "supervisor/instance/identity.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <map>

#include "common/control_protocol.h"
#include "common/files.h"
#include "common/text.h"
#include "supervisor/instance/instance_record.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct Fixture {
  TempDir home;
  std::map<std::string, std::string> variables{{"HOME", home.path()}};

  Result<Folders> choose(const Identity& identity, const FolderOptions& options = {}) {
    return choose_folders(identity, options, [this](const char* name) { return variables[name]; });
  }
  void give(const std::string& folder, const Identity& identity) {
    REQUIRE(make_folders(folder));
    InstanceRecord record;
    record.identity = identity.key;
    REQUIRE(write_instance_record(folder, record));
  }
};

const Identity kShop{"/srv/shop.zero", "shop"}, kOther{"/home/me/shop.zero", "shop"};

}  // namespace

TEST_CASE("names: what is allowed, and what becomes of the rest") {
  for (const char* good : {"a", "web-1", "A.b_c", "..."}) CHECK(is_valid_name(good));
  for (const char* bad : {"", ".", "..", "a/b", "a b", "ä"}) CHECK_FALSE(is_valid_name(bad));
  CHECK(is_valid_name(std::string(64, 'x')));
  CHECK_FALSE(is_valid_name(std::string(65, 'x')));
  CHECK(name_from_stem("shop") == "shop");
  CHECK(name_from_stem("my shop").starts_with("my_shop-"));
  CHECK(name_from_stem("my shop") != name_from_stem("my_shop"));
  for (const std::string& odd : {std::string("my shop"), std::string(".."), std::string(), std::string(300, 'x')})
    CHECK(is_valid_name(name_from_stem(odd)));
}

TEST_CASE("identity: the real path, one for .zero and .z") {
  const TempDir folder;
  REQUIRE(write_file_atomically(folder.path() + "/shop.zero", ""));
  REQUIRE(write_file_atomically(folder.path() + "/shop.z", ""));
  REQUIRE(::symlink((folder.path() + "/shop.zero").c_str(), (folder.path() + "/link").c_str()) == 0);
  const auto source = identify_program(folder.path() + "/shop.zero");
  REQUIRE(source);
  CHECK(source->stem == "shop");
  CHECK(identify_program(folder.path() + "/shop.z")->key == source->key);
  CHECK(identify_program(folder.path() + "/link")->key == source->key);
  CHECK(identify_program(folder.path() + "/none").error().code == ENOENT);
}

TEST_CASE("identity: a command is its folder and arguments, called after its script") {
  const TempDir folder;
  REQUIRE(write_file_atomically(folder.path() + "/app.py", ""));
  const Identity app = identify_command(folder.path(), {"python3", "-u", "app.py"});
  CHECK(app.stem == "app");
  CHECK(app.key != identify_command(folder.path(), {"python3", "-u app.py"}).key);
  CHECK(app.key != identify_command("/", {"python3", "-u", "app.py"}).key);
  CHECK(identify_command(folder.path(), {"npm", "start"}).stem == "npm");
  CHECK(identify_command(folder.path(), {"./server", "app.py"}).stem == "server");
}

TEST_CASE_FIXTURE(Fixture, "folders: defaults, XDG, environment, flag, the later one counts") {
  const std::string usual = home.path() + "/.local/state/zeroth/shop";
  CHECK(choose(kShop)->state == usual);
  CHECK(choose(kShop)->runtime == usual + "/run");
  CHECK(choose(kShop)->socket == usual + "/run/control.sock");
  CHECK(choose(kShop, {.name = "mine"})->state == home.path() + "/.local/state/zeroth/mine");
  variables["XDG_STATE_HOME"] = "relative/is/ignored";
  CHECK(choose(kShop)->state == usual);
  variables["XDG_STATE_HOME"] = "/s";
  variables["XDG_RUNTIME_DIR"] = "/r";
  CHECK(choose(kShop)->state == "/s/zeroth/shop");
  CHECK(choose(kShop)->runtime == "/r/zeroth/shop");
  variables["STATE_DIRECTORY"] = "/var/lib/a:/var/lib/b";
  variables["RUNTIME_DIRECTORY"] = "/run/a";
  CHECK(choose(kShop)->state == "/var/lib/a");
  CHECK(choose(kShop)->runtime == "/run/a");
  variables["ZEROTH_STATE_DIR"] = "/z";
  variables["ZEROTH_RUNTIME_DIR"] = "/zr";
  CHECK(choose(kShop)->state == "/z");
  CHECK(choose(kShop)->runtime == "/zr");
  const auto flags = choose(kShop, {.state_dir = "/f/", .runtime_dir = "/fr"});
  CHECK(flags->state == "/f");
  CHECK(flags->runtime == "/fr");
  CHECK(flags->name == "shop");
}

TEST_CASE_FIXTURE(Fixture, "folders: a stem that is another program's gets a tag, and keeps it") {
  variables["XDG_STATE_HOME"] = home.path();
  const std::string plain = home.path() + "/zeroth/shop";
  give(plain, kOther);
  const auto tagged = choose(kShop);
  REQUIRE(tagged);
  CHECK(tagged->state.size() == plain.size() + 7);
  CHECK(tagged->state.starts_with(plain + "-"));
  CHECK(tagged->name == name_of(tagged->state));
  CHECK(choose(kOther)->state == plain);
  give(tagged->state, kShop);
  REQUIRE(::unlink((plain + "/instance.json").c_str()) == 0);
  CHECK(choose(kShop)->state == tagged->state);
}

TEST_CASE_FIXTURE(Fixture,
                  "folders: --adopt takes the state of the one program of this stem that is gone, of no other") {
  variables["XDG_STATE_HOME"] = home.path();
  const std::string plain = home.path() + "/zeroth/shop";
  CHECK(choose(kShop, {.adopt = true})->state == plain);
  const Identity there{home.path() + ": [\"python3\",\"shop.py\"]", "shop"};
  give(plain, there);
  const auto refused = choose(kShop, {.adopt = true});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find(there.key) != std::string::npos);
  CHECK(choose(kShop, {.name = "shop", .adopt = true})->state == plain);

  const Identity moved{home.path() + "/moved: [\"python3\",\"shop.py\"]", "shop"};
  const std::string left = choose(moved)->state;
  CHECK(left != plain);
  give(left, moved);
  CHECK(choose(kShop, {.adopt = true})->state == left);
  CHECK(choose(there, {.adopt = true})->state == plain);
  const auto seen = states_left_behind(home.path() + "/zeroth", kShop);
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].folder == left);
  CHECK(seen[0].key == moved.key);

  const Identity also{home.path() + "/also: [\"python3\",\"shop.py\"]", "shop"};
  give(choose(also)->state, also);
  const auto unclear = choose(kShop, {.adopt = true});
  REQUIRE_FALSE(unclear);
  CHECK(unclear.error().message.find(also.key) != std::string::npos);
  CHECK(unclear.error().message.find("--name " + name_of(left)) != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "folders: one that was given and is another program's is refused, naming both") {
  give(home.path() + "/data", kOther);
  const auto refused = choose(kShop, {.state_dir = home.path() + "/data"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find(kShop.key) != std::string::npos);
  CHECK(refused.error().message.find(kOther.key) != std::string::npos);
  CHECK(choose(kShop, {.state_dir = home.path() + "/data", .adopt = true}));
  give(home.path() + "/.local/state/zeroth/mine", kOther);
  CHECK_FALSE(choose(kShop, {.name = "mine"}));
  CHECK_FALSE(choose(kShop, {.name = "../mine"}));
  variables["HOME"] = "";
  CHECK_FALSE(choose(kShop));
}

TEST_CASE("socket: a path that is too long is shortened by hash") {
  const std::string fits = "/" + std::string(107 - 1 - 13, 'x'), longer = fits + "x";
  CHECK(control_socket_path(fits) == fits + "/control.sock");
  CHECK(control_socket_path(longer).starts_with("/tmp/zeroth-"));
  CHECK(control_socket_path(longer).size() <= 107);
  CHECK(control_socket_path(longer) != control_socket_path(longer + "y"));
}

}  // namespace zeroth
