#include "supervisor/watch/glob.h"

#include <algorithm>

namespace zeroth {
namespace {

constexpr std::string_view kSpecial = "*?[\\";

bool in_range(int byte, int first, int last) {
  return byte >= first && byte <= last;
}
bool is_alpha(int byte) {
  return in_range(byte | 0x20, 'a', 'z') && byte < 0x80;
}
bool is_digit(int byte) {
  return in_range(byte, '0', '9');
}
bool is_graph(int byte) {
  return in_range(byte, 0x21, 0x7e);
}

// ASCII, whatever the locale: a rule means the same on every machine.
struct CharacterClass {
  std::string_view name;
  bool (*has)(int byte);
};
constexpr CharacterClass kClasses[] = {
    {"alnum", [](int c) { return is_alpha(c) || is_digit(c); }},
    {"alpha", is_alpha},
    {"blank", [](int c) { return c == ' ' || c == '\t'; }},
    {"cntrl", [](int c) { return c < 0x20 || c == 0x7f; }},
    {"digit", is_digit},
    {"graph", is_graph},
    {"lower", [](int c) { return in_range(c, 'a', 'z'); }},
    {"print", [](int c) { return in_range(c, 0x20, 0x7e); }},
    {"punct", [](int c) { return is_graph(c) && !is_alpha(c) && !is_digit(c); }},
    {"space", [](int c) { return c == ' ' || in_range(c, '\t', '\r'); }},
    {"upper", [](int c) { return in_range(c, 'A', 'Z'); }},
    {"xdigit", [](int c) { return is_digit(c) || (in_range(c | 0x20, 'a', 'f') && c < 0x80); }},
};

constexpr char kUnreached = 0, kInside = 1, kReached = 2;

}  // namespace

// git takes the literal beginning off a pattern before it looks for wildcards, so a `**` right behind it counts as one
// at the beginning.
Glob::Glob(std::string_view pattern) {
  const std::size_t wild = std::min(pattern.find_first_of(kSpecial), pattern.size());
  prefix_ = pattern.substr(0, wild);
  malformed_ = !compile(pattern.substr(wild));
}

bool Glob::compile(std::string_view pattern) {
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char byte = pattern[at];
    if (byte == '\\') {
      if (++at == pattern.size()) return false;
      tokens_.push_back({Kind::Literal, pattern[at]});
    } else if (byte == '?') {
      tokens_.push_back({Kind::Any});
    } else if (byte == '[') {
      if (!compile_set(pattern, at)) return false;
    } else if (byte == '*') {
      const bool begins = at == 0 || pattern[at - 1] == '/';
      const std::size_t end = std::min(pattern.find_first_not_of('*', at), pattern.size());
      const std::string_view rest = pattern.substr(end);
      const bool whole = end - at > 1 && begins && (rest.empty() || rest.starts_with('/') || rest.starts_with("\\/"));
      const bool folders = whole && rest.starts_with('/');
      tokens_.push_back({folders ? Kind::Folders : whole ? Kind::Path : Kind::Name});
      at = folders ? end : end - 1;
    } else {
      tokens_.push_back({Kind::Literal, byte});
    }
  }
  return true;
}

// From the bracket at `at` to its end, where `at` is left.
bool Glob::compile_set(std::string_view pattern, std::size_t& at) {
  const auto byte_at = [&](std::size_t index) {
    return index < pattern.size() ? static_cast<unsigned char>(pattern[index]) : 0;
  };
  Bytes bytes;
  ++at;
  const bool negated = byte_at(at) == '!' || byte_at(at) == '^';
  if (negated) ++at;
  int previous = 0;  // what a range may begin with
  for (bool first = true; first || byte_at(at) != ']'; first = false, ++at) {
    int byte = byte_at(at);
    if (byte == 0) return false;
    if (byte == '\\') {
      byte = byte_at(++at);
      if (byte == 0) return false;
      bytes.set(static_cast<std::size_t>(byte));
    } else if (byte == '-' && previous != 0 && byte_at(at + 1) != 0 && byte_at(at + 1) != ']') {
      int last = byte_at(++at);
      if (last == '\\') last = byte_at(++at);
      if (last == 0) return false;
      for (int each = previous; each <= last; ++each) bytes.set(static_cast<std::size_t>(each));
      byte = 0;
    } else if (byte == '[' && byte_at(at + 1) == ':') {
      const std::size_t end = pattern.find(']', at + 2);
      if (end == std::string_view::npos) return false;
      if (end > at + 2 && byte_at(end - 1) == ':') {
        if (!add_class(pattern.substr(at + 2, end - 1 - (at + 2)), bytes)) return false;
        at = end;
        byte = 0;
      } else {
        bytes.set('[');
      }
    } else {
      bytes.set(static_cast<std::size_t>(byte));
    }
    previous = byte;
  }
  if (negated) bytes.flip();
  bytes.reset('/');
  tokens_.push_back({Kind::Set, 0, sets_.size()});
  sets_.push_back(bytes);
  return true;
}

bool Glob::add_class(std::string_view name, Bytes& bytes) {
  const auto found = std::ranges::find(kClasses, name, &CharacterClass::name);
  if (found == std::end(kClasses)) return false;
  for (int byte = 0; byte < 256; ++byte) {
    if (found->has(byte)) bytes.set(static_cast<std::size_t>(byte));
  }
  return true;
}

bool Glob::takes(const Token& token, char byte) const {
  switch (token.kind) {
    case Kind::Literal:
      return token.byte == byte;
    case Kind::Any:
      return byte != '/';
    case Kind::Set:
      return sets_[token.set].test(static_cast<unsigned char>(byte));
    case Kind::Folders:
      return byte == '/';
    case Kind::Name:
    case Kind::Path:
      return false;
  }
  return false;
}

bool Glob::open_ended(std::size_t index) const {
  return index < tokens_.size() && (tokens_[index].kind == Kind::Name || tokens_[index].kind == Kind::Path ||
                                    tokens_[index].kind == Kind::Folders);
}

// All ways through the tokens at once: at[i] says whether the first i of them can have taken the text so far.
bool Glob::matches(std::string_view text, std::size_t* steps) const {
  if (malformed_ || !text.starts_with(prefix_)) return false;
  text.remove_prefix(prefix_.size());
  if (tokens_.empty()) return text.empty();
  const std::size_t count = tokens_.size();
  std::string at(count + 1, kUnreached);
  const auto skip_empty = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      const bool passes = tokens_[i].kind == Kind::Folders ? at[i] == kReached : at[i] != kUnreached;
      if (open_ended(i) && passes) at[i + 1] = kReached;
    }
  };
  at[0] = kReached;
  skip_empty();
  if (steps != nullptr) *steps += count + 1;
  for (const char byte : text) {
    if (steps != nullptr) *steps += count + 1;
    bool alive = false;
    for (std::size_t i = count + 1; i-- > 0;) {
      const bool stays = at[i] != kUnreached && open_ended(i) && (byte != '/' || tokens_[i].kind != Kind::Name);
      const bool moves = i > 0 && at[i - 1] != kUnreached && takes(tokens_[i - 1], byte);
      at[i] = moves ? kReached : stays ? kInside : kUnreached;
      alive = alive || at[i] != kUnreached;
    }
    if (!alive) return false;
    skip_empty();
  }
  return at[count] == kReached;
}

}  // namespace zeroth
