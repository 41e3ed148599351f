#include "worker/language/zfile.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "common/hash.h"

namespace zeroth {
namespace {

Program day() {
  Program program;
  program.states = {"DAWN", "NOON", "D\xc3\x84MMERUNG"};
  program.alignments = {{0, 1, 0.7}, {0, 2, 0.3}};
  program.epsilon = 0.0001;
  return program;
}

// As many states as asked for, s0 and so on, and alignments between the first two.
Program large(std::size_t states, std::size_t alignments) {
  Program program;
  for (std::size_t i = 0; i < states; ++i) program.states.push_back("s" + std::to_string(i));
  program.alignments.assign(alignments, {0, static_cast<std::uint32_t>(states - 1), 0.5});
  program.epsilon = 1;
  return program;
}

// `bytes` with `value` copied over the bytes at `offset`.
template <class T>
std::string with(std::string bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

std::string zfile_error(std::string_view bytes) {
  const auto result = decode(bytes);
  return result ? "none" : result.error().message;
}

void check_round_trip(const Program& program, int version) {
  const std::string bytes = encode(program);
  CHECK(bytes[4] == version);
  const auto decoded = decode(bytes);
  REQUIRE(decoded.has_value());
  CHECK(decoded->states == program.states);
  CHECK(decoded->alignments.size() == program.alignments.size());
  CHECK(decoded->epsilon == program.epsilon);
  CHECK(decoded->seed_potential == program.seed_potential);
  CHECK(decoded->hash == xxh3_hex(bytes));
  CHECK(encode(*decoded) == bytes);
}

constexpr std::size_t kNames = 32;       // offset of the names of day()
constexpr std::size_t kAlignments = 56;  // of its alignments
constexpr std::size_t kSeedAt = 80;      // of its last byte

}  // namespace

TEST_CASE("zfile: the bytes are those of the format's table") {
  Program program;
  program.states = {"A", "BC"};
  program.alignments = {{1, 0, 1.0}};
  program.epsilon = 2;
  const std::string expected(
      "Z0RT\1\0\2\0\1\0\0\0\0\0\0\0\0\0\0\x40\1\0\0\0\0\0\0\0\0\0\0\0"
      "\1\0A\2\0BC\1\0\0\0\0\0\0\0\0\0\xf0\x3f\xff",
      52);
  CHECK(encode(program) == expected);
}

TEST_CASE("zfile: version 1 as long as both counts fit 16 bits, then version 2") {
  check_round_trip(day(), 1);
  check_round_trip(large(65'535, 65'535), 1);
  check_round_trip(large(65'536, 1), 2);
  check_round_trip(large(2, 65'536), 2);
}

TEST_CASE("zfile: a small program in version 2 is read") {
  Program program;
  program.states = {"A"};
  program.epsilon = 1;
  std::string bytes = encode(program);
  bytes = with<std::uint16_t>(with<std::uint16_t>(bytes, 4, 2), 6, 0);
  CHECK(decode(with<std::uint32_t>(bytes, 24, 1)).has_value());
}

TEST_CASE("zfile: the seed flag is kept") {
  Program program = day();
  program.seed_potential = false;
  check_round_trip(program, 1);
}

TEST_CASE("zfile: what is wrong is named with its offset") {
  const std::string good = encode(day());
  REQUIRE(good.size() == kSeedAt + 1);
  CHECK(zfile_error("") == "offset 0: the magic is not Z0RT");
  CHECK(zfile_error(with(good, 0, 'z')) == "offset 0: the magic is not Z0RT");
  CHECK(zfile_error(with<std::uint16_t>(good, 4, 3)) == "offset 4: unknown version 3");
  CHECK(zfile_error(with<std::uint16_t>(good, 6, 0)) == "offset 6: there is no state");
  CHECK(zfile_error(with<std::uint16_t>(good, 6, 17)) == "offset 6: more states than the file can hold");
  CHECK(zfile_error(with<std::uint16_t>(good, 8, 4)) == "offset 8: more alignments than the file can hold");
  CHECK(zfile_error(with<std::uint16_t>(good, 10, 1)) == "offset 10: a reserved field is not 0");
  CHECK(zfile_error(with(good, 12, 0.0)) == "offset 12: epsilon is not a number above 0");
  CHECK(zfile_error(with(good, 12, -1.0)) == "offset 12: epsilon is not a number above 0");
  CHECK(zfile_error(with(good, 12, HUGE_VAL)) == "offset 12: epsilon is not a number above 0");
  CHECK(zfile_error(with<std::uint32_t>(good, 20, 2)) == "offset 20: an unknown flag is set");
  CHECK(zfile_error(with<std::uint32_t>(good, 28, 1)) == "offset 24: a reserved field is not 0");
  CHECK(zfile_error(with(good, kNames, std::uint16_t{0})) == "offset 32: empty name");
  CHECK(zfile_error(with(good, kNames + 3, '\xff')) == "offset 35: a name is not valid UTF-8");
  std::string twice = good;
  twice.replace(kNames + 8, 4, "DAWN");
  CHECK(zfile_error(twice) == "offset 40: a second state of the same name");
  CHECK(zfile_error(with<std::uint16_t>(good, kAlignments, 3)) == "offset 56: no state has this index");
  CHECK(zfile_error(with<std::uint16_t>(good, kAlignments + 2, 3)) == "offset 58: no state has this index");
  CHECK(zfile_error(with<std::uint16_t>(good, kAlignments, 1)) == "offset 58: a state is aligned with itself");
  CHECK(zfile_error(with(good, kAlignments + 4, 1.5)) == "offset 60: strength is not between 0 and 1");
  CHECK(zfile_error(with(good, kAlignments + 4, -1.5)) == "offset 60: strength is not between 0 and 1");
  CHECK(zfile_error(with(good, kAlignments + 4, std::nan(""))) == "offset 60: strength is not between 0 and 1");
  CHECK(zfile_error(with(good, kSeedAt, '\1')) == "offset 80: the seed is not -1");
  CHECK(zfile_error(good + "x") == "offset 81: the file goes on behind its end");
}

TEST_CASE("zfile: counts larger than the file take no memory") {
  std::string bytes = encode(large(65'536, 0));
  CHECK(zfile_error(with<std::uint32_t>(bytes, 24, UINT32_MAX)) == "offset 24: more states than the file can hold");
  CHECK(zfile_error(with<std::uint32_t>(bytes, 28, UINT32_MAX)) == "offset 28: more alignments than the file can hold");
  CHECK(zfile_error(with<std::uint16_t>(bytes, 8, 1)) == "offset 6: a count of version 1 is not 0");
}

TEST_CASE("zfile: a file cut short anywhere is rejected with an offset inside it") {
  const std::string good = encode(day());
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    const std::string error = zfile_error(std::string_view(good).substr(0, size));
    REQUIRE(error.starts_with("offset "));
    CHECK(std::stoul(error.substr(7)) <= size);
  }
}

TEST_CASE("zfile: a changed byte is rejected with an offset or makes another valid program") {
  const std::string good = encode(day());
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int change : {0x01, 0x02, 0x10, 0x7f, 0x80, 0xff}) {
      CAPTURE(at);
      CAPTURE(change);
      const std::string bytes = with(good, at, static_cast<char>(good[at] ^ change));
      const auto result = decode(bytes);
      if (result) {
        CHECK(encode(*result) == bytes);
      } else {
        CHECK(result.error().message.starts_with("offset "));
      }
    }
  }
}

}  // namespace zeroth
