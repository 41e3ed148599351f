#include "supervisor/snapshot/state_diff.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <random>

#include "common/files.h"
#include "common/message.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

struct TextFile {
  explicit TextFile(const std::string& text)
      : fd(::open(dir.write("state", "skipped" + text + "and this").c_str(), O_RDONLY | O_CLOEXEC)),
        scan(fd.get(), 7, text.size()) {}
  TempDir dir;
  UniqueFd fd;
  JsonScan scan;
};

Result<StateDiff> diff_of(const std::string& a, const std::string& b) {
  TextFile first(a), second(b);
  return diff_states(first.scan, second.scan);
}

Json diff(const std::string& a, const std::string& b) {
  const auto found = diff_of(a, b);
  if (!found) FAIL(found.error().message);
  return to_json(*found);
}

bool same(const std::string& a, const std::string& b) {
  return diff(a, b)["total"] == 0;
}

}  // namespace

TEST_CASE("diff: what was added, removed and changed, by pointer") {
  const Json found = diff(R"({"visits":{"anna":3,"ben":1},"list":[1,2,3],"name":"x","old":null})",
                          R"({"visits":{"anna":5,"carl":{"n":1}},"list":[1,7],"name":"x","new":[true]})");
  CHECK(found["changed"] == Json::parse(R"({"/visits/anna":{"from":3,"to":5},"/list/1":{"from":2,"to":7}})"));
  CHECK(found["added"] == Json::parse(R"({"/visits/carl":{"n":1},"/new":[true]})"));
  CHECK(found["removed"] == Json::parse(R"({"/visits/ben":1,"/list/2":3,"/old":null})"));
  CHECK(found["total"] == 7);
  CHECK(found["counts"] == Json::parse(R"({"added":2,"removed":3,"changed":2})"));
}

TEST_CASE("diff: members of the whole that are named are passed over, wherever they stand") {
  TextFile a(R"({"kept":1,"gone":{"x":1},"other":[1,2],"in":{"other":1}})");
  TextFile b(R"({"in":{"other":2},"new":3,"other":"text","kept":1})");
  const auto found = diff_states(a.scan, b.scan, {"gone", "new", "other"});
  REQUIRE(found);
  CHECK(to_json(*found)["total"] == 1);
  CHECK(found->changed.contains("/in/other"));
}

TEST_CASE("diff: names are escaped as RFC 6901 says, and told apart by what they decode to") {
  const Json found = diff(R"({"a/b":1,"m~n":1,"":1," ":1,"é":1,"x\ty":1})",
                          R"({"a\/b":2,"m~n":2,"":2," ":2,"\u00e9":2,"x\u0009y":2})");
  CHECK(found["changed"].size() == 6);
  for (const char* pointer : {"/a~1b", "/m~0n", "/", "/ ", "/é", "/x\ty"}) CHECK(found["changed"].contains(pointer));
  CHECK(diff("1", "2")["changed"].contains(""));
}

TEST_CASE("diff: spelling, white space and order make no difference") {
  CHECK(same(R"({"a":1,"b":[1.0,"A\ud83d\ude00/"],"c":{"d":1,"e":2}})",
             " {\"c\" : {\"e\":2, \"d\":1e0},\n\"b\":[1,\"\\u0041\xf0\x9f\x98\x80\\/\"],\"a\":1 } "));
  CHECK_FALSE(same(R"({"a":1,"b":2})", R"({"b":1,"a":2})"));
}

TEST_CASE("diff: numbers are compared by value") {
  for (const auto& [a, b] : {std::pair("1", "1.0"),
                             {"1", "1e0"},
                             {"100", "1E+2"},
                             {"0.1", "0.10"},
                             {"-0", "0"},
                             {"0", "0e5"},
                             {"0.1", "0.1000000000000000055511151231257827"},
                             {"1e400", "10e399"},
                             {"12300", "1.23e4"},
                             {"0.00123", "123e-5"}}) {
    CAPTURE(a);
    CHECK(same_number(a, b));
    CHECK(same(a, b));
  }
  for (const auto& [a, b] : {std::pair("1", "2"),
                             {"1", "-1"},
                             {"9007199254740993", "9007199254740992"},
                             {"1", "10"},
                             {"9007199254740993", "9007199254740992.0"},
                             {"1e400", "1e401"},
                             {"0.1", "0.11"}}) {
    CAPTURE(a);
    CHECK_FALSE(same_number(a, b));
    CHECK_FALSE(same(a, b));
  }
}

TEST_CASE("diff: another type is a change, and a wrapped text counts as one value") {
  CHECK(diff(R"({"a":1})", R"({"a":"1"})")["changed"]["/a"] == Json::parse(R"({"from":1,"to":"1"})"));
  CHECK(diff(R"({"a":[]})", R"({"a":{}})")["total"] == 1);
  const Json block =
      diff(R"({"v":{"f64":"AAAA"},"n":{"$bytes":"AAAA"}})", R"({"v":{"f64":"BBBB"},"n":{"$bytes":"AAAA"}})");
  CHECK(block["changed"] == Json::parse(R"({"/v":{"from":{"f64":"AAAA"},"to":{"f64":"BBBB"}}})"));
  CHECK(diff(R"({"f64":"A","x":1})", R"({"f64":"B","x":1})")["changed"].contains("/f64"));
}

TEST_CASE("diff: the first 1,000 are shown, all are counted, and the reply fits into a message") {
  std::string a = "{", b = "{";
  for (int i = 0; i < 3'000; ++i) {
    const std::string name = (i > 0 ? ",\"" : "\"") + std::to_string(i) + std::string(400, '\x7f') + "\":";
    a += name + "\"" + std::string(i, 'x') + "\"";
    b += name + "[[{\"y\":" + std::to_string(i) + "}],2,3]";
  }
  const Json found = diff(a + "}", b + "}");
  CHECK(found["total"] == 3'000);
  CHECK(found["changed"].size() > 100);
  CHECK(found["changed"].size() <= 1'000);
  const std::string line = encode_result(1, found);
  CHECK(line.size() < kMaxLine);
  CHECK(decode_message(std::string_view(line).substr(0, line.size() - 1)));
  std::string small = "[0", other = "[1";
  for (int i = 0; i < 1'500; ++i) small += ",{\"a\":1}", other += ",{\"b\":[1,2,3]}";
  const Json many = diff(small + "]", other + "]");
  CHECK(many["total"] == 3'001);
  CHECK(many["added"].size() + many["removed"].size() + many["changed"].size() == 1'000);
  const std::string reply = encode_result(1, many);
  CHECK(decode_message(std::string_view(reply).substr(0, reply.size() - 1)));
}

TEST_CASE("diff: a long value and a long name are shortened for everybody to see") {
  const std::string longer(1'000, 'n');
  const Json found = diff("{\"v\":\"" + std::string(500, 'a') + "\"}", "{\"v\":1,\"" + longer + "\":[1]}");
  CHECK(found["changed"]["/v"]["from"]["bytes"] == 502);
  CHECK(found["changed"]["/v"]["from"]["$shortened"].get<std::string>().size() == 100);
  const std::string pointer = found["added"].begin().key();
  CHECK(pointer.size() < 200);
  CHECK(pointer.find("(1001 bytes, ") != std::string::npos);
}

TEST_CASE("diff: what is no JSON fails with its place, and never worse") {
  for (const char* text : {"", "{", "[1,", "[1,]", "{\"a\"}", "{\"a\":1,}", "{\"a\":01}", "nul", "\"abc", "\"\\x\"",
                           "\"\\ud800\"", "1 2", "{\"a\":1}}", "[1 2]", "-", "1.", "{1:2}", "\"\x01\"", "[}"}) {
    CAPTURE(text);
    CHECK_FALSE(diff_of(text, text));
    CHECK_FALSE(diff_of("[{\"a\":1}]", text));
    TextFile file(text);
    CHECK_FALSE((file.scan.skip_value() && file.scan.at_end()));
  }
  const auto failed = diff_of("[1,x]", "[1,2]");
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "the state of a: not JSON at byte 3: expected a value");
  CHECK_FALSE(diff_of(std::string(100'000, '['), std::string(100'000, '[')));
}

TEST_CASE("diff: nesting deeper than 200 is compared as one value") {
  const std::string open(500, '['), close(500, ']');
  CHECK(same(open + "1" + close, open + "1" + close));
  CHECK(diff(open + "1" + close, open + "2" + close)["total"] == 1);
}

// Random documents: what a diff says, applied to the one, gives the other.
TEST_CASE("diff: applied to the one document it gives the other") {
  std::mt19937 random(7);
  const auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  std::function<Json(int)> make = [&](int depth) -> Json {
    switch (pick(depth > 2 ? 2 : 4)) {
      case 0:
        return pick(5);
      case 1:
        return std::string(static_cast<std::size_t>(pick(3)), '/');
      case 2: {
        Json object = Json::object();
        for (int i = pick(4); i > 0; --i) object[std::string(1, static_cast<char>('a' + pick(8)))] = make(depth + 1);
        return object;
      }
      default: {
        Json array = Json::array();
        for (int i = pick(4); i > 0; --i) array.push_back(make(depth + 1));
        return array;
      }
    }
  };
  for (int round = 0; round < 500; ++round) {
    const Json a = {{"s", make(0)}, {"t", make(0)}}, b = {{"t", make(0)}, {"s", make(0)}};
    const Json found = diff(dump(a), dump(b));
    Json patched = a;
    for (const auto& [pointer, value] : found["changed"].items()) patched[Json::json_pointer(pointer)] = value["to"];
    std::vector<std::string> gone;
    for (const auto& [pointer, value] : found["removed"].items()) gone.push_back(pointer);
    for (auto pointer = gone.rbegin(); pointer != gone.rend(); ++pointer) {
      const Json::json_pointer at(*pointer);
      Json& parent = patched[at.parent_pointer()];
      if (parent.is_array()) {
        parent.erase(static_cast<std::size_t>(std::stoul(at.back())));
      } else {
        parent.erase(at.back());
      }
    }
    for (const auto& [pointer, value] : found["added"].items()) patched[Json::json_pointer(pointer)] = value;
    CAPTURE(dump(a));
    CAPTURE(dump(b));
    // Compared without regard to order.
    CHECK(nlohmann::json::parse(dump(patched)) == nlohmann::json::parse(dump(b)));
  }
}

}  // namespace zeroth
