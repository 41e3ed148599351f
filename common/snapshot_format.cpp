#include "common/snapshot_format.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "common/files.h"
#include "common/hash.h"
#include "common/json_fields.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

// The header begins with these at fixed places, so that they can be patched and read before anything is parsed.
constexpr std::string_view kMagic = R"({"format":"zeroth-snapshot","version":)";
constexpr std::string_view kBeforeLength = R"(,"length":")";
constexpr std::string_view kBeforeChecksum = R"(","xxh3":")";
constexpr std::string_view kHeaderEnd = "\"state\":\n";
constexpr std::size_t kLengthDigits = 16;
constexpr std::size_t kChecksumDigits = 32;
constexpr std::size_t kLengthAt = kMagic.size() + 1 + kBeforeLength.size();
constexpr std::size_t kChecksumAt = kLengthAt + kLengthDigits + kBeforeChecksum.size();

constexpr std::size_t kBlock = 4096;             // headers are padded to it: a page, and a disk's sector
constexpr std::size_t kMaxHeader = 1 << 20;      // an identity may hold a long argument list
constexpr std::size_t kReadBuffer = 256 * 1024;  // fits in the L2 cache while it is hashed

constexpr std::string_view kNamePrefix = "snapshot-";
constexpr std::string_view kNameSuffix = ".json";
constexpr std::size_t kNameDigits = 20;

using Envelope = tl::expected<SnapshotEnvelope, SnapshotDefect>;

tl::unexpected<SnapshotDefect> corrupt(std::string reason) {
  return tl::unexpected(SnapshotDefect{SnapshotFault::Corrupt, Error{0, std::move(reason)}});
}
tl::unexpected<SnapshotDefect> unreadable(Error error) {
  return tl::unexpected(SnapshotDefect{SnapshotFault::Unreadable, std::move(error)});
}

std::string padded(const std::string& digits, std::size_t width) {
  return std::string(width - std::min(width, digits.size()), '0') + digits;
}

std::string hex16(std::uint64_t number) {
  char digits[kLengthDigits];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, 16).ptr;
  return padded(std::string(digits, end), kLengthDigits);
}

// Lower case only: each number has one spelling, so a flipped bit cannot hide in the case of a digit.
bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::string> read_text(int fd, std::size_t size, std::uint64_t offset) {
  std::string text(size, '\0');
  auto got = read_at(fd, text.data(), size, offset);
  if (!got) return fail(std::move(got.error()));
  text.resize(*got);
  return text;
}

// Of the first block, before anything else is believed: what follows may look different in another version.
std::optional<SnapshotDefect> check_version(std::string_view block) {
  const auto damaged = [](const char* reason) { return SnapshotDefect{SnapshotFault::Corrupt, {0, reason}}; };
  if (!block.starts_with(kMagic)) return damaged("not a snapshot");
  block.remove_prefix(kMagic.size());
  int version = 0;
  const auto [end, error] = std::from_chars(block.data(), block.data() + block.size(), version);
  if (error != std::errc() || end == block.data() + block.size() || *end != ',' || block.front() == '0' || version < 1)
    return damaged("unreadable version");
  if (version == kSnapshotVersion) return std::nullopt;
  return SnapshotDefect{SnapshotFault::Newer,
                        {0, "version " + std::to_string(version) + " is newer than this program"}};
}

// The header up to and with `"state":\n`. That line feed cannot stand inside a JSON string, so the first block that
// ends with it ends the header.
tl::expected<std::string, SnapshotDefect> read_header(int fd) {
  std::string header;
  while (header.size() < kMaxHeader) {
    auto block = read_text(fd, kBlock, header.size());
    if (!block) return unreadable(std::move(block.error()));
    header += *block;
    if (header.size() == block->size()) {
      if (auto defect = check_version(*block)) return tl::unexpected(std::move(*defect));
    }
    if (block->size() < kBlock) return corrupt("cut short in the header");
    if (header.ends_with(kHeaderEnd)) return header;
  }
  return corrupt("header without end");
}

Result<SnapshotEnvelope> parse_fields(const Json& object) {
  SnapshotEnvelope envelope;
  Status status;
  const auto take = [&](const Json& from, const char* name, auto& into) {
    auto value = required_field<std::decay_t<decltype(into)>>(from, name);
    if (value) {
      into = std::move(*value);
    } else if (status) {
      status = fail(std::move(value.error()));
    }
  };
  std::string created_at;
  take(object, "sequence", envelope.sequence);
  take(object, "generation", envelope.generation);
  take(object, "worker", envelope.worker);
  take(object, "identity", envelope.identity);
  take(object, "schema", envelope.schema);
  const Json* program = find_member(object, "program");
  take(program ? *program : Json(), "path", envelope.program_path);
  take(program ? *program : Json(), "hash", envelope.program_hash);
  take(object, "config_fingerprint", envelope.config_fingerprint);
  take(object, "cause", envelope.cause);
  take(object, "created_at", created_at);
  if (const Json* imported = find_member(object, "imported")) {
    SnapshotOrigin& origin = envelope.imported.emplace();
    take(*imported, "sequence", origin.sequence);
    take(*imported, "generation", origin.generation);
    take(*imported, "worker", origin.worker);
    take(*imported, "identity", origin.identity);
  }
  if (!status) return fail(std::move(status.error()));
  const auto time = parse_rfc3339(created_at);
  if (!time) return fail("created_at: not a time");
  envelope.created_at = *time;
  return envelope;
}

Envelope parse_header(const std::string& header) {
  const std::string_view text = header;
  const std::string_view length = text.substr(kLengthAt, kLengthDigits);
  if (!is_hex(length) || !is_hex(text.substr(kChecksumAt, kChecksumDigits)))
    return corrupt("length or checksum damaged");
  auto object = parse_json(header + "null}");
  if (!object || !object->duplicate_key.empty()) return corrupt("header is not JSON");
  auto envelope = parse_fields(object->value);
  if (!envelope) return corrupt("header: " + envelope.error().message);
  std::from_chars(length.data(), length.data() + length.size(), envelope->length, 16);
  envelope->state_offset = header.size();
  return std::move(*envelope);
}

// Over `size` bytes, length's and checksum's digits taken as zeros.
Result<std::string> checksum(int fd, std::uint64_t size) {
  const auto buffer = std::make_unique<char[]>(kReadBuffer);
  Xxh3 hash;
  for (std::uint64_t offset = 0; offset < size;) {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kReadBuffer, size - offset));
    auto got = read_at(fd, buffer.get(), wanted, offset);
    if (!got) return fail(std::move(got.error()));
    if (*got != wanted) return fail("the file shrank while it was read", EIO);
    if (offset == 0) {
      std::fill_n(buffer.get() + kLengthAt, kLengthDigits, '0');
      std::fill_n(buffer.get() + kChecksumAt, kChecksumDigits, '0');
    }
    hash.update({buffer.get(), wanted});
    offset += wanted;
  }
  return hash.hex();
}

// The same of what the file is to be.
Result<std::string> checksum(const SnapshotEnvelope& envelope, std::string_view state) {
  auto header = render_snapshot_header(envelope);
  if (!header) return fail(std::move(header.error()));
  Xxh3 hash;
  hash.update(*header);
  hash.update(state);
  hash.update(render_snapshot_trailer(envelope.sequence));
  return hash.hex();
}

// read_snapshot_envelope, and the checksum that the header claims.
Envelope read_frame(int fd, std::optional<std::uint64_t> sequence, std::string& claimed) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return unreadable(last_error("stat"));
  if (!S_ISREG(info.st_mode)) return corrupt("not a regular file");
  auto header = read_header(fd);
  if (!header) {
    return tl::unexpected(std::move(header.error()));
  }
  auto envelope = parse_header(*header);
  if (!envelope) return envelope;
  claimed = header->substr(kChecksumAt, kChecksumDigits);
  if (sequence && envelope->sequence != *sequence)
    return corrupt("named " + std::to_string(*sequence) + " but holds sequence " + std::to_string(envelope->sequence));
  const std::string trailer = render_snapshot_trailer(envelope->sequence);
  const std::uint64_t rest = static_cast<std::uint64_t>(info.st_size) - envelope->state_offset;
  if (rest < trailer.size() || rest - trailer.size() != envelope->length)
    return corrupt("size is " + std::to_string(info.st_size) + ", not what the header says");
  auto end = read_text(fd, trailer.size(), envelope->state_offset + envelope->length);
  if (!end) return unreadable(std::move(end.error()));
  if (*end != trailer) return corrupt("end damaged");
  return envelope;
}

}  // namespace

Json to_json(const SnapshotEnvelope& envelope) {
  Json json = {{"sequence", envelope.sequence},
               {"generation", envelope.generation},
               {"worker", envelope.worker},
               {"identity", envelope.identity},
               {"schema", envelope.schema},
               {"program", {{"path", envelope.program_path}, {"hash", envelope.program_hash}}},
               {"config_fingerprint", envelope.config_fingerprint},
               {"cause", envelope.cause},
               {"created_at", rfc3339(envelope.created_at)},
               {"bytes", envelope.length}};
  if (const auto& origin = envelope.imported) {
    json["imported"] = {{"sequence", origin->sequence},
                        {"generation", origin->generation},
                        {"worker", origin->worker},
                        {"identity", origin->identity}};
  }
  return json;
}

std::string snapshot_name(std::uint64_t sequence) {
  std::string name(kNamePrefix);
  name += padded(std::to_string(sequence), kNameDigits);
  return name += kNameSuffix;
}

std::optional<std::uint64_t> parse_snapshot_name(std::string_view name) {
  if (name.size() != kNamePrefix.size() + kNameDigits + kNameSuffix.size() || !name.starts_with(kNamePrefix) ||
      !name.ends_with(kNameSuffix)) {
    return std::nullopt;
  }
  const std::string_view digits = name.substr(kNamePrefix.size(), kNameDigits);
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sequence);
  if (error != std::errc() || end != digits.data() + digits.size() || sequence > kMaxSequence) return std::nullopt;
  return sequence;
}

std::string as_recorded(std::string_view text) {
  auto parsed = parse_json(dump(Json::array({std::string(text)})));
  return parsed ? parsed->value[0].get<std::string>() : std::string(text);
}

Result<std::string> render_snapshot_header(const SnapshotEnvelope& envelope) {
  Json fields = to_json(envelope);
  fields.erase("bytes");
  std::string header(kMagic);
  header += std::to_string(kSnapshotVersion);
  header += kBeforeLength;
  header.append(kLengthDigits, '0').append(kBeforeChecksum).append(kChecksumDigits, '0').append("\",");
  header += std::string_view(dump(fields)).substr(1);
  header.back() = ',';  // was the closing brace
  const std::size_t size = (header.size() + kHeaderEnd.size() + kBlock - 1) / kBlock * kBlock;
  if (size > kMaxHeader) return fail("snapshot header larger than 1 MiB", E2BIG);
  header.append(size - kHeaderEnd.size() - header.size(), ' ');
  return header += kHeaderEnd;
}

std::string render_snapshot_trailer(std::uint64_t sequence) {
  return "\n,\"end\":" + std::to_string(sequence) + "}\n";
}

Status seal_snapshot(int fd, const SnapshotEnvelope& envelope, std::optional<std::string_view> state) {
  const std::string trailer = render_snapshot_trailer(envelope.sequence);
  const std::uint64_t end = envelope.state_offset + envelope.length;
  if (auto done = write_all_at(fd, trailer, end); !done) return done;
  auto sum = state ? checksum(envelope, *state) : checksum(fd, end + trailer.size());
  if (!sum) return fail(std::move(sum.error()));
  if (auto done = write_all_at(fd, hex16(envelope.length), kLengthAt); !done) return done;
  return write_all_at(fd, *sum, kChecksumAt);
}

Envelope read_snapshot_envelope(int fd, std::optional<std::uint64_t> sequence) {
  std::string claimed;
  return read_frame(fd, sequence, claimed);
}

Envelope verify_snapshot(int fd, std::optional<std::uint64_t> sequence) {
  std::string claimed;
  auto envelope = read_frame(fd, sequence, claimed);
  if (!envelope) return envelope;
  auto sum =
      checksum(fd, envelope->state_offset + envelope->length + render_snapshot_trailer(envelope->sequence).size());
  if (!sum) return unreadable(std::move(sum.error()));
  if (*sum != claimed) return corrupt("checksum differs");
  return envelope;
}

}  // namespace zeroth
