#include "worker/vm/state_codec.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/worker/vm/programs.h"

namespace zeroth {
namespace {

using json = nlohmann::ordered_json;

// A document with something in every part.
std::string rich_document() {
  Program program = plain_program({"A", "B", "C\"\\\n\xC3\xA9"});
  program.epsilon = 1.2;
  Vm vm = Vm::create(program);
  for (int i = 0; i < 400; ++i) {
    vm.step();
    if (i % 50 == 0) (void)vm.observe({.timestamp = i / 3.0});
    if (i % 90 == 10) (void)vm.inject("B", 3);
  }
  (void)vm.set_overlay("A", "B", 0.25);
  Program next = plain_program({"A", "B"});
  Vm after = Vm::create(next);
  after.restore(vm.state());
  (void)after.set_overlay("B", "A", 0.75);
  (void)after.observe({});
  return encode_state(after.state());
}

std::string error_of(const std::string& document) {
  const auto got = decode_state(document);
  return got ? "accepted" : got.error().message;
}

// The error for the rich document with the value at `pointer` replaced.
std::string error_with(const std::string& pointer, const json& value) {
  json document = json::parse(rich_document());
  document[json::json_pointer(pointer)] = value;
  return error_of(document.dump());
}

void check_starts(const std::string& text, const std::string& start) {
  CHECK_MESSAGE(text.substr(0, start.size()) == start, text);
}

void check_error(const std::string& pointer, const json& value, const std::string& message,
                 const std::string& below = "") {
  check_starts(error_with(pointer, value), "state document: " + pointer + below + ": " + message);
}

}  // namespace

TEST_CASE("state document: it is JSON with the members of its schema in order") {
  const json document = json::parse(rich_document());
  std::vector<std::string> keys;
  for (const auto& member : document.items()) keys.push_back(member.key());
  CHECK(keys == std::vector<std::string>{"schema", "iteration", "epsilon", "pressure", "states", "divergence",
                                         "support", "reinforced_at", "observations", "lineage", "dimensions",
                                         "next_dimension", "parked", "overlay", "halflife", "program_hash"});
  CHECK(document["parked"].size() == 1);
  CHECK(document["overlay"].size() == 2);
  CHECK(document["observations"]["records"].size() == 9);
  CHECK(document["dimensions"].size() > 0);
  CHECK(document["lineage"]["records"].size() > 0);
}

TEST_CASE("state document: a fresh state reads as it is written in the language") {
  CHECK(
      encode_state(Vm::create(day_program()).state()) ==
      R"({"schema":"zeroth-vm/1","iteration":0,"epsilon":1e-04,"pressure":0,"states":["DAWN","NOON","DUSK"],)"
      R"("divergence":[-1,0,0],"support":[0,0,0],"reinforced_at":[0,0,0],"observations":{"total":0,"records":[]},)"
      R"("lineage":{"total":0,"records":[]},"dimensions":[],"next_dimension":0,"parked":[],"overlay":[],"halflife":100,)"
      R"("program_hash":"00000000000000000000000000000001"})");
}

TEST_CASE("state document: what was decoded encodes to the same bytes") {
  const std::string document = rich_document();
  CHECK(encode_state(decode_state(document).value()) == document);
}

TEST_CASE("state document: every double reads back to the same bits") {
  State state = Vm::create(numbered_program(8)).state();
  state.divergence = {-0.0, 5e-324, -2.2250738585072014e-308, 0.1, 1e22, -1e290, 1.0 / 3, 123456789012345680.0};
  const State back = decode_state(encode_state(state)).value();
  for (std::size_t k = 0; k < 8; ++k) {
    CHECK(std::bit_cast<std::uint64_t>(back.divergence[k]) == std::bit_cast<std::uint64_t>(state.divergence[k]));
  }
}

TEST_CASE("state document: any bits that are a finite divergence read back, as text and as a block") {
  std::mt19937_64 random(4);
  for (const std::size_t count : {4096, 4097, 20000}) {
    State state = Vm::create(numbered_program(count)).state();
    for (std::size_t k = 0; k < count; ++k) {
      do state.divergence[k] = std::bit_cast<double>(random());
      while (!(std::fabs(state.divergence[k]) <= 1e290));
      state.support[k] = random();
    }
    const std::string document = encode_state(state);
    CHECK((document.find("\"divergence\":{\"f64\":\"") != document.npos) == (count > 4096));
    CHECK((document.find("\"support\":{\"u64\":\"") != document.npos) == (count > 4096));
    const State back = decode_state(document).value();
    CHECK(std::memcmp(back.divergence.data(), state.divergence.data(), count * sizeof(double)) == 0);
    CHECK(back.support == state.support);
    CHECK(json::parse(document).is_object());
  }
}

TEST_CASE("state document: long dimension vectors are blocks too") {
  Program program = numbered_program(5000);
  program.epsilon = 10;
  Vm vm = Vm::create(program);
  vm.step();
  REQUIRE(vm.inject("S4321", 50).has_value());
  (void)vm.observe({});
  const std::string document = encode_state(vm.state());
  CHECK(document.find("\"vector\":{\"i8\":\"") != document.npos);
  CHECK(encode_state(decode_state(document).value()) == document);
}

TEST_CASE("state document: a sink gets it in pieces, and its failure ends the writing") {
  Vm vm = Vm::create(numbered_program(30000));
  std::string whole;
  int pieces = 0;
  REQUIRE(encode_state(vm.state(), [&](std::string_view piece) -> Status {
            whole += piece;
            ++pieces;
            return {};
          }).has_value());
  CHECK(pieces > 5);
  CHECK(whole == encode_state(vm.state()));
  pieces = 0;
  const Status failed = encode_state(vm.state(), [&](std::string_view) -> Status {
    ++pieces;
    return fail("disk full", ENOSPC);
  });
  CHECK(failed.error().code == ENOSPC);
  CHECK(pieces == 1);
}

TEST_CASE("state document: unknown members and white space are ignored") {
  json document = json::parse(rich_document());
  document["future"] = {{"deep", {1, true, nullptr, "x", -1.5e300}}};
  document["observations"]["future"] = false;
  CHECK(encode_state(decode_state(" \n" + document.dump(2) + "\t\r\n").value()) == rich_document());
}

TEST_CASE("state document: wrong types are refused where they stand") {
  check_error("/iteration", "5", "expected a number");
  check_error("/iteration", 1.5, "expected a whole number");
  check_error("/iteration", -1, "expected a whole number");
  check_error("/states", json::object(), "expected an array");
  check_error("/states/1", 7, "expected a string");
  check_error("/divergence/0", "x", "expected a number");
  check_error("/support/0", -1, "expected a whole number");
  check_error("/observations", json::array(), "expected an object");
  check_error("/observations/records/2/projection", json::array(), "expected an object");
  check_error("/lineage/records/0/kind", "birth", "expected \"collapse\" or \"merge\"");
  check_error("/dimensions/0/active", 1, "expected true or false");
  check_error("/program_hash", nullptr, "expected a string");
}

TEST_CASE("state document: lengths that do not agree are refused") {
  check_error("/divergence", {1, 2, 3}, "3 elements for 2 states");
  check_error("/support", {1}, "1 elements for 2 states");
  check_error("/reinforced_at", json::array(), "0 elements for 2 states");
  check_error("/dimensions/0/vector", {1}, "1 elements for 2 states");
  check_error("/states", json::array(), "no state");
  check_error("/observations/total", 3, "below the number of records");
  check_error("/lineage/total", 0, "below the number of records");
}

TEST_CASE("state document: numbers out of range are refused") {
  json document = json::parse(rich_document());
  document["divergence"][1] = "X";
  std::string text = document.dump();
  for (const char* bad : {"1e999", "-1e999", "1e291"}) {
    std::string with = text;
    with.replace(with.find("\"X\""), 3, bad);
    check_starts(error_of(with), "state document: /divergence/1: number out of range");
  }
  for (const char* bad : {"NaN", "Infinity", "-", "+1", "01", "1.", ".5", "1e", "0x1", "null", ""}) {
    std::string with = text;
    with.replace(with.find("\"X\""), 3, bad);
    check_starts(error_of(with), "state document: /divergence");
  }
  check_error("/dimensions/0/vector/1", 2, "number out of range");
  check_error("/dimensions/0/vector/1", 0.5, "expected -1, 0 or 1");
  check_error("/overlay/0/strength", 1.5, "number out of range");
  check_error("/overlay/0/strength", -0.5, "number out of range");
  check_error("/epsilon", 0, "must be above 0");
  check_error("/halflife", -1, "must be above 0");
}

TEST_CASE("state document: blocks are checked like arrays") {
  const auto block = [](auto values) {
    std::string text;
    JsonWriter(text).numbers(std::span<const typename decltype(values)::value_type>(values));
    return json::parse(text);
  };
  std::vector<double> field(5000);
  field[4999] = HUGE_VAL;
  check_error("/divergence", block(field), "number out of range", "/4999");
  field[17] = std::nan("");
  check_error("/divergence", block(field), "number out of range", "/17");
  std::vector<std::int8_t> vector(5000);
  vector[300] = 2;
  check_error("/dimensions/0/vector", block(vector), "expected -1, 0 or 1", "/300");
  check_error("/divergence", block(vector), "expected only 'f64'", "/i8");
  check_error("/divergence", {{"f64", "AAAA"}}, "no whole number of f64 elements", "/f64");
  check_error("/divergence", {{"f64", "AAAAAAAAAA!="}}, "base64: bad character", "/f64");
  check_error("/divergence", {{"f64", "AAAAAAAAAAAAA"}}, "", "/f64");
  check_error("/divergence", json::object(), "missing", "/f64");
}

TEST_CASE("state document: a short array may come as a block") {
  json document = json::parse(rich_document());
  document["support"] = {{"u64", "AQAAAAAAAAACAAAAAAAAAA=="}};
  CHECK(decode_state(document.dump()).value().support == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("state document: repeated names and ids are refused") {
  check_error("/states/1", "A", "'A' is given twice");
  check_error("/states/1", "", "a name has 1 to 65,535 bytes");
  check_error("/states/1", std::string(65536, 'x'), "a name has 1 to 65,535 bytes");
  json document = json::parse(rich_document());
  document["parked"].push_back(document["parked"][0]);
  check_starts(error_of(document.dump()), "state document: /parked/1/name: given twice");
  document = json::parse(rich_document());
  document["overlay"].push_back(document["overlay"][0]);
  check_starts(error_of(document.dump()), "state document: /overlay/2: given twice");
  document = json::parse(rich_document());
  document["dimensions"].push_back(document["dimensions"][0]);
  CHECK(error_of(document.dump()).find("/id: ids must ascend") != std::string::npos);
  check_error("/next_dimension", 0, "not above every id");
}

TEST_CASE("state document: a missing member is named, one given twice too") {
  const json whole = json::parse(rich_document());
  for (const auto& member : whole.items()) {
    json document = whole;
    document.erase(member.key());
    check_starts(error_of(document.dump()), "state document: /" + member.key() + ": missing");
  }
  check_starts(error_of(R"({"schema":"zeroth-vm/1","iteration":1,"iteration":2})"),
               "state document: /iteration: given twice");
  json document = whole;
  document["lineage"]["records"][0].erase("convergence");
  check_starts(error_of(document.dump()), "state document: /lineage/records/0/convergence: missing");
}

TEST_CASE("state document: another schema is refused by name") {
  check_error("/schema", "zeroth-vm/2", "unknown schema 'zeroth-vm/2', this worker reads 'zeroth-vm/1'");
}

TEST_CASE("state document: every shorter text is refused") {
  const std::string document = encode_state(Vm::create(day_program()).state());
  for (std::size_t size = 0; size < document.size(); ++size)
    CHECK_FALSE(decode_state(document.substr(0, size)).has_value());
}

TEST_CASE("state document: text that is not JSON is refused") {
  const std::string document = encode_state(Vm::create(day_program()).state());
  const std::string body = document.substr(1);
  for (const std::string& extra :
       {std::string("\"x\":[1,],"), std::string("\"x\":tru,"), std::string("\"x\":nul,"),
        std::string("\"x\":{\"a\" 1},"), std::string("\"x\":{,},"), std::string("\"x\":\"\x01\","),
        std::string("\"x\":\"a\n\","), std::string("\"x\":\"\xff\","), std::string("\"x\":\"\\ud800\","),
        std::string("\"x\":\"\\udc00\","), std::string("\"x\":\"\\ud800\\u0041\","), std::string("\"x\":\"\\q\","),
        std::string("\"x\":\"\\u12g4\","), std::string("x:1,"), std::string(","),
        "\"x\":" + std::string(70, '[') + std::string(70, ']') + ","}) {
    CHECK_FALSE_MESSAGE(decode_state("{" + extra + body).has_value(), extra);
  }
  CHECK_FALSE(decode_state(document + "x").has_value());
  CHECK_FALSE(decode_state(document + std::string(1, '\0')).has_value());
  CHECK_FALSE(decode_state("[]").has_value());
  CHECK(decode_state("{\"x\":\"\\ud83d\\ude00\\u00e9\\n\\/\"," + body).has_value());
}

TEST_CASE("state document: a path names the member as JSON pointers do") {
  const std::string document = encode_state(Vm::create(day_program()).state());
  check_starts(error_of("{\"a/b~c\":[1,x]," + document.substr(1)),
               "state document: /a~1b~0c/1: expected a number (byte ");
}

TEST_CASE("state document: escapes in names are read as what they mean") {
  std::string document = encode_state(Vm::create(day_program()).state());
  document.replace(document.find("\"NOON\""), 6, "\"\\u004eO\\u004fN\"");
  CHECK(decode_state(document).value().states[1] == "NOON");
}

}  // namespace zeroth
