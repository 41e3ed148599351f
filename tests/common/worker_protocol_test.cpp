#include "common/worker_protocol.h"

#include <doctest/doctest.h>

namespace zeroth {
namespace {

Result<Loaded> loaded_with(const Json& migrate) {
  return parse_loaded({{"capabilities", Json::array()}, {"schema", "a/2"}, {"migrate", migrate}});
}

}  // namespace

TEST_CASE("worker protocol: migrate is true or a list of schemas, and survives a round trip") {
  for (const Json& migrate : {Json(true), Json::array({"a/1", "a/0"})}) {
    const auto loaded = loaded_with(migrate);
    REQUIRE(loaded);
    CHECK(to_json(*loaded)["migrate"] == migrate);
  }
  for (const Json& nothing : {Json(false), Json(), Json::array()}) {
    const auto loaded = loaded_with(nothing);
    REQUIRE(loaded);
    CHECK(loaded->migrate.none());
    CHECK_FALSE(to_json(*loaded).contains("migrate"));
  }
}

TEST_CASE("worker protocol: every other migrate is refused by name") {
  for (const Json& bad : {Json(1), Json("a/1"), Json::object(), Json::array({1}), Json::array({"a/1", ""})}) {
    CAPTURE(bad);
    const auto loaded = loaded_with(bad);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().message == "loaded: migrate: expected true or a list of the schemas it can take, each a name");
  }
}

TEST_CASE("worker protocol: a schema has a name of bounded length") {
  CHECK(parse_loaded({{"schema", std::string(kMaxSchema, 's')}}));
  const auto loaded = parse_loaded({{"schema", std::string(kMaxSchema + 1, 's')}});
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message == "loaded: schema: a name of 257 bytes, at most 256 are taken");
  CHECK_FALSE(parse_loaded({{"schema", 7}}));
  CHECK_FALSE(parse_checkpoint_reply({{"unchanged", true}, {"schema", std::string(kMaxSchema + 1, 's')}}));
}

TEST_CASE("schema rule: its own, those it migrates, and whatever has no name") {
  const SchemaRule plain = {"a/2", {}};
  const SchemaRule some = {"a/2", {false, {"a/1"}}};
  const SchemaRule all = {"a/2", {true, {}}};
  for (const SchemaRule& rule : {plain, some, all}) {
    CHECK(rule.takes("a/2"));
    CHECK(rule.takes(""));
    CHECK_FALSE(rule.migrates("a/2"));
    CHECK_FALSE(rule.migrates(""));
  }
  CHECK(SchemaRule{}.takes("a/1"));
  CHECK_FALSE(SchemaRule{}.migrates("a/1"));
  CHECK_FALSE(plain.takes("a/1"));
  CHECK(some.migrates("a/1"));
  CHECK_FALSE(some.takes("a/0"));
  CHECK(all.migrates("a/0"));
  CHECK(plain.refusal("a/1") == "the state has schema a/1, the code has a/2 and announced no migration");
  CHECK(some.refusal("a/0") == "the state has schema a/0, the code has a/2 and migrates only a/1");
}

}  // namespace zeroth
