#include "worker/language/zfile.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/hash.h"
#include "common/text.h"
#include "worker/language/symbol_table.h"

namespace zeroth {
namespace {

static_assert(std::endian::native == std::endian::little, "a .z file is copied to and from memory as it is");

constexpr std::uint32_t kSeedFlag = 1;
constexpr std::int8_t kSeed = -1;
constexpr std::size_t kCounts16At = 6;   // version 1: two u16
constexpr std::size_t kCounts32At = 24;  // version 2: two u32

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class Index>
void put_alignments(std::string& out, const Program& program) {
  for (const Alignment& alignment : program.alignments) {
    put(out, static_cast<Index>(alignment.a));
    put(out, static_cast<Index>(alignment.b));
    put(out, alignment.strength);
  }
}

tl::unexpected<Error> wrong(std::size_t offset, std::string_view what) {
  return fail("offset " + std::to_string(offset) + ": " + std::string(what));
}

// Reads one file from front to back; every step fails with the offset of what it found.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}
  Result<Program> run();

 private:
  Status header();
  Status counts();
  Status states();
  Status state_name();
  Status alignments();
  template <class Index>
  Status alignment();
  Status seed();

  std::size_t left() const { return bytes_.size() - at_; }
  bool has(std::size_t size) const { return left() >= size; }
  template <class T>
  T peek(std::size_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  std::uint16_t version_ = 0;
  std::uint32_t state_count_ = 0;
  std::uint32_t alignment_count_ = 0;
  SymbolTable names_;
  Program program_;
};

Result<Program> Decoder::run() {
  for (const auto step : {&Decoder::header, &Decoder::counts, &Decoder::states, &Decoder::alignments, &Decoder::seed}) {
    if (Status status = (this->*step)(); !status) return fail(std::move(status.error()));
  }
  program_.hash = xxh3_hex(bytes_);
  return std::move(program_);
}

Status Decoder::header() {
  constexpr std::size_t kHeaderSize = 32;
  if (bytes_.substr(0, kZfileMagic.size()) != kZfileMagic) return wrong(0, "the magic is not Z0RT");
  if (!has(kHeaderSize)) return wrong(bytes_.size(), "the file ends in its header");
  version_ = peek<std::uint16_t>(4);
  if (version_ != 1 && version_ != 2) return wrong(4, "unknown version " + std::to_string(version_));
  if (peek<std::uint16_t>(10) != 0) return wrong(10, "a reserved field is not 0");
  program_.epsilon = peek<double>(12);
  if (!std::isfinite(program_.epsilon) || program_.epsilon <= 0) return wrong(12, "epsilon is not a number above 0");
  const auto flags = peek<std::uint32_t>(20);
  if ((flags & ~kSeedFlag) != 0) return wrong(20, "an unknown flag is set");
  program_.seed_potential = (flags & kSeedFlag) != 0;
  at_ = kHeaderSize;
  return {};
}

// Checks that the counts fit the file, before memory is taken for them.
Status Decoder::counts() {
  const bool wide = version_ == 2;
  const std::size_t states_at = wide ? kCounts32At : kCounts16At;
  const std::size_t alignments_at = wide ? kCounts32At + 4 : kCounts16At + 2;
  if (wide && peek<std::uint32_t>(kCounts16At) != 0) return wrong(kCounts16At, "a count of version 1 is not 0");
  if (!wide && peek<std::uint64_t>(kCounts32At) != 0) return wrong(kCounts32At, "a reserved field is not 0");
  state_count_ = wide ? peek<std::uint32_t>(states_at) : peek<std::uint16_t>(states_at);
  alignment_count_ = wide ? peek<std::uint32_t>(alignments_at) : peek<std::uint16_t>(alignments_at);
  if (state_count_ == 0) return wrong(states_at, "there is no state");
  constexpr std::uint64_t kSmallestState = 3;
  const std::uint64_t states_size = state_count_ * kSmallestState;
  if (states_size > left()) return wrong(states_at, "more states than the file can hold");
  const std::uint64_t alignment_size = wide ? 16 : 12;
  if (alignment_count_ * alignment_size > left() - states_size) {
    return wrong(alignments_at, "more alignments than the file can hold");
  }
  return {};
}

Status Decoder::states() {
  program_.states.reserve(state_count_);
  for (std::uint32_t i = 0; i < state_count_; ++i) {
    if (Status status = state_name(); !status) return status;
  }
  return {};
}

Status Decoder::state_name() {
  if (!has(2)) return wrong(bytes_.size(), "the file ends among the names");
  const auto size = peek<std::uint16_t>(at_);
  if (size == 0) return wrong(at_, "empty name");
  if (!has(2 + std::size_t{size})) return wrong(bytes_.size(), "the file ends in a name");
  const std::size_t name_at = at_ + 2;
  const std::string_view name = bytes_.substr(name_at, size);
  const std::size_t invalid = find_invalid_utf8(name);
  if (invalid != std::string_view::npos) return wrong(name_at + invalid, "a name is not valid UTF-8");
  if (names_.intern(name) != program_.states.size()) return wrong(name_at, "a second state of the same name");
  program_.states.emplace_back(name);
  at_ = name_at + size;
  return {};
}

Status Decoder::alignments() {
  program_.alignments.reserve(alignment_count_);
  for (std::uint32_t i = 0; i < alignment_count_; ++i) {
    if (Status status = version_ == 2 ? alignment<std::uint32_t>() : alignment<std::uint16_t>(); !status) return status;
  }
  return {};
}

template <class Index>
Status Decoder::alignment() {
  constexpr std::size_t kIndex = sizeof(Index);
  if (!has(2 * kIndex + sizeof(double))) return wrong(bytes_.size(), "the file ends among the alignments");
  const Alignment read = {peek<Index>(at_), peek<Index>(at_ + kIndex), peek<double>(at_ + 2 * kIndex)};
  if (read.a >= state_count_) return wrong(at_, "no state has this index");
  if (read.b >= state_count_) return wrong(at_ + kIndex, "no state has this index");
  if (read.a == read.b) return wrong(at_ + kIndex, "a state is aligned with itself");
  if (!(read.strength >= 0 && read.strength <= 1)) return wrong(at_ + 2 * kIndex, "strength is not between 0 and 1");
  program_.alignments.push_back(read);
  at_ += 2 * kIndex + sizeof(double);
  return {};
}

Status Decoder::seed() {
  if (!has(1)) return wrong(at_, "the file ends before the seed");
  if (peek<std::int8_t>(at_) != kSeed) return wrong(at_, "the seed is not -1");
  if (left() > 1) return wrong(at_ + 1, "the file goes on behind its end");
  return {};
}

}  // namespace

std::string encode(const Program& program) {
  const bool wide = program.states.size() > UINT16_MAX || program.alignments.size() > UINT16_MAX;
  const auto states = static_cast<std::uint32_t>(program.states.size());
  const auto alignments = static_cast<std::uint32_t>(program.alignments.size());
  std::string out(kZfileMagic);
  put<std::uint16_t>(out, wide ? 2 : 1);
  put(out, static_cast<std::uint16_t>(wide ? 0 : states));
  put(out, static_cast<std::uint16_t>(wide ? 0 : alignments));
  put<std::uint16_t>(out, 0);
  put(out, program.epsilon);
  put(out, program.seed_potential ? kSeedFlag : 0);
  put(out, wide ? states : 0);
  put(out, wide ? alignments : 0);
  for (const std::string& name : program.states) {
    put(out, static_cast<std::uint16_t>(name.size()));
    out += name;
  }
  wide ? put_alignments<std::uint32_t>(out, program) : put_alignments<std::uint16_t>(out, program);
  put(out, kSeed);
  return out;
}

Result<Program> decode(std::string_view bytes) {
  return Decoder(bytes).run();
}

}  // namespace zeroth
