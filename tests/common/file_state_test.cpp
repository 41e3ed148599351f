#include "common/file_state.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <cerrno>
#include <string>

#include "common/files.h"
#include "common/json_reader.h"
#include "tests/support/temp_dir.h"

namespace zeroth {
namespace {

constexpr std::uint64_t kAt = 4'096;  // where a state begins in the file it is written into

struct Places {
  TempDir dir;

  UniqueFd open(const char* name, int flags = O_RDWR | O_CREAT) const {
    UniqueFd fd(::open(dir.path(name).c_str(), flags | O_CLOEXEC, 0600));
    REQUIRE(fd);
    return fd;
  }
  Result<std::string> encoded(const std::string& bytes, bool json_only = false) const {
    dir.write("file", bytes);
    const UniqueFd from = open("file", O_RDONLY), to = open("state", O_RDWR | O_CREAT | O_TRUNC);
    const auto length = encode_file(from.get(), json_only, to.get(), kAt);
    if (!length) return fail(length.error());
    return dir.read("state").substr(kAt, *length);
  }
  // By its text, and from the file that encoded() has left.
  std::string decoded(const std::string& state) const {
    const UniqueFd by_text = open("by text", O_RDWR | O_CREAT | O_TRUNC);
    const UniqueFd by_file = open("by file", O_RDWR | O_CREAT | O_TRUNC);
    CHECK(decode_file(state, by_text.get()));
    dir.write("state", std::string(kAt, '#') + state + "###");
    CHECK(decode_file(StateFile{dir.path("state"), kAt, state.size()}, by_file.get()));
    CHECK(dir.read("by text") == dir.read("by file"));
    return dir.read("by text");
  }
};

std::string many_bytes(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes += static_cast<char>(i * 7 + i / 251);
  return bytes;
}

}  // namespace

TEST_CASE("file state: JSON stands as it is, and comes back byte by byte") {
  const Places places;
  for (const char* given : {"5\n", "{\n  \"a\": [1, 2]\n}\n", "null", " \"x\"", "[]"}) {
    const std::string text = given;
    CAPTURE(text);
    CHECK(places.encoded(text) == text);
    CHECK(places.decoded(text) == text);
  }
  std::string large = "[";
  while (large.size() < 2 * kInlineStateBytes) large += "12345, ";
  large += "1]\n";
  CHECK(places.encoded(large) == large);
}

TEST_CASE("file state: everything else is tagged bytes, and comes back byte by byte") {
  const Places places;
  const std::string whole(kInlineStateBytes + 1, ' ');
  for (const std::string& bytes :
       {std::string(), std::string("\xff\0\n", 3), std::string("{\"half\":"), std::string(R"({"a":1,"a":2})"),
        std::string("18446744073709551615"), std::string(R"({"$bytes":"AAAA"})"),
        std::string(" {\n\"$bytes\" : \"not even base64\"}"), whole, many_bytes(2'000'001)}) {
    CAPTURE(bytes.size());
    const auto state = places.encoded(bytes);
    REQUIRE(state);
    CHECK(state->starts_with("{\"$bytes\":\""));
    CHECK(parse_json(*state));
    CHECK(places.decoded(*state) == bytes);
  }
}

TEST_CASE("file state: a tag that somebody has indented is understood") {
  const Places places;
  CHECK(places.decoded("{\n  \"$bytes\": \"/wAK\"\n}\n") == std::string("\xff\0\n", 3));
  CHECK_FALSE(decode_file("{\"$bytes\":\"***\"}", places.open("broken").get()));
}

TEST_CASE("file state: where only JSON may be, half of it is an unfinished save") {
  const Places places;
  CHECK(is_json_name("/a/count.json"));
  CHECK_FALSE(is_json_name("/a/dump.rdb"));
  for (const char* torn : {"", "{\"half\":", "[1,2"}) {
    const auto state = places.encoded(torn, true);
    REQUIRE_FALSE(state);
    CHECK(state.error().code == EAGAIN);
  }
  CHECK(places.encoded("[1,2]", true) == "[1,2]");
}

}  // namespace zeroth
