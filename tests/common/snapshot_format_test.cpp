#include "common/snapshot_format.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/files.h"
#include "common/json_reader.h"
#include "common/unique_fd.h"

namespace zeroth {
namespace {

SnapshotEnvelope example() {
  SnapshotEnvelope envelope;
  envelope.sequence = 12;
  envelope.generation = 7;
  envelope.worker = "greeting";
  envelope.identity = envelope.program_path = "/srv/greeting.zero";
  envelope.schema = "zeroth-vm/1";
  envelope.program_hash = std::string(32, 'a');
  envelope.config_fingerprint = "f00d";
  envelope.cause = "periodic";
  envelope.created_at = *parse_rfc3339("2026-01-31T10:02:11.123Z");
  return envelope;
}

UniqueFd memory_file(std::string_view bytes) {
  UniqueFd fd(::memfd_create("snapshot", MFD_CLOEXEC));
  REQUIRE(write_all(fd.get(), bytes));
  return fd;
}

std::string text_of(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  REQUIRE(read_at(fd, text.data(), text.size(), 0));
  return text;
}

std::string sealed(SnapshotEnvelope envelope, std::string_view state) {
  const std::string header = *render_snapshot_header(envelope);
  envelope.state_offset = header.size();
  envelope.length = state.size();
  const UniqueFd fd = memory_file(header + std::string(state));
  REQUIRE(seal_snapshot(fd.get(), envelope));
  return text_of(fd.get());
}

tl::expected<SnapshotEnvelope, SnapshotDefect> verify_text(std::string_view text, std::uint64_t sequence = 12) {
  return verify_snapshot(memory_file(text).get(), sequence);
}

}  // namespace

TEST_CASE("snapshot format: what was sealed is read back, and the whole file is JSON") {
  const std::string text = sealed(example(), R"({"n":1})");
  const auto envelope = verify_text(text);
  REQUIRE(envelope);
  CHECK(envelope->generation == 7);
  CHECK(envelope->worker == "greeting");
  CHECK(envelope->identity == "/srv/greeting.zero");
  CHECK(envelope->schema == "zeroth-vm/1");
  CHECK(envelope->program_hash == std::string(32, 'a'));
  CHECK(envelope->config_fingerprint == "f00d");
  CHECK(envelope->cause == "periodic");
  CHECK(rfc3339(envelope->created_at) == "2026-01-31T10:02:11.123Z");
  CHECK(envelope->length == 7);
  CHECK(envelope->state_offset == 4096);
  const auto whole = parse_json(text);
  REQUIRE(whole);
  CHECK(whole->value["state"]["n"] == 1);
  CHECK(whole->value["end"] == 12);
  CHECK(whole->value["length"] == "0000000000000007");
}

TEST_CASE("snapshot format: the state begins at a multiple of 4,096 for paths of every length") {
  for (std::size_t length = 1; length < 9000; length += 61) {
    SnapshotEnvelope envelope = example();
    envelope.identity = std::string(length, 'p');
    const std::string header = *render_snapshot_header(envelope);
    CHECK(header.size() % 4096 == 0);
    CHECK(header.ends_with("\"state\":\n"));
    const auto read = verify_text(sealed(envelope, "null"));
    REQUIRE(read);
    CHECK(read->state_offset == header.size());
    CHECK(read->identity == envelope.identity);
  }
}

TEST_CASE("snapshot format: a header beyond 1 MiB is refused when it is made") {
  SnapshotEnvelope envelope = example();
  envelope.identity = std::string(1 << 20, 'p');
  CHECK(render_snapshot_header(envelope).error().code == E2BIG);
}

TEST_CASE("snapshot format: names with quotes, line feeds and bytes that are not UTF-8 survive as recorded") {
  SnapshotEnvelope envelope = example();
  envelope.identity = "/srv/\"state\":\n\xff/x";
  const auto read = verify_text(sealed(envelope, "[]"));
  REQUIRE(read);
  CHECK(read->identity == as_recorded(envelope.identity));
  CHECK(read->identity != envelope.identity);
  CHECK(as_recorded("/srv/é") == "/srv/é");
}

TEST_CASE("snapshot format: a flipped bit in any byte is noticed") {
  const std::string text = sealed(example(), R"({"n":[1,2,3]})");
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    INFO("byte ", at);
    CHECK_FALSE(verify_text(damaged));
    damaged[at] = static_cast<char>(text[at] ^ 0x20);  // the other case of a hex digit
    CHECK_FALSE(verify_text(damaged));
  }
}

TEST_CASE("snapshot format: cut short or grown by anything is corrupt") {
  const std::string text = sealed(example(), std::string(3000, ' ') + "1");
  for (std::size_t size = 0; size<text.size(); size += size> 4000 ? 1 : 97) {
    const auto read = verify_text(std::string_view(text).substr(0, size));
    INFO("size ", size);
    REQUIRE_FALSE(read);
    CHECK(read.error().fault == SnapshotFault::Corrupt);
  }
  CHECK_FALSE(verify_text(text + "\n"));
  CHECK_FALSE(verify_text(text + std::string(4096, '\0')));
}

TEST_CASE("snapshot format: under another sequence's name it is corrupt") {
  const auto read = verify_text(sealed(example(), "1"), 13);
  REQUIRE_FALSE(read);
  CHECK(read.error().fault == SnapshotFault::Corrupt);
}

TEST_CASE("snapshot format: a newer version is told apart, whatever follows it") {
  std::string text = R"({"format":"zeroth-snapshot","version":2,"anything":)" + std::string(9000, 'x');
  CHECK(verify_text(text).error().fault == SnapshotFault::Newer);
  text.replace(text.find("2,"), 2, "0,");
  CHECK(verify_text(text).error().fault == SnapshotFault::Corrupt);
}

TEST_CASE("snapshot format: what cannot be read is not called corrupt") {
  const UniqueFd fd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  CHECK(verify_snapshot(-1, 12).error().fault == SnapshotFault::Unreadable);
  CHECK(verify_snapshot(fd.get(), 12).error().fault == SnapshotFault::Corrupt);
}

TEST_CASE("snapshot format: an envelope is read without the state") {
  std::string text = sealed(example(), "[1]");
  text[4097] = '2';
  CHECK_FALSE(verify_text(text));
  CHECK(read_snapshot_envelope(memory_file(text).get(), 12));
}

TEST_CASE("snapshot format: file names and sequences") {
  CHECK(snapshot_name(12) == "snapshot-00000000000000000012.json");
  CHECK(parse_snapshot_name(snapshot_name(12)) == 12);
  CHECK(parse_snapshot_name(snapshot_name(kMaxSequence)) == kMaxSequence);
  for (const char* other :
       {"", "snapshot-12.json", "snapshot-00000000000000000012.json.corrupt", "snapshot-0000000000000000001x.json",
        "snapshot-99999999999999999999.json", ".snapshot-00000000000000000012.json"}) {
    INFO(other);
    CHECK_FALSE(parse_snapshot_name(other));
  }
}

}  // namespace zeroth
