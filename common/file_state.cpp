#include "common/file_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base64.h"
#include "common/files.h"
#include "common/json_check.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

constexpr std::string_view kTagged = "{\"$bytes\":\"";
constexpr std::string_view kTaggedEnd = "\"}";
constexpr std::size_t kBytePiece = 3 * 256 * 1024;      // of bytes: whole groups of base64
constexpr std::size_t kTextPiece = kBytePiece / 3 * 4;  // of their text
constexpr std::size_t kTagHead = 64;                    // bytes in which the tag is looked for
constexpr JsonLimits kSmall = {64, 1'000'000, false};   // what any reader takes inside a message

bool is_json_blank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// The tag as we write it, also after somebody has indented it; "" if it is not there.
bool begins_tagged(std::string_view head) {
  std::string dense;
  for (const char c : head) {
    if (!is_json_blank(c)) dense += c;
  }
  return dense.starts_with(kTagged);
}

Result<std::string> read_tag_head(int fd, std::uint64_t offset, std::uint64_t length) {
  std::string head(static_cast<std::size_t>(std::min<std::uint64_t>(length, kTagHead)), '\0');
  auto got = read_at(fd, head.data(), head.size(), offset);
  if (!got) return fail(std::move(got.error()));
  head.resize(*got);
  return head;
}

// May it stand in a snapshot as it is? Small ones also travel inside messages, where less is taken.
Result<bool> is_plain_json(int fd, std::uint64_t size) {
  if (size == 0) return false;
  auto head = read_tag_head(fd, 0, size);
  if (!head) return fail(std::move(head.error()));
  if (begins_tagged(*head)) return false;
  if (size > kInlineStateBytes) return check_json(fd, 0, size).has_value();
  std::string text(static_cast<std::size_t>(size), '\0');
  auto got = read_at(fd, text.data(), text.size(), 0);
  if (!got) return fail(std::move(got.error()));
  const auto parsed = parse_json(text, kSmall);
  return parsed && parsed->duplicate_key.empty();
}

Result<std::uint64_t> write_tagged(int file, std::uint64_t size, int to, std::uint64_t offset) {
  std::uint64_t at = offset;
  const auto put = [&](std::string_view text) {
    Status written = write_all_at(to, text, at);
    at += text.size();
    return written;
  };
  if (Status done = put(kTagged); !done) return fail(done.error());
  std::string bytes;
  for (std::uint64_t from = 0; from < size; from += bytes.size()) {
    bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBytePiece, size - from)));
    auto got = read_at(file, bytes.data(), bytes.size(), from);
    if (!got) return fail(std::move(got.error()));
    if (*got != bytes.size()) return fail("it became shorter while it was read", EAGAIN);
    std::string text;
    base64_append(text, bytes);
    if (Status done = put(text); !done) return fail(done.error());
  }
  if (Status done = put(kTaggedEnd); !done) return fail(done.error());
  return at - offset;
}

Status decode_piece(std::string_view text, int to, std::uint64_t& at) {
  std::string bytes(base64_decoded_size(text), '\0');
  if (Status decoded = base64_decode(text, bytes.data()); !decoded) return decoded;
  Status written = write_all_at(to, bytes, at);
  at += bytes.size();
  return written;
}

// `text`: what lies between the quotes.
Status decode_tagged(std::string_view text, int to) {
  std::uint64_t at = 0;
  for (std::size_t from = 0; from < text.size(); from += kTextPiece) {
    if (Status done = decode_piece(text.substr(from, kTextPiece), to, at); !done) return done;
  }
  return {};
}

Status decode_tagged(int file, std::uint64_t begin, std::uint64_t end, int to) {
  std::uint64_t at = 0;
  std::string text;
  for (std::uint64_t from = begin; from < end; from += text.size()) {
    text.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kTextPiece, end - from)));
    auto got = read_at(file, text.data(), text.size(), from);
    if (!got) return fail(std::move(got.error()));
    if (*got != text.size()) return fail("the state is cut short");
    if (Status done = decode_piece(text, to, at); !done) return done;
  }
  return {};
}

}  // namespace

SeenFile seen_file(const struct stat& info) {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {static_cast<std::uint64_t>(info.st_dev), static_cast<std::uint64_t>(info.st_ino),
          static_cast<std::uint64_t>(info.st_size), info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec};
}

bool is_json_name(std::string_view path) {
  return path.ends_with(".json");
}

bool is_no_file(std::string_view state) {
  return state.empty() || state == kNoFile;
}

Result<std::uint64_t> encode_file(int file, bool json_only, int to, std::uint64_t offset) {
  struct stat before {
  }, after{};
  if (::fstat(file, &before) != 0) return fail(last_error("stat"));
  if (!S_ISREG(before.st_mode)) return fail("not a regular file");
  const std::uint64_t size = static_cast<std::uint64_t>(before.st_size);
  const auto plain = is_plain_json(file, size);
  if (!plain) return fail(plain.error());
  if (!*plain && json_only) return fail("it is not whole JSON", EAGAIN);
  auto written = *plain ? copy_bytes(file, 0, to, offset, size).map([size] { return size; })
                        : write_tagged(file, size, to, offset);
  if (!written) return written;
  if (::fstat(file, &after) != 0) return fail(last_error("stat"));
  if (seen_file(before) != seen_file(after)) return fail("it was written to while it was read", EAGAIN);
  return written;
}

Status decode_file(std::string_view state, int to) {
  if (!begins_tagged(state.substr(0, kTagHead))) return write_all_at(to, state, 0);
  const auto parsed = parse_json(state);
  if (!parsed) return fail(parsed.error());
  return decode_tagged(parsed->value["$bytes"].get_ref<const std::string&>(), to);
}

Status decode_file(const StateFile& state, int to) {
  const UniqueFd from(::open(state.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!from) return fail(last_error(state.path));
  auto head = read_tag_head(from.get(), state.offset, state.length);
  if (!head) return fail(std::move(head.error()));
  if (!begins_tagged(*head)) return copy_bytes(from.get(), state.offset, to, 0, state.length);
  if (!head->starts_with(kTagged)) {  // indented by somebody: small enough to be read as a whole
    std::string text(static_cast<std::size_t>(state.length), '\0');
    auto got = read_at(from.get(), text.data(), text.size(), state.offset);
    if (!got) return fail(std::move(got.error()));
    return decode_file(text, to);
  }
  const std::uint64_t end = state.offset + state.length - kTaggedEnd.size();
  return decode_tagged(from.get(), state.offset + kTagged.size(), end, to);
}

}  // namespace zeroth
