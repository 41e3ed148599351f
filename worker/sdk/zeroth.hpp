// Lets a C++ program hand its living state to the process that takes its place.
//
//   #include "zeroth.hpp"
//   int main() {
//     zeroth::Worker w("shop/1");                       // says hello, before heavy work
//     std::map<std::string, int> visits;
//     w.keep("visits", visits);                         // a living variable; what it holds now is the default
//     w.restore();                                      // what it held in the process before
//     while (w.every(0.1)) {                            // or w.serve(…); both end when the worker is to stop
//       auto section = w.atomic();                      // the state is saved between such sections, never inside one
//       ++visits["me"];
//     }
//   }
//
// Without a supervisor the same program simply runs. C++17, Linux, standard library only (with floating-point charconv:
// libstdc++ 11 or later), -pthread: copy this file.
//
// What may be kept: numbers, bool, std::string (UTF-8), vectors, arrays, sets, maps, pairs, tuples, optionals of such,
// zeroth::Value (any of them, found out at run time), and a struct that names its members:
//   struct Ball { double x, v; template <class F> void zeroth_fields(F& field) { field("x", x); field("v", v); } };
// Other types by specialising zeroth::Codec. What cannot be saved as it is, is refused with its place and never changed
// silently. More that a program may say: command, component (start, stop, capture), migrate, on_env, save. Until
// `restore` returns, and up to `ready`, the program must touch nothing outside of itself: the process before it is
// still at work. Make one Worker, in main, before what uses it.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <clocale>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace zeroth {

// What is answered to a request that fails: throw it in a command. `code` is one of the protocol's error codes.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string error_code = "failed", std::string advice = "")
      : std::runtime_error(message), code(std::move(error_code)), hint(std::move(advice)) {}
  std::string code, hint;
};

// Ends what a thread does that would enter a section, or wait, in a worker that is stopping. Need not be caught: then
// the thread stands still until the process ends.
struct Stopped {};

// A value that cannot be saved or read; its place, a JSON pointer, is put together on the way out.
class Unfit : public Error {
 public:
  explicit Unfit(std::string why) : Error(why, "bad_params"), why_(std::move(why)), text_("/: " + why_) {}
  const char* what() const noexcept override { return text_.c_str(); }
  void within(std::string_view step) {
    std::string escaped = "/";
    for (const char c : step) escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    pointer_ = escaped + pointer_;
    text_ = pointer_ + ": " + why_;
  }

 private:
  std::string why_, pointer_, text_;
};

// ---- Values: strict JSON, and a tag for what JSON lacks

class Value;
using Array = std::vector<Value>;

// Members in the order in which they were added. A reference to one lasts until that one is erased.
class Object {
 public:
  using Entry = std::pair<const std::string, Value>;
  Object() = default;
  Object(std::initializer_list<Entry> entries);
  Object(const Object& other);
  Object(Object&&) = default;
  Object& operator=(Object other) noexcept;
  ~Object() = default;

  Value* find(std::string_view key) { return const_cast<Value*>(std::as_const(*this).find(key)); }
  const Value* find(std::string_view key) const;
  Value& operator[](std::string_view key);  // null if it was not there
  bool erase(std::string_view key);
  std::size_t size() const { return entries_.size(); }
  auto begin() { return entries_.begin(); }
  auto end() { return entries_.end(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  friend bool operator==(const Object& a, const Object& b);  // in any order

 private:
  static constexpr std::size_t kFew = 8;  // are looked through one by one
  using Place = std::list<Entry>::iterator;
  std::list<Entry> entries_;
  std::unique_ptr<std::unordered_map<std::string_view, Place>> index_;  // where there are more
  Place place(std::string_view key);
};

struct Bytes {
  std::string data;
};
struct Integer {  // beyond 64 bits, in decimal
  std::string digits;
};
struct Time {  // like 2026-01-31T10:02:11.123Z
  std::string text;
};
struct Tuple {
  Array items;
};
struct Set {  // of different values; their order is kept
  Array items;
};
struct Map {  // with keys of any kind
  std::vector<std::pair<Value, Value>> pairs;
};

class Value {
 public:
  using Kinds = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Bytes, Integer,
                             Time, Array, Object, Tuple, Set, Map>;
  Value() = default;  // null
  template <class T, class = std::enable_if_t<!std::is_same_v<std::decay_t<T>, Value>>>
  Value(T value) {
    if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::nullptr_t>) {
      kind_ = value;
    } else if constexpr (std::is_integral_v<T>) {
      if (std::is_unsigned_v<T> && value > static_cast<T>(std::numeric_limits<std::int64_t>::max())) {
        kind_ = static_cast<std::uint64_t>(value);  // only what int64 cannot hold
      } else {
        kind_ = static_cast<std::int64_t>(value);
      }
    } else if constexpr (std::is_floating_point_v<T>) {
      static_assert(sizeof(T) <= sizeof(double), "zeroth: a long double does not fit into what is kept; use double");
      kind_ = static_cast<double>(value);
    } else if constexpr (std::is_convertible_v<T, std::string_view> && !std::is_same_v<T, std::string>) {
      kind_ = std::string(std::string_view(value));
    } else {
      kind_ = std::move(value);
    }
  }

  const Kinds& kind() const { return kind_; }
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(kind_);
  }
  bool is_null() const { return is<std::nullptr_t>(); }
  // The kinds themselves, by reference. An Error if it is another.
  template <class T>
  T& as() {
    return const_cast<T&>(std::as_const(*this).as<T>());
  }
  template <class T>
  const T& as() const {
    if (const T* found = std::get_if<T>(&kind_)) return *found;
    throw Unfit(std::string("expected ") + name(Kinds(T{}).index()) + ", found " + name(kind_.index()));
  }
  // Read as a type of the program's.
  template <class T>
  T to() const;
  // The member `key` of an object, or `otherwise` if it is not there.
  template <class T>
  T get(std::string_view key, T otherwise) const;
  const Value* find(std::string_view key) const {
    const Object* object = std::get_if<Object>(&kind_);
    return object != nullptr ? object->find(key) : nullptr;
  }
  Value& operator[](std::string_view key) {  // null becomes an object
    if (is_null()) kind_ = Object();
    return as<Object>()[key];
  }
  friend bool operator==(const Value& a, const Value& b);
  friend bool operator!=(const Value& a, const Value& b) { return !(a == b); }

 private:
  static const char* name(std::size_t kind) {
    static constexpr const char* kNames[] = {
        "null",   "true or false", "an integer", "a large integer", "a number", "text", "bytes", "a large integer",
        "a time", "an array",      "an object",  "a tuple",         "a set",    "a map"};
    return kNames[kind];
  }
  Kinds kind_;
};

inline bool operator==(const Bytes& a, const Bytes& b) {
  return a.data == b.data;
}
inline bool operator==(const Integer& a, const Integer& b) {
  return a.digits == b.digits;
}
inline bool operator==(const Time& a, const Time& b) {
  return a.text == b.text;
}
inline bool operator==(const Tuple& a, const Tuple& b) {
  return a.items == b.items;
}
inline bool operator==(const Set& a, const Set& b) {
  return a.items == b.items;
}
inline bool operator==(const Map& a, const Map& b) {
  return a.pairs == b.pairs;
}
inline bool operator==(const Value& a, const Value& b) {
  return a.kind_ == b.kind_;
}
inline bool operator==(const Object& a, const Object& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const Object::Entry& entry) {
           const Value* found = b.find(entry.first);
           return found != nullptr && *found == entry.second;
         });
}

inline Object::Object(std::initializer_list<Entry> entries) {
  for (const auto& [key, value] : entries) (*this)[key] = value;
}
inline Object::Object(const Object& other) {
  for (const auto& [key, value] : other) (*this)[key] = value;
}
inline Object& Object::operator=(Object other) noexcept {
  entries_.swap(other.entries_);
  index_.swap(other.index_);
  return *this;
}
inline Object::Place Object::place(std::string_view key) {
  if (!index_) return std::find_if(entries_.begin(), entries_.end(), [key](const Entry& e) { return e.first == key; });
  const auto found = index_->find(key);
  return found != index_->end() ? found->second : entries_.end();
}
inline const Value* Object::find(std::string_view key) const {
  const Place found = const_cast<Object*>(this)->place(key);
  return found != entries_.end() ? &found->second : nullptr;
}
inline Value& Object::operator[](std::string_view key) {
  if (const Place found = place(key); found != entries_.end()) return found->second;
  const Place added = entries_.emplace(entries_.end(), std::string(key), Value());
  if (index_) {
    index_->emplace(added->first, added);
  } else if (entries_.size() > kFew) {
    index_ = std::make_unique<std::unordered_map<std::string_view, Place>>();
    for (Place each = entries_.begin(); each != entries_.end(); ++each) index_->emplace(each->first, each);
  }
  return added->second;
}
inline bool Object::erase(std::string_view key) {
  const Place found = place(key);
  if (found == entries_.end()) return false;
  if (index_) index_->erase(key);
  entries_.erase(found);
  return true;
}

// ---- Text of values

// How a type is written and read. Specialise it for a type that is not the program's own.
template <class T, class = void>
struct Codec {
  static_assert(sizeof(T) == 0, "zeroth: this type cannot be kept; give it zeroth_fields() or a zeroth::Codec");
};

namespace detail {

constexpr int kMaxDepth = 120;  // of the encoded state; a supervisor reads 128 levels, the message's own included

// Bytes of the UTF-8 character at `at`; 0 if there is none.
inline std::size_t utf8_size(const char* at, const char* end) {
  const auto byte = [at](std::size_t i) { return static_cast<unsigned char>(at[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (size == 0 || static_cast<std::size_t>(end - at) < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool beyond = (first == 0xED && byte(1) > 0x9F) || (first == 0xF4 && byte(1) > 0x8F);
  return overlong || beyond ? 0 : size;
}

inline std::string to_base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t j = i; j < i + 3; ++j)
      three = three << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0);
    const std::size_t digits = std::min<std::size_t>(bytes.size() - i, 3) + 1;
    for (std::size_t j = 0; j < 4; ++j) text += j < digits ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

inline std::optional<std::string> from_base64(std::string_view text) {
  std::string bytes;
  std::uint32_t bits = 0;
  const std::size_t digits = std::min(text.find('='), text.size());
  for (std::size_t i = 0; i < digits; ++i) {
    const char c = text[i];
    const int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 0) bytes += static_cast<char>(bits >> (6 - 2 * (i % 4)) & 255);
  }
  if (to_base64(bytes) != text) return std::nullopt;  // padding, unused bits
  return bytes;
}

// Text that grows. Values are written in one pass.
struct Out {
  std::string text;
  int depth = 0;

  template <class T>
  void integer(T value) {
    char digits[24];
    text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
  void real(double value) {
    if (!std::isfinite(value)) {
      text += std::isnan(value) ? R"({"$f64":"nan"})" : value > 0 ? R"({"$f64":"inf"})" : R"({"$f64":"-inf"})";
      return;
    }
    char digits[32];
    const std::string_view shortest(
        digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, value).ptr - digits));
    text += shortest;
    if (shortest.find_first_of(".e") == shortest.npos) text += ".0";
  }
  void string(std::string_view value) {
    static constexpr char kHex[] = "0123456789abcdef";
    text += '"';
    const char *at = value.data(), *const end = at + value.size();
    while (at != end) {
      const char* plain = at;
      while (at != end && static_cast<unsigned char>(*at) - 0x20U < 0x60U && *at != '"' && *at != '\\') ++at;
      text.append(plain, at);
      if (at == end) break;
      const std::size_t size = utf8_size(at, end);
      if (size == 0) throw Unfit("text that is no UTF-8; use zeroth::Bytes");
      if (*at == '"' || *at == '\\') {
        text += '\\';
        text += *at;
      } else if (static_cast<unsigned char>(*at) < 0x20) {
        text.append("\\u00") += kHex[*at >> 4 & 15];
        text += kHex[*at & 15];
      } else {
        text.append(at, size);
      }
      at += size;
    }
    text += '"';
  }
  void key(std::string_view name) {
    if (name.substr(0, 1) == "$") return string("$" + std::string(name));
    string(name);
  }
};

// Brackets that are open.
class Levels {
 public:
  Levels(Out& out, int count) : out_(out), count_(count) {
    if ((out_.depth += count_) > kMaxDepth)
      throw Unfit("nested more than " + std::to_string(kMaxDepth) + " deep; keep it flatter");
  }
  ~Levels() { out_.depth -= count_; }
  Levels(const Levels&) = delete;
  Levels& operator=(const Levels&) = delete;

 private:
  Out& out_;
  int count_;
};

template <class Function>
auto within(std::string_view step, Function function) {
  try {
    return function();
  } catch (Unfit& unfit) {
    unfit.within(step);
    throw;
  }
}

template <class T>
void put(Out& out, const T& value) {
  Codec<T>::write(out, value);
}

// `before` and `after` enclose a tag's list.
template <class Items>
void put_list(Out& out, const Items& items, int levels = 1, const char* before = "[", const char* after = "]") {
  const Levels open(out, levels);
  std::size_t index = 0;
  out.text += before;
  try {
    for (const auto& item : items) {
      if (index > 0) out.text += ',';
      put(out, item);
      ++index;
    }
  } catch (Unfit& unfit) {
    unfit.within(std::to_string(index));
    throw;
  }
  out.text += after;
}

template <class Function>
void put_member(Out& out, std::string_view name, Function write) {
  if (out.text.back() != '{') out.text += ',';
  within(name, [&] {
    out.key(name);
    out.text += ':';
    write();
  });
}

template <class Members>
void put_object(Out& out, const Members& members) {
  const Levels open(out, 1);
  out.text += '{';
  for (const auto& [name, value] : members) put_member(out, name, [&out, &member = value] { put(out, member); });
  out.text += '}';
}

template <class Pairs>
void put_map(Out& out, const Pairs& pairs) {
  const Levels open(out, 3);
  std::size_t index = 0;
  out.text += R"({"$map":[)";
  for (const auto& [key, value] : pairs) {
    if (index > 0) out.text += ',';
    out.text += '[';
    within(std::to_string(index++), [&out, &k = key, &v = value] {
      put(out, k);
      out.text += ',';
      put(out, v);
    });
    out.text += ']';
  }
  out.text += "]}";
}

template <class... Items>
void put_tuple(Out& out, const Items&... items) {
  const Levels open(out, 2);
  std::size_t index = 0;
  out.text += R"({"$tuple":[)";
  const auto one = [&](const auto& item) {
    if (index > 0) out.text += ',';
    within(std::to_string(index++), [&] { put(out, item); });
  };
  (one(items), ...);
  out.text += "]}";
}

template <class T>
void take(const Value& from, T& into) {
  Codec<T>::read(from, into);
}

// How many members a struct did not read, since it was last set to 0.
inline std::size_t& dropped() {
  static thread_local std::size_t count = 0;
  return count;
}

struct FieldWriter {
  Out& out;
  template <class T>
  void operator()(std::string_view name, const T& field) {
    put_member(out, name, [&] { put(out, field); });
  }
};

struct FieldReader {
  const Object& from;
  std::size_t taken = 0;
  template <class T>
  void operator()(std::string_view name, T& field) {
    const Value* found = from.find(name);
    if (found == nullptr) return;  // it keeps what it has
    ++taken;
    within(name, [&] { take(*found, field); });
  }
};

template <class T, class = void>
constexpr bool kIsStruct = false;
template <class T>
constexpr bool kIsStruct<T, std::void_t<decltype(std::declval<T&>().zeroth_fields(std::declval<FieldReader&>()))>> =
    true;
template <class T, class = void>
constexpr bool kHasItems = false;
template <class T>
constexpr bool kHasItems<T, std::void_t<typename T::value_type, typename T::const_iterator>> = true;
template <class T, class = void>
constexpr bool kHasKeys = false;
template <class T>
constexpr bool kHasKeys<T, std::void_t<typename T::key_type>> = true;
template <class T, class = void>
constexpr bool kHasMapped = false;
template <class T>
constexpr bool kHasMapped<T, std::void_t<typename T::mapped_type>> = true;
template <class T>
constexpr bool kIsList = kHasItems<T> && !kHasKeys<T> && !std::is_same_v<T, std::string>;
template <class T, class = void>
constexpr bool kIsKind = false;  // one of Value's that is written and read as it is
template <class T>
constexpr bool kIsKind<T, std::enable_if_t<!std::is_arithmetic_v<T> && !std::is_same_v<T, Array>>> =
    (std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::string> || std::is_same_v<T, Bytes> ||
     std::is_same_v<T, Integer> || std::is_same_v<T, Time> || std::is_same_v<T, Object> || std::is_same_v<T, Tuple> ||
     std::is_same_v<T, Set> || std::is_same_v<T, Map>);

}  // namespace detail

template <>
struct Codec<bool> {
  static void write(detail::Out& out, bool value) { out.text += value ? "true" : "false"; }
  static void read(const Value& from, bool& into) { into = from.as<bool>(); }
};

template <class T>
struct Codec<T, std::enable_if_t<(std::is_integral_v<T> && !std::is_same_v<T, bool>) || std::is_enum_v<T>>> {
  static void write(detail::Out& out, T value) {
    if constexpr (std::is_enum_v<T>)
      return detail::put(out, static_cast<std::underlying_type_t<T>>(value));
    else if (const auto wide = static_cast<std::uint64_t>(value); std::is_signed_v<T> || wide <= INT64_MAX)
      out.integer(static_cast<std::int64_t>(value));
    else {
      out.text += R"({"$u64":")";
      out.integer(wide);
      out.text += "\"}";
    }
  }
  static void read(const Value& from, T& into) {
    const std::uint64_t* large = std::get_if<std::uint64_t>(&from.kind());
    const std::int64_t small = large != nullptr ? 0 : from.as<std::int64_t>();
    into = static_cast<T>(large != nullptr ? *large : static_cast<std::uint64_t>(small));
    bool fits = false;
    if constexpr (std::is_enum_v<T>)
      fits = large == nullptr && static_cast<std::int64_t>(into) == small;
    else if (large != nullptr)
      fits = std::is_unsigned_v<T> && static_cast<std::uint64_t>(into) == *large;
    else
      fits = static_cast<std::int64_t>(into) == small && (small < 0) == (into < T(0));
    if (!fits) throw Unfit(std::to_string(small) + " is outside the range of the variable");
  }
};

template <class T>
struct Codec<T, std::enable_if_t<std::is_same_v<T, double> || std::is_same_v<T, float>>> {
  static void write(detail::Out& out, T value) { out.real(value); }
  static void read(const Value& from, T& into) {
    if (const auto* whole = std::get_if<std::int64_t>(&from.kind())) {  // JavaScript writes 1.0 as 1
      into = static_cast<T>(*whole);
      if (std::abs(*whole) > std::int64_t{1} << 53) throw Unfit(std::to_string(*whole) + " is no double");
    } else {
      into = static_cast<T>(from.as<double>());
    }
  }
};

template <>
struct Codec<Value> {
  static void write(detail::Out& out, const Value& value) {
    std::visit([&out](const auto& kind) { detail::put(out, kind); }, value.kind());
  }
  static void read(const Value& from, Value& into) { into = from; }
};

template <class T>
struct Codec<T, std::enable_if_t<detail::kIsKind<T>>> {
  static void write(detail::Out& out, const T& value) {
    const auto tagged = [&out](const char* tag, std::string_view content) {
      out.text.append("{\"").append(tag).append("\":");
      out.string(content);
      out.text += '}';
    };
    if constexpr (std::is_same_v<T, std::nullptr_t>)
      out.text += "null";
    else if constexpr (std::is_same_v<T, std::string>)
      out.string(value);
    else if constexpr (std::is_same_v<T, Bytes>)
      tagged("$bytes", detail::to_base64(value.data));
    else if constexpr (std::is_same_v<T, Integer>)
      tagged("$int", value.digits);
    else if constexpr (std::is_same_v<T, Time>)
      tagged("$time", value.text);
    else if constexpr (std::is_same_v<T, Object>)
      detail::put_object(out, value);
    else if constexpr (std::is_same_v<T, Tuple>)
      detail::put_list(out, value.items, 2, R"({"$tuple":[)", "]}");
    else if constexpr (std::is_same_v<T, Set>)
      detail::put_list(out, value.items, 2, R"({"$set":[)", "]}");
    else
      detail::put_map(out, value.pairs);
  }
  static void read(const Value& from, T& into) { into = from.as<T>(); }
};

template <class T>
struct Codec<T, std::enable_if_t<detail::kIsList<T>>> {
  static void write(detail::Out& out, const T& value) { detail::put_list(out, value); }
  static void read(const Value& from, T& into) {
    const Array& items = from.as<Array>();
    std::size_t index = 0;
    if constexpr (std::is_same_v<T, Array>) {
      into = items;
    } else {
      T fresh{};
      try {
        for (const Value& item : items) {
          typename T::value_type one{};
          detail::take(item, one);
          set(fresh, index, std::move(one), 0);
          ++index;
        }
      } catch (Unfit& unfit) {
        unfit.within(std::to_string(index));
        throw;
      }
      if (index != static_cast<std::size_t>(std::distance(fresh.begin(), fresh.end())))
        throw Unfit(std::to_string(index) + " items, fewer than the variable has");
      into = std::move(fresh);
    }
  }

 private:
  template <class List>
  static auto set(List& list, std::size_t, typename T::value_type&& item, int) -> decltype(list.push_back(item)) {
    list.push_back(std::move(item));
  }
  template <class List>
  static void set(List& list, std::size_t index, typename T::value_type&& item, long) {  // std::array
    if (index >= list.size()) throw Unfit("more items than the variable has");
    list[index] = std::move(item);
  }
};

template <class T>
struct Codec<T, std::enable_if_t<detail::kHasKeys<T> && !detail::kHasMapped<T>>> {
  static void write(detail::Out& out, const T& value) { detail::put_list(out, value, 2, R"({"$set":[)", "]}"); }
  static void read(const Value& from, T& into) {
    T fresh{};
    for (const Value& item : from.as<Set>().items) {
      typename T::key_type one{};
      detail::take(item, one);
      fresh.insert(std::move(one));
    }
    into = std::move(fresh);
  }
};

template <class T>
struct Codec<T, std::enable_if_t<detail::kHasMapped<T>>> {
  static constexpr bool kByName = std::is_same_v<typename T::key_type, std::string>;
  static void write(detail::Out& out, const T& value) {
    if constexpr (kByName)
      detail::put_object(out, value);
    else
      detail::put_map(out, value);
  }
  static void read(const Value& from, T& into) {
    T fresh{};
    if constexpr (kByName) {
      for (const auto& [name, value] : from.as<Object>())
        detail::within(name, [&, &v = value, &n = name] { detail::take(v, fresh[n]); });
    } else {
      for (const auto& [key, value] : from.as<Map>().pairs) {
        typename T::key_type one{};
        detail::take(key, one);
        detail::take(value, fresh[std::move(one)]);
      }
    }
    into = std::move(fresh);
  }
};

template <class... Items>
struct Codec<std::tuple<Items...>> {
  static void write(detail::Out& out, const std::tuple<Items...>& value) {
    std::apply([&out](const auto&... items) { detail::put_tuple(out, items...); }, value);
  }
  static void read(const Value& from, std::tuple<Items...>& into) {
    const Array& items = from.as<Tuple>().items;
    if (items.size() != sizeof...(Items)) throw Unfit("a tuple of " + std::to_string(items.size()) + " items");
    std::size_t index = 0;
    std::apply([&](auto&... each) { (detail::take(items[index++], each), ...); }, into);
  }
};

template <class A, class B>
struct Codec<std::pair<A, B>> {
  static void write(detail::Out& out, const std::pair<A, B>& value) {
    detail::put_tuple(out, value.first, value.second);
  }
  static void read(const Value& from, std::pair<A, B>& into) {
    auto both = std::tie(into.first, into.second);
    std::tuple<A, B> fresh(both);
    detail::take(from, fresh);
    both = std::move(fresh);
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static void write(detail::Out& out, const std::optional<T>& value) {
    if (value)
      detail::put(out, *value);
    else
      out.text += "null";
  }
  static void read(const Value& from, std::optional<T>& into) {
    if (from.is_null())
      into.reset();
    else
      detail::take(from, into.emplace());
  }
};

template <class T>
struct Codec<T, std::enable_if_t<detail::kIsStruct<T>>> {
  static void write(detail::Out& out, const T& value) {
    const detail::Levels open(out, 1);
    detail::FieldWriter fields{out};
    out.text += '{';
    const_cast<T&>(value).zeroth_fields(fields);  // which only reads then
    out.text += '}';
  }
  static void read(const Value& from, T& into) {
    detail::FieldReader fields{from.as<Object>()};
    into.zeroth_fields(fields);
    detail::dropped() += fields.from.size() - fields.taken;
  }
};

template <class T>
T Value::to() const {
  T value{};
  detail::take(*this, value);
  return value;
}
template <class T>
T Value::get(std::string_view key, T otherwise) const {
  if (const Value* found = find(key)) detail::within(key, [&] { detail::take(*found, otherwise); });
  return otherwise;
}

namespace detail {

// A strict JSON reader. For a state (`tags`) the tags become values; for a message its limits hold, a duplicate key is
// noted, and /params/state is kept as text.
class Parser {
 public:
  Parser(std::string_view text, bool tags) : at_(text.data()), end_(at_ + text.size()), begin_(at_), tags_(tags) {}

  Value whole() {
    Value found = value();
    if (peek() != '\0' || at_ != end_) fail("unexpected text at the end");
    return found;
  }
  const std::optional<std::string>& duplicate() const { return duplicate_; }
  std::string_view state_text() const { return state_; }

 private:
  static constexpr int kMessageDepth = 64, kMessageMembers = 10'000, kStateDepth = 128;

  [[noreturn]] void fail(const std::string& problem) const {
    throw Unfit(problem + ", at " + std::to_string(at_ - begin_));
  }
  char peek() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
    return at_ != end_ ? *at_ : '\0';
  }

  Value value() {
    switch (peek()) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return string();
      case 't':
        return word("true", true);
      case 'f':
        return word("false", false);
      case 'n':
        return word("null", nullptr);
      default:
        return number();
    }
  }
  Value word(std::string_view text, Value meaning) {
    if (std::string_view(at_, static_cast<std::size_t>(end_ - at_)).substr(0, text.size()) != text) fail("no JSON");
    at_ += text.size();
    return meaning;
  }

  bool digits() {
    const char* from = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != from;
  }
  bool skip(std::string_view any) {
    const bool found = at_ != end_ && any.find(*at_) != any.npos;
    at_ += found;
    return found;
  }
  Value number() {
    const char* from = at_;
    skip("-");
    if (at_ == end_) fail("unexpected end");
    if (!skip("0") && !digits()) fail("no JSON");
    bool whole = true;
    if (skip(".")) {
      whole = false;
      if (!digits()) fail("no JSON");
    }
    if (skip("eE")) {
      whole = false;
      skip("+-");
      if (!digits()) fail("no JSON");
    }
    if (whole) {
      std::int64_t integer = 0;
      if (std::from_chars(from, at_, integer).ec != std::errc()) fail("a whole number outside int64");
      return integer;
    }
    double real = 0;
    if (std::from_chars(from, at_, real).ec != std::errc()) {  // too large, or so small that it is 0
      static const locale_t kPlain = ::newlocale(LC_ALL_MASK, "C", nullptr);
      real = ::strtod_l(std::string(from, at_).c_str(), nullptr, kPlain);
      if (std::isinf(real)) fail("a number outside double");
    }
    return real;
  }

  std::string string() {
    std::string text;
    for (++at_; at_ != end_;) {
      const char* plain = at_;
      while (at_ != end_ && static_cast<unsigned char>(*at_) - 0x20U < 0x60U && *at_ != '"' && *at_ != '\\') ++at_;
      text.append(plain, at_);
      if (at_ == end_) break;
      if (*at_ == '"') {
        ++at_;
        return text;
      }
      if (*at_ == '\\') {
        ++at_;
        escape(text);
        continue;
      }
      const std::size_t size = utf8_size(at_, end_);
      if (size == 0) fail("no UTF-8");
      if (static_cast<unsigned char>(*at_) < 0x20) fail("a control character in text");
      text.append(at_, size);
      at_ += size;
    }
    fail("text without an end");
  }
  std::uint32_t hex4() {
    std::uint32_t code = 0;
    if (end_ - at_ < 4 || std::from_chars(at_, at_ + 4, code, 16).ptr != at_ + 4) fail("bad text");
    at_ += 4;
    return code;
  }
  void escape(std::string& text) {
    static constexpr std::string_view kNamed = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    const char name = at_ != end_ ? *at_++ : '\0';
    if (name != 'u') {
      const std::size_t which = kNamed.find(name);
      if (which == kNamed.npos) fail("bad text");
      text += kMeant[which];
      return;
    }
    std::uint32_t code = hex4();
    if (code >= 0xD800 && code < 0xE000) {
      const bool pair = code < 0xDC00 && end_ - at_ >= 2 && at_[0] == '\\' && at_[1] == 'u';
      if (pair) at_ += 2;
      const std::uint32_t low = pair ? hex4() : 0;
      if (low < 0xDC00 || low >= 0xE000) fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    const auto more = [&text, code](int shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else if (code < 0x800) {
      text += static_cast<char>(0xC0 | code >> 6);
      more(0);
    } else if (code < 0x10000) {
      text += static_cast<char>(0xE0 | code >> 12);
      more(6), more(0);
    } else {
      text += static_cast<char>(0xF0 | code >> 18);
      more(12), more(6), more(0);
    }
  }

  // Whether another element follows; after the last one the bracket is passed.
  bool more(char bracket, bool first) {
    const char next = peek();
    if (first) {
      ++at_;
      if (++depth_ > (tags_ || in_state_ ? kStateDepth : kMessageDepth)) fail("nested too deep");
      if (peek() != bracket) return count();
    } else if (next == ',') {
      ++at_;
      return count();
    } else if (next != bracket) {
      fail(std::string("expected ',' or '") + bracket + "'");
    }
    ++at_;
    --depth_;
    return false;
  }
  bool count() {
    if (!tags_ && !in_state_ && ++members_ > kMessageMembers) fail("too many members");
    return true;
  }

  Value array() {
    Array items;
    try {
      while (more(']', items.empty())) items.push_back(value());
    } catch (Unfit& unfit) {
      unfit.within(std::to_string(items.size()));
      throw;
    }
    return items;
  }

  Value object() {
    Object members;
    std::string tag, key;
    for (bool first = true; more('}', first); first = false) {
      if (peek() != '"') fail("expected a key");
      key = string();
      if (peek() != ':') fail("expected ':'");
      ++at_;
      if (tags_ && key[0] == '$') key[1] == '$' ? void(key.erase(0, 1)) : void(tag = key);
      if (members.find(key) != nullptr) {
        if (tags_) fail("the key '" + key + "' stands twice");
        duplicate_ = key;
      }
      within(key, [&] { members[key] = member(key); });
    }
    if (tag.empty()) return members;
    if (members.size() != 1) fail("the tag " + tag + " stands beside other members");
    return within(tag, [&] { return untag(tag, members.begin()->second); });
  }
  Value member(const std::string& key) {
    if (depth_ == 1) in_params_ = key == "params";
    if (tags_ || in_state_ || depth_ != 2 || !in_params_ || key != "state") return value();
    peek();
    const char* from = at_;
    in_state_ = true;
    value();
    in_state_ = false;
    state_ = std::string_view(from, static_cast<std::size_t>(at_ - from));
    return nullptr;
  }

  static Value untag(const std::string& tag, Value& content) {
    if (tag == "$tuple") return Tuple{std::move(content.as<Array>())};
    if (tag == "$set" || tag == "$map") return different(tag, content.as<Array>());
    const std::string known = "$f64 $u64 $int $bytes $time ";
    if (known.find(tag + " ") == known.npos) throw Unfit("unknown tag");
    const std::string& text = content.as<std::string>();
    if (tag == "$f64" && (text == "inf" || text == "-inf")) return text == "inf" ? HUGE_VAL : -HUGE_VAL;
    if (tag == "$f64" && text == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (tag == "$bytes") {
      if (auto bytes = from_base64(text)) return Bytes{std::move(*bytes)};
    }
    if (tag == "$time" && is_time(text)) return Time{text};
    if ((tag == "$u64" || tag == "$int") && is_integer(text)) {
      std::int64_t small = 0;
      std::uint64_t large = 0;
      const char* end = text.data() + text.size();
      if (std::from_chars(text.data(), end, small).ec == std::errc()) return small;
      if (text[0] != '-' && std::from_chars(text.data(), end, large).ec == std::errc()) return large;
      return Integer{text};
    }
    throw Unfit("not a value of this tag");
  }
  static bool is_integer(std::string_view text) {
    if (text.substr(0, 1) == "-") text.remove_prefix(1);
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos && (text[0] != '0' || text.size() == 1);
  }
  static bool is_time(std::string_view text) {
    const auto like = [](std::string_view found, std::string_view form) {
      return std::equal(found.begin(), found.end(), form.begin(), form.end(),
                        [](char c, char f) { return f == '0' ? c >= '0' && c <= '9' : c == f; });
    };
    if (!like(text.substr(0, 19), "0000-00-00T00:00:00")) return false;
    text.remove_prefix(19);
    if (text.size() > 1 && text[0] == '.' && text[1] >= '0' && text[1] <= '9')
      text.remove_prefix(std::min({text.find_first_not_of("0123456789", 1), text.size(), std::size_t{10}}));
    return text == "Z" || like(text, "+00:00") || like(text, "-00:00");
  }
  static Value different(const std::string& tag, Array& items);

  const char *at_, *end_, *begin_;
  bool tags_, in_params_ = false, in_state_ = false;
  int depth_ = 0, members_ = 0;
  std::optional<std::string> duplicate_;
  std::string_view state_;
};

}  // namespace detail

// JSON text that loads() turns into an equal value. An Error names what cannot be saved.
template <class T>
std::string dumps(const T& value) {
  detail::Out out;
  detail::put(out, value);
  return std::move(out.text);
}
// The value of what dumps(), or a library for another language, gave.
inline Value loads(std::string_view text) {
  return detail::Parser(text, true).whole();
}

inline Value detail::Parser::different(const std::string& tag, Array& items) {
  std::unordered_set<std::string> seen;
  Map map;
  for (Value& item : items) {
    Array* pair = tag == "$map" ? &item.as<Array>() : nullptr;
    if (pair != nullptr && pair->size() != 2) throw Unfit("expected pairs");
    if (!seen.insert(dumps(pair != nullptr ? (*pair)[0] : item)).second) throw Unfit("two of these are equal");
    if (pair != nullptr) map.pairs.emplace_back(std::move((*pair)[0]), std::move((*pair)[1]));
  }
  return tag == "$map" ? Value(std::move(map)) : Value(Set{std::move(items)});
}

// ---- Descriptors and files

namespace detail {

using Clock = std::chrono::steady_clock;
inline Clock::duration in_seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e9)));
}

inline std::string take_env(const char* name, bool keep = false) {
  const char* found = std::getenv(name);
  std::string value = found != nullptr ? found : "";
  if (!keep) ::unsetenv(name);
  return value;
}

// -1 if it is none.
inline int to_number(const std::string& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && *end == '\0' ? number : -1;
}

inline std::vector<std::string> split(const std::string& text, char between) {
  std::vector<std::string> parts;
  for (std::size_t from = 0, end; from < text.size(); from = end + 1) {
    end = std::min(text.find(between, from), text.size());
    if (end > from) parts.push_back(text.substr(from, end - from));
  }
  return parts;
}

inline Error system_error(const std::string& what) {
  return Error(what + ": " + std::strerror(errno));
}

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

inline bool is_socket(int fd, bool listening) {
  int accepts = 0;
  socklen_t size = sizeof accepts;
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && (accepts != 0) == listening;
}

inline Fd open_file(const std::string& path, int flags) {
  Fd file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (file.get() < 0) throw system_error(path);
  return file;
}

inline void write_all(int fd, std::string_view text, off_t offset, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::pwrite(fd, text.data(), text.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw system_error(path);
    offset += written;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

inline std::string read_part(const std::string& path, off_t offset, std::size_t length) {
  const Fd file = open_file(path, O_RDONLY);
  std::string text(length, '\0');
  for (std::size_t at = 0; at < length;) {
    const ssize_t got = ::pread(file.get(), &text[at], length - at, offset + static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(path);
    if (got == 0) throw Error(path + ": shorter than announced");
    at += static_cast<std::size_t>(got);
  }
  return text;
}

// All of it or nothing, also over a power cut.
inline void replace_file(const std::string& path, std::string_view text) {
  const std::string beside = path + ".tmp";
  const Fd file = open_file(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  write_all(file.get(), text, 0, beside);
  if (::fsync(file.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) throw system_error(path);
  const std::size_t slash = path.rfind('/');
  const Fd folder = open_file(slash == path.npos ? "." : path.substr(0, slash + 1), O_RDONLY);
  ::fsync(folder.get());
}

// 64 hexadecimal digits that are the same for the same text. No protection against malice.
inline std::string fingerprint(std::string_view text) {
  std::array<std::uint64_t, 4> lanes = {1, 2, 3, text.size()};
  for (std::size_t i = 0; i < text.size(); i += 8) {
    std::uint64_t word = 0, &lane = lanes[i / 8 % 4];
    std::memcpy(&word, text.data() + i, std::min<std::size_t>(8, text.size() - i));
    lane = (lane ^ word) * 0x9E3779B97F4A7C15;
    lane ^= lane >> 29;
  }
  std::string digits(64, '0');
  for (std::size_t i = 0; i < 16; ++i) {  // each lane into the others
    std::uint64_t& lane = lanes[i % 4];
    lane = (lane ^ lanes[(i + 1) % 4]) * 0xBF58476D1CE4E5B9;
    lane ^= lane >> 32;
  }
  for (std::size_t i = 0; i < 64; ++i) digits[i] = "0123456789abcdef"[lanes[i / 16] >> (i % 16 * 4) & 15];
  return digits;
}

// The name that `word` is most likely a slip of, as a hint, or "".
inline std::string meant(const std::string& word, const std::vector<std::string>& names) {
  const std::string shortened = word.substr(0, 64);
  std::size_t least = std::max<std::size_t>(1, shortened.size() / 3) + 1;
  std::string best;
  for (const std::string& name : names) {
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= shortened.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j <= name.size(); ++j) {
        const std::size_t replaced = diagonal + (shortened[i - 1] != name[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      }
    }
    if (row.back() < least) least = row.back(), best = name;
  }
  return best.empty() ? "" : "did you mean '" + best + "'?";
}

inline void complain(const std::string& message) {
  std::fprintf(stderr, "zeroth: %s\n", message.c_str());
}

// A function of the program's on a thread of its own, which nobody has to wait for.
class Apart {
 public:
  explicit Apart(std::function<void()> function) {
    try {
      std::thread([function = std::move(function), run = run_] {
        std::string problem;
        try {
          function();
        } catch (const Stopped&) {
        } catch (const std::exception& error) {
          problem = *error.what() != '\0' ? error.what() : "an error without a message";
        } catch (...) {
          problem = "it threw what is no std::exception";
        }
        const std::lock_guard lock(run->mutex);
        run->problem = std::move(problem);
        run->changed.notify_all();
      }).detach();
    } catch (const std::system_error& error) {
      run_->problem = std::string("no thread for it: ") + error.what();
    }
  }
  // Whether it has ended by then.
  bool wait_until(Clock::time_point until) const {
    std::unique_lock lock(run_->mutex);
    return run_->changed.wait_until(lock, until, [this] { return run_->problem.has_value(); });
  }
  // What went wrong, "" if nothing, once it has ended.
  const std::string& problem() const { return *run_->problem; }

 private:
  struct Run {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<std::string> problem;
  };
  std::shared_ptr<Run> run_ = std::make_shared<Run>();
};

inline std::string too_late(double seconds) {
  char text[48];
  std::snprintf(text, sizeof text, "not done within %.1f s", seconds);
  return text;
}

}  // namespace detail

// ---- The worker

class Connection;

// One process under a supervisor. A thread of its own reads the channel and runs the commands; every method may be
// called on any thread.
class Worker {
 public:
  // Says hello to the supervisor, if there is one. `schema` names the form of the state; name and version are shown.
  explicit Worker(std::string schema_name = "", std::string name = "", const std::string& version = "");
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Why it runs: files whose change led to this process; a folder of the worker's own ("" without a supervisor).
  std::string schema, cause, folder;
  std::int64_t generation = 0;
  std::vector<std::string> changed;

  bool supervised() const { return channel_ >= 0; }

  // ---- Before go

  // Makes a variable living: it is part of the state under `name`, and what it holds now is its default. It must last
  // as long as the worker. Before restore().
  template <class T>
  void keep(const std::string& name, T& variable) {
    kept_.push_back({name, [&variable](detail::Out& out) { detail::put(out, variable); },
                     [&variable](const Value& from) {
                       auto fresh = std::make_shared<T>(variable);
                       detail::take(from, *fresh);
                       return std::function<void()>([fresh, &variable] { variable = std::move(*fresh); });
                     }});
  }

  // Says that all code is loaded and blocks until the state is here; gives the part of it that no variable keeps. Call
  // it once. Entries that the kept state lacks are added from `defaults`; kept ones that it lacks stay. Without a
  // supervisor, and on a fresh start, that is `defaults`.
  Object& restore(Object defaults = {});

  // Says that the program could go, and blocks until it may: then it is live. `serve` and `every` call it.
  void ready();

  // How a state that was kept under another schema becomes one of this: function(const std::string& from, Value state)
  // gives it, or function(Value state) from just the schema `from`. An Error in it refuses the state. A rollback needs
  // a way back in the older program. Before restore().
  void migrate(std::function<Value(const std::string&, Value)> function) { migrate_any_ = std::move(function); }
  void migrate(const std::string& from, std::function<Value(Value)> function) { migrate_[from] = std::move(function); }

  // ---- While live

  class Section {
   public:
    explicit Section(Worker& worker) : worker_(worker) { worker_.enter(); }
    ~Section() { worker_.leave(); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    Worker& worker_;
  };
  // A section that no cut falls into, of one thread at a time, until the end of the scope. It may be nested. While
  // held, entering it waits. What is answered to a client because of a change belongs inside. Nothing in it may wait
  // for another section.
  [[nodiscard]] Section atomic() { return Section(*this); }

  // The next turn of a program without a port, `seconds` after the one before: waits while held; false when the worker
  // is to stop. Turns that were missed are not made up for.
  bool every(double seconds);

  // Serves TCP until the worker is to stop, on the socket that was lent as `name`, or else on `address` and `port`.
  // Says ready. Each connection has a thread, and is closed when `handler(Connection&)` returns. Before a cut nothing
  // more is accepted; a connection is closed after its next answer, or at the deadline if nothing is asked on it.
  void serve(const std::string& name, int port, std::function<void(Connection&)> handler,
             const std::string& address = "127.0.0.1");

  // Saves the state now; gives the snapshot's number once it is durable, and nothing without a supervisor. Not inside a
  // section: the state is cut between sections.
  std::optional<std::int64_t> save();

  // A heartbeat. At most ten a second are sent, and only while live; the next snapshot has the iteration too.
  void beat(std::optional<std::int64_t> iteration = {}, const std::vector<std::pair<std::string, double>>& metrics = {},
            const std::string& status = "");

  // A line for the supervisor's log; to stderr without one.
  void log(const std::string& message, const std::string& level = "info", const Object& fields = {});

  // ---- What a program registers

  using Params = std::vector<std::pair<std::string, std::string>>;
  // Registers a function for `zerothctl` and other clients: function(const Value& params), or one without, gives what
  // can be kept, or nothing; an Error refuses. `params`: name and description. Register before ready().
  template <class Function>
  void command(const std::string& name, const Params& params, const std::string& help, Function function) {
    commands_.push_back({name, help, params, [function](const Value& given) mutable -> std::string {
                           const auto run = [&] {
                             if constexpr (std::is_invocable_v<Function&, const Value&>)
                               return function(given);
                             else
                               return function();
                           };
                           if constexpr (std::is_void_v<decltype(run())>)
                             return run(), "{}";
                           else
                             return dumps(run());
                         }});
  }

  // A part of the program that lives and ends with it. Each function has a thread of its own and `deadline` seconds,
  // and stands for itself: an error of one is told and the others go on. Commands run after all were started.
  class Component {
   public:
    // function(const Value& part), or one without: at go, of one after the other; serve() and every() come after.
    // `part` is what capture gave in the process before, or null.
    template <class Function>
    Component& start(Function function) {
      start_ = [function](const Value& part) mutable {
        if constexpr (std::is_invocable_v<Function&, const Value&>)
          function(part);
        else
          (void)part, function();
      };
      return *this;
    }
    // At stop, in reverse order, of those that were started.
    Component& stop(std::function<void()> function) {
      stop_ = std::move(function);
      return *this;
    }
    // At each cut: gives the member of the state that has this component's name. No section is open then and none is
    // needed. A part that is not started, or could not be captured, stays as it was, and in the second case save()
    // throws. Before restore().
    template <class Function>
    Component& capture(Function function) {
      if (late_) throw std::logic_error("zeroth: capture of component " + name_ + " is registered after restore()");
      capture_ = [function](detail::Out& out, std::exception_ptr& unfit) mutable {
        const auto part = function();
        try {
          detail::put(out, part);
        } catch (const Unfit&) {
          unfit = std::current_exception();
        }
      };
      return *this;
    }
    Component& deadline(double seconds) {
      deadline_ = seconds;
      return *this;
    }

   private:
    friend class Worker;
    std::string name_;
    std::function<void(const Value&)> start_;
    std::function<void()> stop_;
    std::function<void(detail::Out&, std::exception_ptr&)> capture_;
    double deadline_ = 2.0;
    bool late_ = false;   // restore() was called before
    bool begun_ = false;  // it is to be stopped
    std::optional<detail::Apart> starting_;
    Value restored_;       // until it is started
    std::string text_;     // what was captured last
    std::string problem_;  // of the last capture
    std::optional<detail::Apart> capturing_;
  };
  // Registers one, to be filled in: w.component("cache").start(…).stop(…).capture(…).deadline(5). Before ready().
  Component& component(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (stage_ > Stage::Restored) throw std::logic_error("zeroth: component " + name + " is registered after ready()");
    for (const Component& each : components_) {
      if (!name.empty() && each.name_ == name) throw std::logic_error("zeroth: two components are called " + name);
    }
    Component& added = components_.emplace_back();
    added.name_ = name;
    added.late_ = stage_ != Stage::Loading;
    return added;
  }

  // Registers what is shut down at stop, the last registered first: a component without a name.
  void on_stop(std::function<void()> function, double deadline = 2.0) {
    const std::lock_guard lock(mutex_);
    components_.emplace_back().stop(std::move(function)).deadline(deadline);
  }

  // function(old, now) when the environment variable `name` has changed, or function(name, old, now) for all; on a
  // thread of its own; nothing where it is not set. By then getenv gives the new value; what another thread got from
  // getenv before may be gone.
  using Setting = std::optional<std::string>;
  using EnvChange = std::function<void(const std::string& name, const Setting& old, const Setting& now)>;
  void on_env(EnvChange function) {
    const std::lock_guard lock(mutex_);
    on_env_.emplace_back(Setting(), std::move(function));
  }
  void on_env(const std::string& name, std::function<void(const Setting& old, const Setting& now)> function) {
    const std::lock_guard lock(mutex_);
    on_env_.emplace_back(name,
                         [f = std::move(function)](const auto&, const auto& old, const auto& now) { f(old, now); });
  }

 private:
  friend class Connection;
  using Lock = std::unique_lock<std::mutex>;
  static constexpr std::size_t kMaxLine = 1 << 20;
  static constexpr std::size_t kInlineBytes = 64 * 1024, kInlineMembers = 1'000;  // larger: through the offered file
  static constexpr double kBeatGap = 0.1;
  static constexpr double kPatience = 8.0;  // for an open section when the supervisor is gone; the next one waits 10 s
  static constexpr double kEnvPatience = 1.0;  // for what is to be done about one changed variable
  static constexpr double kLeave = 1.0;        // for the program to end by itself once it was told to stop
  static constexpr int kTermWait = 500;        // ms that the channel may end later than the SIGTERM of the same death

  // Each leads to the next, Held also back to Live, and each to Stopping.
  enum class Stage { Loading, Loaded, Restored, Ready, Live, Held, Stopping };

  struct Kept {
    std::string name;
    std::function<void(detail::Out&)> write;
    std::function<std::function<void()>(const Value&)> read;  // gives what then changes the variable
  };
  struct Command {
    std::string name, help;
    Params params;
    std::function<std::string(const Value&)> run;  // gives JSON text
  };
  struct Request {
    std::string id;  // JSON text
    std::string command;
    Value params;
    std::string state;  // JSON text of params.state
  };
  struct Save {
    std::optional<Value> answer;
    std::string problem;  // of the cut that it was answered by
  };
  // The listening socket of one serve().
  struct Door {
    detail::Fd socket, wakes;
    std::mutex accepting;  // held while accepting
    void wake() const {
      const std::uint64_t one = 1;
      (void)!::write(wakes.get(), &one, sizeof one);
    }
  };

  // Waiting
  template <class Condition>
  void wait(Lock& lock, Condition condition) {
    changed_.wait(lock, [&] { return condition() || stage_ == Stage::Stopping || leaving_; });
    const bool stop = stage_ == Stage::Stopping || leaving_;
    lock.unlock();  // whoever catches nothing stands still while it is thrown
    if (stop) throw Stopped();
  }
  Stage stage() {
    const std::lock_guard lock(mutex_);
    return stage_;
  }
  void move(Stage stage);
  void enter();
  void leave();
  bool all_started() {
    const std::lock_guard lock(mutex_);
    return started_;
  }
  bool accepting() {
    const std::lock_guard lock(mutex_);
    return stage_ == Stage::Live && !draining_ && !cutting_;
  }
  static bool& is_component() {  // which may enter sections while stopping
    static thread_local bool component = false;
    return component;
  }
  static bool& is_capture() {  // which is in a cut already
    static thread_local bool capture = false;
    return capture;
  }
  void start_components();
  bool has_started(const Component& component);
  void capture(Component& component);

  // The channel
  void connect_channel();
  void send_line(std::string line);
  void event(std::string_view name, const Object& data) { send_line(dumps(Object{{"event", name}, {"data", data}})); }
  void answer(const Request& request, const std::string& result) {
    send_line("{\"id\":" + request.id + ",\"success\":true,\"result\":" + result + ",\"error\":null}");
  }
  void refuse(const std::string& id, const Error& error);
  template <class Until>
  void serve_channel(Until until);
  std::optional<std::string> next_line();
  void receive_sockets(const msghdr& message);
  void on_line(const std::string& line);
  void on_request(const Request& request);
  void take_waiting();
  void on_ping(const Request& request) { answer(request, "{}"); }
  void on_restore(const Request& request);
  void on_go(const Request& request);
  void on_drain(const Request& request);
  void on_checkpoint(const Request& request);
  void on_resume(const Request& request);
  void on_call(const Request& request);
  void on_env_request(const Request& request);
  void on_stop_request(const Request& request);
  Value new_commands();
  Array capabilities() const;
  bool is_saved(const Save& save) const {  // what follows a save must not run while held
    return stage_ == Stage::Stopping || leaving_ || (save.answer && stage_ != Stage::Held);
  }

  // The cut
  void close_gate(double patience);
  void open_gate();
  void settle_doors();
  std::string encode_state();
  Object take_state(const Request& request);
  Value migrated(const std::string& from, Value state);

  // Servers
  detail::Fd listener(const std::string& name, const std::string& address, int port, bool& own);
  void accept_one(Door& door, const std::function<void(Connection&)>& handler);
  std::size_t drain(double seconds);

  // The end
  void end(double seconds);
  void shut_down(detail::Clock::time_point until);
  void on_channel_end();
  static bool channel_ended(int wait_ms);
  static void on_sigterm(int number, siginfo_t* info, void* context);
  static void on_terminate();
  void take_over();

  std::mutex mutex_;  // over all that follows, up to the next empty line
  std::condition_variable changed_;
  Stage stage_ = Stage::Loading;
  bool cutting_ = false;  // a cut waits for the open section, or is taken
  bool draining_ = false, was_live_ = false;
  bool leaving_ = false;    // main has ended
  bool abandoned_ = false;  // main stands still, for a Stopped that it did not catch
  std::thread::id owner_;   // is inside a section
  pthread_t owner_handle_{};
  int depth_ = 0;
  std::optional<std::int64_t> iteration_;
  detail::Clock::time_point beat_at_{};
  std::map<std::string, Save*> saves_;
  int last_save_ = 0;
  std::map<Connection*, bool> connections_;  // whether each is in the middle of a request
  std::list<Component> components_;
  bool goes_ = false, started_ = false;                // components are being started; all are
  std::vector<std::pair<Setting, EnvChange>> on_env_;  // none: of all
  std::vector<std::unique_ptr<Door>> doors_;
  std::map<std::string, int> lent_;  // listening sockets of the supervisor

  // Of the thread that reads the channel, or of main before it runs.
  std::vector<Kept> kept_;
  Object state_;  // what no variable keeps
  std::vector<Command> commands_;
  std::size_t announced_ = 0, announced_capabilities_ = 0;
  std::function<Value(const std::string&, Value)> migrate_any_;
  std::map<std::string, std::function<Value(Value)>> migrate_;
  std::string answered_;  // fingerprint of the state in the last answer to a checkpoint
  bool calling_ = false;
  detail::Fd wakes_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // who reads the channel, to look at `waiting_`
  std::string received_;
  std::deque<Request> waiting_;
  std::vector<std::string> lent_names_;
  std::size_t lent_received_ = 0;

  std::mutex send_mutex_;
  std::string emergency_file_, program_;
  std::thread reader_, ender_;
  const std::thread::id main_ = std::this_thread::get_id();
  const pid_t pid_ = ::getpid();
  static inline std::atomic<int> channel_ = -1;  // -1 in a forked child, which is no worker
  static inline Worker* only_ = nullptr;
  static inline struct sigaction before_sigterm_ {};
  static inline std::terminate_handler before_terminate_ = nullptr;
};

// One client of Worker::serve. A request begins when it is read and ends when something is written; between requests
// the connection is idle and may be closed for a cut.
class Connection {
 public:
  // The next line of text, without its line feed. false at the end: the client left, sent more than `longest` bytes, or
  // the connection is to be closed. While the worker is held, a request waits here.
  bool read_line(std::string& line, std::size_t longest = 64 * 1024) {
    std::size_t end = 0;
    while ((end = received_.find('\n')) == received_.npos) {
      if (received_.size() > longest || !receive()) return false;
    }
    return end <= longest && take(line, end, 1);
  }
  // Exactly `size` bytes, in the same way.
  bool read(std::string& bytes, std::size_t size) {
    while (received_.size() < size) {
      if (!receive()) return false;
    }
    return take(bytes, size, 0);
  }
  // false if the client is gone.
  bool write(std::string_view text) {
    asked_ = false;
    answered_ = true;
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Whether it is closed after this answer: a protocol with a word for that (Connection: close) says it.
  bool closing() {
    const std::lock_guard lock(worker_.mutex_);
    return worker_.draining_;
  }
  int fd() const { return socket_.get(); }

 private:
  friend class Worker;
  Connection(Worker& worker, detail::Fd socket) : worker_(worker), socket_(std::move(socket)) {}
  bool take(std::string& into, std::size_t size, std::size_t more) {
    into = received_.substr(0, size);
    received_.erase(0, size + more);
    if (std::exchange(asked_, true)) return true;
    Worker::Lock lock(worker_.mutex_);
    worker_.connections_[this] = true;
    worker_.wait(lock, [this] { return worker_.stage_ == Worker::Stage::Live && !worker_.cutting_; });
    return true;
  }
  bool receive() {
    if (!asked_) {
      const std::lock_guard lock(worker_.mutex_);
      worker_.connections_[this] = false;
      worker_.changed_.notify_all();
      if ((worker_.draining_ && answered_) || worker_.stage_ == Worker::Stage::Stopping) return false;
    }
    char buffer[16 * 1024];
    ssize_t got = 0;
    do got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) received_.append(buffer, static_cast<std::size_t>(got));
    return got > 0;
  }

  Worker& worker_;
  detail::Fd socket_;
  std::string received_;
  bool asked_ = false, answered_ = false;
};

inline Worker::Worker(std::string schema_name, std::string name, const std::string& version)
    : schema(std::move(schema_name)) {
  using detail::take_env;
  if (only_ != nullptr) throw std::logic_error("zeroth: there is a Worker already");
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  program_.assign(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  generation = std::max(0, detail::to_number(take_env("ZEROTH_GENERATION", true)));
  cause = take_env("ZEROTH_CAUSE", true);
  if (cause.empty()) cause = "start";
  changed = detail::split(take_env("ZEROTH_CHANGED", true), '\n');
  folder = take_env("ZEROTH_WORKER_DIR", true);
  emergency_file_ = take_env("ZEROTH_EMERGENCY_FILE");
  only_ = this;
  connect_channel();
  const std::string key = take_env("ZEROTH_KEY"), worker = take_env("ZEROTH_WORKER", true);
  if (!supervised()) return;
  if (name.empty()) name = worker.empty() ? program_.substr(program_.rfind('/') + 1) : worker;
  Object hello{{"protocol", 1}, {"name", name}, {"version", version}, {"pid", pid_}};
  if (!key.empty()) hello["key"] = key;
  event("hello", hello);
  take_over();
}

inline Worker::~Worker() {
  if (::getpid() != pid_) {  // a forked child, where no thread but this is
    new std::thread(std::move(reader_));
    new std::thread(std::move(ender_));
    return;
  }
  {
    Lock lock(mutex_);
    leaving_ = true;
    if (supervised() && was_live_ && stage_ != Stage::Stopping && channel_ended(0))  // its end is being dealt with
      changed_.wait_for(lock, detail::in_seconds(kPatience), [] { return false; });
    changed_.notify_all();
  }
  if (!supervised()) {
    is_component() = true;
    for (auto each = components_.rbegin(); each != components_.rend(); ++each) {
      if (!each->stop_ || (each->start_ && !each->begun_)) continue;
      try {
        each->stop_();
      } catch (const std::exception& error) {
        detail::complain("component " + each->name_ + " did not stop: " + error.what());
      } catch (const Stopped&) {
      }
    }
  }
  const int channel = channel_;
  if (channel >= 0) ::shutdown(channel, SHUT_RDWR);
  if (reader_.joinable()) reader_.join();
  if (ender_.joinable()) ender_.join();
  channel_ = -1;
  if (channel >= 0) ::close(channel);
  only_ = nullptr;
}

// Children of this process shall see neither the channel nor the lent sockets.
inline void Worker::connect_channel() {
  using detail::take_env;
  const int number = detail::to_number(take_env("ZEROTH_FD"));
  const std::string path = take_env("ZEROTH_SOCKET"), alive = take_env("ZEROTH_ALIVE");
  const int count = detail::to_number(take_env("LISTEN_FDS")), pid = detail::to_number(take_env("LISTEN_PID"));
  lent_names_ = detail::split(take_env("LISTEN_FDNAMES"), ':');
  const bool inherited = number >= 0 && detail::is_socket(number, false);
  std::vector<int> fds;
  // A wrapper that kept our descriptors open may run us as its child: then $LISTEN_PID is the wrapper's.
  for (int fd = 3; fd < 3 + count && (pid == ::getpid() || inherited); ++fd) {
    if (!detail::is_socket(fd, true)) continue;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    fds.push_back(fd);
  }
  if (lent_names_.empty())
    lent_names_.assign(std::max<std::size_t>(1, fds.size()), fds.size() > 1 ? "unknown" : "http");
  for (std::size_t i = 0; i < std::min(fds.size(), lent_names_.size()); ++i) lent_[lent_names_[i]] = fds[i];
  if (inherited) {
    ::fcntl(number, F_SETFD, FD_CLOEXEC);
    ::fcntl(number, F_SETFL, ::fcntl(number, F_GETFL) & ~O_NONBLOCK);
    channel_ = number;
    return;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return;
  if (!alive.empty()) {  // the supervisor's own lock is on a descriptor that did not get here; this one is never closed
    const int lock = ::open(alive.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || ::flock(lock, LOCK_SH) != 0) throw detail::system_error(alive);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int channel = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(channel, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw detail::system_error(path);
  channel_ = channel;
}

// ---- Before go

inline Object& Worker::restore(Object defaults) {
  if (stage() != Stage::Loading) throw std::logic_error("zeroth: restore is called once");
  Object initial;
  const auto note = [&initial](const std::string& name, auto write) {
    detail::Out out;
    detail::within(name, [&] { write(out); });
    if (initial.find(name) != nullptr) throw std::logic_error("zeroth: two parts of the state are called " + name);
    initial[name] = out.text.size() <= 64 ? out.text : detail::fingerprint(out.text);
  };
  for (const Kept& kept : kept_) note(kept.name, kept.write);
  for (const auto& [name, value] : defaults) note(name, [&v = value](detail::Out& out) { detail::put(out, v); });
  for (const Component& each : components_) {
    if (each.capture_ && initial.find(each.name_) != nullptr)
      throw std::logic_error("zeroth: two parts of the state are called " + each.name_);
  }
  state_ = std::move(defaults);
  if (!supervised()) {
    stage_ = Stage::Restored;
    return state_;
  }
  std::string hash;
  struct stat info {};
  if (::stat("/proc/self/exe", &info) == 0)
    hash = detail::fingerprint(detail::read_part("/proc/self/exe", 0, static_cast<std::size_t>(info.st_size)));
  stage_ = Stage::Loaded;
  const Array can = capabilities();
  announced_capabilities_ = can.size();
  Object data{{"capabilities", can},
              {"commands", new_commands()},
              {"schema", schema},
              {"program", Object{{"path", program_}, {"hash", hash}}},
              {"initial", initial.size() <= kInlineMembers ? Value(initial) : Value()}};
  if (migrate_any_) {
    data["migrate"] = true;
  } else if (!migrate_.empty()) {
    Array from;
    for (const auto& [name, function] : migrate_) from.emplace_back(name);
    data["migrate"] = from;
  }
  event("loaded", data);
  reader_ = std::thread([this] { serve_channel([] { return false; }); });
  Lock lock(mutex_);
  wait(lock, [this] { return stage_ >= Stage::Restored; });
  return state_;
}

inline void Worker::ready() {
  Lock lock(mutex_);
  if (stage_ < Stage::Restored) throw std::logic_error("zeroth: restore comes before ready");
  if (stage_ == Stage::Restored) {
    stage_ = supervised() ? Stage::Ready : Stage::Live;
    Object data{{"commands", new_commands()}};
    if (const Array can = capabilities(); can.size() != announced_capabilities_) data["capabilities"] = can;
    lock.unlock();
    if (supervised()) event("ready", data);
    lock.lock();
  }
  wait(lock, [this] { return stage_ >= Stage::Live; });
  start_components();
}

// By whoever is ready first; the others wait for it.
inline void Worker::start_components() {
  Lock lock(mutex_);
  if (std::exchange(goes_, true)) return wait(lock, [this] { return started_; });
  for (Component& each : components_) {
    if (!each.start_) continue;
    if (!lock.owns_lock()) lock.lock();
    wait(lock, [this] { return stage_ == Stage::Live; });
    lock.lock();
    each.begun_ = true;
    const detail::Apart start = each.starting_.emplace(
        [function = each.start_, part = std::exchange(each.restored_, Value())] { function(part); });
    lock.unlock();
    const bool ended = start.wait_until(detail::Clock::now() + detail::in_seconds(each.deadline_));
    if (ended && start.problem().empty()) continue;
    detail::complain("component " + each.name_ +
                     " did not start: " + (ended ? start.problem() : detail::too_late(each.deadline_)));
    lock.lock();
    each.begun_ = !ended;
  }
  if (!lock.owns_lock()) lock.lock();
  started_ = true;
  changed_.notify_all();
  const std::uint64_t one = 1;
  (void)!::write(wakes_.get(), &one, sizeof one);  // calls may wait for it
}

// Those that do not change afterwards are `on_env_` and `doors_` at ready.
inline Array Worker::capabilities() const {
  Array can{"checkpoint", "restore", "hold", "call"};
  if (!doors_.empty()) can.emplace_back("drain");
  if (!on_env_.empty()) can.emplace_back("env");
  return can;
}

inline Value Worker::new_commands() {
  Array fresh;
  for (; announced_ < commands_.size(); ++announced_) {
    const Command& command = commands_[announced_];
    Object params;
    for (const auto& [name, description] : command.params) params[name] = description;
    fresh.push_back(Object{{"name", command.name}, {"help", command.help}, {"params", params}});
  }
  return fresh;
}

// ---- While live

inline void Worker::enter() {
  if (is_capture()) return;
  const auto me = std::this_thread::get_id();
  Lock lock(mutex_);
  const auto may_not = [this] { return (stage_ == Stage::Stopping || leaving_) && !is_component(); };
  const auto free = [this] {
    return owner_ == std::thread::id() && !cutting_ && stage_ != Stage::Ready && stage_ != Stage::Held;
  };
  if (owner_ != me) changed_.wait(lock, [&] { return may_not() || free(); });
  if (owner_ != me && may_not()) {
    lock.unlock();
    throw Stopped();
  }
  owner_ = me;
  owner_handle_ = ::pthread_self();
  ++depth_;
}

inline void Worker::leave() {
  if (is_capture()) return;
  const std::lock_guard lock(mutex_);
  if (--depth_ > 0) return;
  owner_ = std::thread::id();
  changed_.notify_all();
}

inline bool Worker::every(double seconds) {
  using detail::Clock;
  static thread_local std::optional<Clock::time_point> due;
  try {
    ready();
  } catch (const Stopped&) {
    return false;
  }
  const auto now = Clock::now();
  due = due ? std::max(*due + detail::in_seconds(seconds), now) : now;
  Lock lock(mutex_);
  while (stage_ != Stage::Live || Clock::now() < *due) {
    if (stage_ == Stage::Stopping) return false;
    if (stage_ == Stage::Live)
      changed_.wait_until(lock, *due);
    else
      changed_.wait(lock);
  }
  return true;
}

inline std::optional<std::int64_t> Worker::save() {
  if (!supervised()) return std::nullopt;
  Save mine;
  std::string id;
  {
    Lock lock(mutex_);
    if (owner_ == std::this_thread::get_id() || is_capture())
      throw std::logic_error("zeroth: save() inside a section: the state is cut between sections");
    if (!was_live_) throw std::logic_error("zeroth: save() before ready(): the worker is not live yet");
    id = "save-" + std::to_string(++last_save_);
    saves_[id] = &mine;
  }
  send_line(dumps(Object{{"id", id}, {"command", "save"}, {"params", Object()}}));
  if (std::this_thread::get_id() == reader_.get_id()) {  // else that thread serves the channel meanwhile
    serve_channel([this, &mine] {
      const std::lock_guard lock(mutex_);
      return is_saved(mine);
    });
  }
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return is_saved(mine); });
  saves_.erase(id);
  lock.unlock();
  if (!mine.answer) throw Stopped();
  if (!mine.problem.empty() && mine.answer->get("success", false)) throw Error("save: " + mine.problem);
  if (!mine.answer->get("success", false)) {
    const Value* found = mine.answer->find("error");
    const Value error = found != nullptr ? *found : Value();
    throw Error(error.get<std::string>("message", "not saved"), error.get<std::string>("code", "failed"),
                error.get<std::string>("hint", ""));
  }
  return mine.answer->find("result")->get("sequence", std::int64_t{0});
}

inline void Worker::beat(std::optional<std::int64_t> iteration,
                         const std::vector<std::pair<std::string, double>>& metrics, const std::string& status) {
  Object data;
  {
    const std::lock_guard lock(mutex_);
    if (iteration) iteration_ = iteration;
    const auto now = detail::Clock::now();
    if (!supervised() || stage_ != Stage::Live || now - beat_at_ < detail::in_seconds(kBeatGap)) return;
    beat_at_ = now;
    data["iteration"] = iteration_ ? Value(*iteration_) : Value();
  }
  Value& numbers = data["metrics"] = Object();
  for (const auto& [name, value] : metrics) {
    if (std::isfinite(value)) numbers[name] = value;
  }
  data["status"] = status.empty() ? Value() : Value(status);
  event("beat", data);
}

inline void Worker::log(const std::string& message, const std::string& level, const Object& fields) {
  if (!supervised()) {
    const std::string shown = fields.size() > 0 ? " " + dumps(fields) : "";
    std::fprintf(stderr, "%s: %s%s\n", level.c_str(), message.c_str(), shown.c_str());
  } else {
    event("log", Object{{"level", level}, {"message", message}, {"fields", fields}});
  }
}

inline void Worker::move(Stage stage) {
  {
    const std::lock_guard lock(mutex_);
    stage_ = stage;
    changed_.notify_all();
  }
  settle_doors();
}

// ---- The channel

inline void Worker::send_line(std::string line) {
  line += '\n';
  const std::lock_guard lock(send_mutex_);
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t sent = ::send(channel_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;  // the reading side sees the end
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
}

inline void Worker::refuse(const std::string& id, const Error& error) {
  const auto text = [](const std::string& any) {  // a message may quote what is no UTF-8
    std::string clean;
    for (const char *at = any.data(), *end = at + any.size(); at != end;) {
      const std::size_t size = detail::utf8_size(at, end);
      clean += size > 0 ? std::string(at, size) : "?";
      at += std::max<std::size_t>(1, size);
    }
    return clean;
  };
  Object data{{"code", text(error.code)}, {"message", text(error.what())}};
  if (!error.hint.empty()) data["hint"] = text(error.hint);
  send_line("{\"id\":" + id + ",\"success\":false,\"result\":null,\"error\":" + dumps(data) + "}");
}

// Executes what comes, in order, until the channel ends.
template <class Until>
void Worker::serve_channel(Until until) {
  while (!until()) {
    const std::optional<std::string> line = next_line();
    if (!line) return on_channel_end();
    if (!line->empty()) on_line(*line);
    if (line->empty() && !calling_) take_waiting();
  }
}

// "" when it was woken; nothing at the end.
inline std::optional<std::string> Worker::next_line() {
  bool too_long = false;
  for (std::size_t searched = 0;;) {
    const std::size_t end = received_.find('\n', searched);
    if (end != received_.npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      if (!too_long && line.size() <= kMaxLine) return line;
      too_long = false;
      searched = 0;
      refuse("null", Error("a line over 1 MiB", "bad_request"));
      continue;
    }
    if (received_.size() > kMaxLine) {
      too_long = true;
      received_.clear();
    }
    searched = received_.size();
    pollfd ends[] = {{channel_, POLLIN, 0}, {wakes_.get(), POLLIN, 0}};
    std::uint64_t count = 0;
    if (::poll(ends, 2, -1) < 0) continue;
    if (ends[1].revents != 0 && ::read(wakes_.get(), &count, sizeof count) > 0) return "";
    std::array<char, 64 * 1024> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(64 * sizeof(int))> ancillary;
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary.data();
    message.msg_controllen = ancillary.size();
    const ssize_t got = ::recvmsg(channel_, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    receive_sockets(message);
    received_.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

// Lent sockets come on the channel in the order of their names where they were not inherited.
inline void Worker::receive_sockets(const msghdr& message) {
  const std::lock_guard lock(mutex_);
  msghdr any = message;
  for (cmsghdr* each = CMSG_FIRSTHDR(&any); each != nullptr; each = CMSG_NXTHDR(&any, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + sizeof(int) <= each->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each) + at, sizeof fd);
      const std::size_t number = lent_received_++;
      lent_[number < lent_names_.size() ? lent_names_[number] : std::to_string(number + 1)] = fd;
    }
  }
}

inline void Worker::on_line(const std::string& line) {
  detail::Parser parser(line, false);
  Request request;
  Value message;
  try {
    message = parser.whole();
    message.as<Object>();
  } catch (const Error& error) {
    return refuse("null", Error(error.what(), "bad_request"));
  }
  const Value *id = message.find("id"), *command = message.find("command"), *params = message.find("params");
  const bool named = id != nullptr && (id->is<std::string>() || id->is<std::int64_t>());
  request.id = named ? dumps(*id) : "null";
  if (parser.duplicate())
    return refuse(request.id, Error("the key '" + *parser.duplicate() + "' stands twice", "bad_request"));
  if (const Value* name = message.find("event"); name != nullptr && name->is<std::string>()) return;
  if (const Value* success = message.find("success"); success != nullptr && success->is<bool>()) {
    const std::lock_guard lock(mutex_);
    const auto save = id != nullptr && id->is<std::string>() ? saves_.find(id->as<std::string>()) : saves_.end();
    if (save != saves_.end()) save->second->answer = std::move(message);
    changed_.notify_all();
    return;
  }
  const bool fits = params == nullptr || params->is_null() || params->is<Object>();
  if (!named || command == nullptr || !command->is<std::string>() || !fits)
    return refuse(request.id, Error("expected id, command and params", "bad_request"));
  request.command = command->as<std::string>();
  if (params != nullptr) request.params = *params;
  request.state = parser.state_text();
  on_request(request);
}

inline void Worker::on_request(const Request& request) {
  struct Known {
    const char* name;
    void (Worker::*run)(const Request&);
    bool at_once;  // the others wait until the worker is live
  };
  static constexpr Known kKnown[] = {
      {"restore", &Worker::on_restore, true}, {"go", &Worker::on_go, true},
      {"drain", &Worker::on_drain, false},    {"checkpoint", &Worker::on_checkpoint, false},
      {"resume", &Worker::on_resume, true},   {"stop", &Worker::on_stop_request, true},
      {"call", &Worker::on_call, false},      {"env", &Worker::on_env_request, false},
      {"ping", &Worker::on_ping, true},
  };
  const auto* known = std::find_if(std::begin(kKnown), std::end(kKnown),
                                   [&](const Known& each) { return request.command == each.name; });
  if (known == std::end(kKnown)) {
    std::vector<std::string> names;
    for (const Known& each : kKnown) names.emplace_back(each.name);
    return refuse(request.id, Error("unknown command '" + request.command.substr(0, 60) + "'", "unknown_command",
                                    detail::meant(request.command, names)));
  }
  // Between ready and go the state may be asked for: nothing changes it. A call waits until all components are started,
  // and what came after it with it; one that came while another waits for its save comes after that: a cut does not.
  const bool asked_early =
      stage() == Stage::Ready && request.command == "checkpoint" && !request.params.get("hold", false);
  const bool is_call = request.command == "call" || request.command == "env";
  const bool waits = stage() != Stage::Live || (calling_ && is_call) ||
                     ((is_call || !waiting_.empty()) && !calling_ && !all_started());
  if (!known->at_once && !asked_early && waits) {
    waiting_.push_back(request);
    return;
  }
  try {
    (this->*known->run)(request);
  } catch (const Error& error) {
    refuse(request.id, error);
  } catch (const std::exception& error) {
    refuse(request.id, Error(error.what()));
  } catch (const Stopped&) {
    refuse(request.id, Error("the worker is stopping", "unavailable"));
  }
  if (!calling_ || request.command == "resume") take_waiting();
}

inline void Worker::take_waiting() {
  for (std::size_t count = waiting_.size(); count > 0 && stage() == Stage::Live && !waiting_.empty(); --count) {
    const Request next = std::move(waiting_.front());
    waiting_.pop_front();
    on_request(next);
  }
}

inline void Worker::on_restore(const Request& request) {
  if (stage() != Stage::Loaded) throw Error("restore was sent before", "refused");
  const std::string summary = dumps(take_state(request));
  answer(request, summary);
  move(Stage::Restored);
}

// Nothing is changed if it is refused.
inline Object Worker::take_state(const Request& request) try {
  const Value* file = request.params.find("state_file");
  Value state;
  if (file != nullptr && !file->is_null()) {
    state = loads(detail::read_part(file->get<std::string>("path", ""), file->get<off_t>("offset", 0),
                                    file->get<std::size_t>("length", 0)));
  } else if (!request.state.empty()) {
    state = loads(request.state);
  }
  const std::string kept_schema =
      request.params.find("schema") != nullptr ? request.params.get<std::string>("schema", "") : "";
  const bool other = !state.is_null() && !kept_schema.empty() && !schema.empty() && kept_schema != schema;
  if (other && (migrate_any_ || migrate_.count(kept_schema) != 0)) {
    state = migrated(kept_schema, std::move(state));
  } else if (other) {
    throw Error("the kept state has schema " + kept_schema + ", this program has " + schema, "refused",
                "say with migrate(\"" + kept_schema +
                    "\", …) how one becomes the other, or start without the kept state (zerothctl restart --fresh)");
  }
  std::vector<std::string> kept, added, removed;
  Array warnings;
  if (!state.is_null()) {
    Object rest = std::move(state.as<Object>());
    std::vector<std::function<void()>> changes;
    const bool any_name = kept_.empty() && state_.size() == 0;
    for (const Kept& each : kept_) {
      const Value* found = rest.find(each.name);
      (found != nullptr ? kept : added).push_back(each.name);
      if (found == nullptr) continue;
      detail::dropped() = 0;
      changes.push_back(detail::within(each.name, [&] { return each.read(*found); }));
      if (detail::dropped() > 0)
        warnings.push_back("/" + each.name + ": " + std::to_string(detail::dropped()) +
                           " members that this program does not read are dropped");
      rest.erase(each.name);
    }
    for (Component& each : components_) {
      if (!each.capture_) continue;
      const Value* found = rest.find(each.name_);
      (found != nullptr ? kept : added).push_back(each.name_);
      if (found == nullptr) continue;
      changes.emplace_back([&each, part = *found] {
        each.text_ = dumps(part);
        each.restored_ = part;
      });
      rest.erase(each.name_);
    }
    for (const auto& [name, value] : rest) (any_name || state_.find(name) != nullptr ? kept : removed).push_back(name);
    for (const auto& [name, value] : state_) {
      if (rest.find(name) != nullptr) continue;
      added.push_back(name);
      rest[name] = value;
    }
    for (const auto& change : changes) change();
    state_ = std::move(rest);
  }
  const auto count = [](const std::vector<std::string>& names) {
    const Array shown(names.begin(),
                      names.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(20, names.size())));
    return Object{{"count", names.size()}, {"names", shown}};
  };
  if (!removed.empty())
    warnings.push_back(std::to_string(removed.size()) + " no longer among the defaults: kept as they are");
  return Object{{"kept", count(kept)},
                {"added", count(added)},
                {"removed", count(removed)},
                {"renamed", count({})},
                {"warnings", warnings}};
} catch (Unfit& unfit) {
  throw Error(unfit.what(), "refused");
}

// The state in the form of this program; an Error if the program cannot make it so.
inline Value Worker::migrated(const std::string& from, Value state) {
  const std::string way = "migrate from " + from + " to " + schema + ": ";
  Value fresh;
  try {
    fresh = migrate_any_ ? migrate_any_(from, std::move(state)) : migrate_.at(from)(std::move(state));
  } catch (const std::exception& error) {
    throw Error(way + error.what(), "refused",
                "correct migrate, or start without the kept state (zerothctl restart --fresh)");
  }
  if (!fresh.is<Object>()) throw Error(way + "it gave no object", "refused", "return the state");
  return fresh;
}

inline void Worker::on_go(const Request& request) {
  if (stage() != Stage::Ready) throw Error("go without ready", "refused");
  answer(request, "{}");
  {
    const std::lock_guard lock(mutex_);
    was_live_ = true;
  }
  move(Stage::Live);
}

inline void Worker::on_resume(const Request& request) {
  {
    const std::lock_guard lock(mutex_);
    draining_ = false;
  }
  answer(request, "{}");
  move(stage() == Stage::Held ? Stage::Live : stage());
}

inline void Worker::on_checkpoint(const Request& request) {
  const auto begin = detail::Clock::now();
  const bool hold = request.params.get("hold", false);
  close_gate(request.params.get("deadline_ms", 10'000.0) / 1000 * 0.9);
  std::string text;
  try {
    text = encode_state();
  } catch (...) {
    open_gate();
    throw;
  }
  if (hold) move(Stage::Held);
  open_gate();
  const std::chrono::duration<double, std::milli> pause = detail::Clock::now() - begin;
  Value iteration;
  {
    const std::lock_guard lock(mutex_);
    if (iteration_) iteration = *iteration_;
  }
  std::string result = dumps(Object{{"iteration", iteration}, {"schema", schema}, {"pause_ms", pause.count()}});
  result.back() = ',';
  // Only the supervisor knows what became of the last answer: `durable` says that it is the newest snapshot.
  const std::string print = detail::fingerprint(text);
  if (!hold && print == answered_ && request.params.get("durable", false)) {
    return answer(request, result + "\"unchanged\":true}");
  }
  answered_ = print;
  try {
    const Value* file = request.params.find("state_file");
    const auto members = [&text] {
      return std::count_if(text.begin(), text.end(), [](char c) { return c == ',' || c == '[' || c == '{'; });
    };
    if (file != nullptr && !file->is_null() &&
        (text.size() > kInlineBytes || static_cast<std::size_t>(members()) > kInlineMembers)) {
      const std::string path = file->get<std::string>("path", "");
      detail::write_all(detail::open_file(path, O_WRONLY | O_NOFOLLOW).get(), text, file->get<off_t>("offset", 0),
                        path);
      result += "\"bytes\":" + std::to_string(text.size()) + "}";
    } else {
      result += "\"state\":" + text + "}";
    }
    if (result.size() + 200 > kMaxLine)
      throw Error("the state has " + std::to_string(text.size()) + " bytes and no file is offered", "bad_params",
                  "offer state_file");
  } catch (...) {
    if (hold) move(Stage::Live);
    throw;
  }
  answer(request, result);
}

// No section may begin, and none is open; an Error if one stays open.
inline void Worker::close_gate(double patience) {
  char name[16] = "";
  {
    Lock lock(mutex_);
    cutting_ = true;
    if (changed_.wait_for(lock, detail::in_seconds(patience), [this] { return owner_ == std::thread::id(); })) {
      lock.unlock();
      return settle_doors();
    }
    ::pthread_getname_np(owner_handle_, name, sizeof name);
  }
  open_gate();
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.1f", patience);
  throw Error(std::string("an atomic section of thread ") + name + " did not end within " + seconds + " s");
}

inline void Worker::open_gate() {
  {
    const std::lock_guard lock(mutex_);
    cutting_ = false;
    changed_.notify_all();
  }
  settle_doors();
}

inline std::string Worker::encode_state() {
  detail::Out out;
  const detail::Levels open(out, 1);
  out.text += '{';
  for (const Kept& kept : kept_) detail::put_member(out, kept.name, [&] { kept.write(out); });
  for (const auto& [name, value] : state_) detail::put_member(out, name, [&, &v = value] { detail::put(out, v); });
  std::string problem;
  for (Component& each : components_) {
    if (!each.capture_) continue;
    if (has_started(each)) capture(each);
    if (problem.empty()) problem = each.problem_;
    if (!each.text_.empty()) detail::put_member(out, each.name_, [&] { out.text += each.text_; });
  }
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, save] : saves_) save->problem = problem;
  }
  out.text += '}';
  return std::move(out.text);
}

inline bool Worker::has_started(const Component& component) {
  const std::lock_guard lock(mutex_);
  if (!component.start_) return true;
  const auto& start = component.starting_;
  return start && start->wait_until(detail::Clock::now()) && start->problem().empty();
}

// Into its text_, or its problem_, which is told once and not at every cut. Unfit if what it gives cannot be kept.
inline void Worker::capture(Component& each) {
  struct Taken {
    detail::Out out;
    std::exception_ptr unfit;
  };
  const auto taken = std::make_shared<Taken>();
  taken->out.depth = 1;
  std::string problem = "the time before it has not ended yet";
  if (!each.capturing_ || each.capturing_->wait_until(detail::Clock::now())) {
    each.capturing_.emplace([function = each.capture_, taken] {
      is_capture() = true;
      function(taken->out, taken->unfit);
    });
    const bool ended = each.capturing_->wait_until(detail::Clock::now() + detail::in_seconds(each.deadline_));
    problem = ended ? each.capturing_->problem() : detail::too_late(each.deadline_);
  }
  if (problem.empty()) {
    if (taken->unfit) detail::within(each.name_, [&] { std::rethrow_exception(taken->unfit); });
    each.text_ = std::move(taken->out.text);
  } else {
    problem = "component " + each.name_ + " could not be captured, its part stays as it was: " + problem;
    if (problem != each.problem_) detail::complain(problem);
  }
  each.problem_ = problem;
}

inline void Worker::on_call(const Request& request) {
  const std::string name = request.params.get<std::string>("command", "");
  const Value* given = request.params.find("params");
  const Value arguments = given != nullptr && !given->is_null() ? *given : Value(Object());
  std::vector<std::string> names;
  for (const Command& each : commands_) names.push_back(each.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw Error("unknown command '" + name.substr(0, 60) + "'", "unknown_command", detail::meant(name, names));
  const Command& command = commands_[static_cast<std::size_t>(found - names.begin())];
  names.clear();
  for (const auto& [param, description] : command.params) names.push_back(param);
  for (const auto& [key, value] : arguments.as<Object>()) {
    if (std::find(names.begin(), names.end(), key) == names.end())
      throw Error(name + ": no parameter is called '" + key.substr(0, 60) + "'", "bad_params",
                  detail::meant(key, names));
  }
  calling_ = true;
  std::string result;
  try {
    result = command.run(arguments);
  } catch (...) {
    calling_ = false;
    throw;
  }
  calling_ = false;
  if (result.size() + 200 > kMaxLine) throw Error("the answer has more than 1 MiB", "bad_params", "limit");
  answer(request, result == "null" ? "{}" : result);
}

// Each variable for itself: what fails is named and keeps its new value, which is not `applied`.
inline void Worker::on_env_request(const Request& request) {
  std::map<std::string, std::pair<Setting, Setting>> wanted;  // old and new
  const auto add = [&wanted](const std::string& name, Setting now) {
    if (name.empty() || name.find('=') != name.npos || name.find('\0') != name.npos)
      throw Error("env: '" + name + "' is no name of a variable", "bad_params");
    if (now && now->find('\0') != now->npos) throw Error("env: " + name + ": a zero byte in it", "bad_params");
    const char* old = std::getenv(name.c_str());
    wanted[name] = {old != nullptr ? Setting(old) : Setting(), std::move(now)};
  };
  for (const auto& name : request.params.get("unset", Array())) add(name.as<std::string>(), {});
  for (const auto& [name, value] : request.params.get("set", Object())) add(name, value.to<std::string>());
  std::vector<std::pair<Setting, EnvChange>> callbacks;
  {
    const std::lock_guard lock(mutex_);
    callbacks = on_env_;
  }
  for (const auto& [name, change] : wanted) {
    if (change.second)
      ::setenv(name.c_str(), change.second->c_str(), 1);
    else
      ::unsetenv(name.c_str());
  }
  Array applied;
  Object failed;
  for (const auto& [name, change] : wanted) {
    std::string problems;
    for (const auto& [of, function] : callbacks) {
      if ((of && *of != name) || change.first == change.second) continue;
      const detail::Apart run([f = function, n = name, c = change] { f(n, c.first, c.second); });
      const bool ended = run.wait_until(detail::Clock::now() + detail::in_seconds(kEnvPatience));
      const std::string problem = ended ? run.problem() : detail::too_late(kEnvPatience);
      problems += (problems.empty() || problem.empty() ? "" : "; ") + problem;
    }
    if (problems.empty())
      applied.emplace_back(name);
    else
      failed[name] = problems;
  }
  Object result{{"applied", applied}};
  if (failed.size() > 0) result["failed"] = failed;
  answer(request, dumps(result));
}

// ---- Servers

inline void Worker::serve(const std::string& name, int port, std::function<void(Connection&)> handler,
                          const std::string& address) {
  bool own = false;
  Door* door = nullptr;
  {
    detail::Fd socket = listener(name, address, port, own);
    const std::lock_guard lock(mutex_);
    door = doors_.emplace_back(std::make_unique<Door>()).get();
    door->socket = std::move(socket);
    door->wakes = detail::Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  try {
    ready();
    if (own && ::listen(door->socket.get(), SOMAXCONN) != 0) throw detail::system_error("listen");
    for (;;) {
      Lock lock(mutex_);
      wait(lock, [this] { return stage_ == Stage::Live && !draining_ && !cutting_; });
      pollfd ends[] = {{door->socket.get(), POLLIN, 0}, {door->wakes.get(), POLLIN, 0}};
      ::poll(ends, 2, -1);
      std::uint64_t count = 0;
      if (ends[1].revents != 0) (void)!::read(door->wakes.get(), &count, sizeof count);
      if (ends[0].revents != 0) accept_one(*door, handler);
    }
  } catch (const Stopped&) {
  }
  Lock lock(mutex_);
  door->socket = detail::Fd();
  for (const auto& [connection, busy] : connections_) {
    if (!busy) ::shutdown(connection->socket_.get(), SHUT_RD);
  }
  changed_.wait(lock, [this] { return connections_.empty(); });  // their threads use what the caller may take away
}

// The lent socket `name`, or one that is bound and does not listen yet.
inline detail::Fd Worker::listener(const std::string& name, const std::string& address, int port, bool& own) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto lent = lent_.find(name); lent != lent_.end()) {
      detail::Fd socket(lent->second);
      lent_.erase(lent);
      ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);  // another process may take the connection first
      return socket;
    }
  }
  own = true;
  const bool six = address.find(':') != address.npos;
  sockaddr_in6 in6{};
  sockaddr_in in4{};
  in6.sin6_family = AF_INET6;
  in4.sin_family = AF_INET;
  in6.sin6_port = in4.sin_port = htons(static_cast<std::uint16_t>(port));
  const std::string shown = address + ":" + std::to_string(port);
  if (::inet_pton(six ? AF_INET6 : AF_INET, address.c_str(),
                  six ? static_cast<void*>(&in6.sin6_addr) : &in4.sin_addr) != 1)
    throw Error(shown + ": no numeric address");
  detail::Fd socket(::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto* where = six ? reinterpret_cast<const sockaddr*>(&in6) : reinterpret_cast<const sockaddr*>(&in4);
  if (::bind(socket.get(), where, six ? sizeof in6 : sizeof in4) != 0) throw detail::system_error(shown);
  return socket;
}

inline void Worker::accept_one(Door& door, const std::function<void(Connection&)>& handler) {
  const std::lock_guard one_by_one(door.accepting);
  if (!accepting()) return;
  detail::Fd socket(::accept4(door.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (socket.get() < 0) {
    if (errno != EAGAIN && errno != ECONNABORTED) ::poll(nullptr, 0, 10);  // too many are open
    return;
  }
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::unique_ptr<Connection> connection(new Connection(*this, std::move(socket)));
  {
    const std::lock_guard lock(mutex_);
    connections_[connection.get()] = false;
  }
  Connection* raw = connection.get();
  try {
    std::thread([this, raw, handler] {
      const std::unique_ptr<Connection> mine(raw);
      try {
        handler(*mine);
      } catch (const Stopped&) {
      } catch (const std::exception& error) {
        detail::complain(std::string("a connection ended: ") + error.what());
      }
      ::shutdown(mine->fd(), SHUT_WR);
      char unread[4096];
      while (::recv(mine->fd(), unread, sizeof unread, MSG_DONTWAIT) > 0) continue;  // else the last answer may be lost
      const std::lock_guard lock(mutex_);
      mine->socket_ = detail::Fd();
      connections_.erase(mine.get());
      changed_.notify_all();
    }).detach();
    (void)connection.release();
  } catch (const std::system_error& error) {
    const std::lock_guard lock(mutex_);
    connections_.erase(raw);
    changed_.notify_all();
    detail::complain(std::string("a connection is closed: ") + error.what());
  }
}

// When it returns, no accept is under way that began before.
inline void Worker::settle_doors() {
  std::vector<Door*> doors;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& door : doors_) doors.push_back(door.get());
  }
  for (Door* door : doors) {
    door->wake();
    const std::lock_guard none(door->accepting);
  }
}

inline void Worker::on_drain(const Request& request) {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }
  answer(request, dumps(Object{{"closed", drain(request.params.get("deadline_ms", 250.0) / 1000)}}));
}

// Waits for what is open; idle connections are closed when `seconds` are over. How many connections were closed.
inline std::size_t Worker::drain(double seconds) {
  settle_doors();
  Lock lock(mutex_);
  const std::size_t before = connections_.size();
  const auto none = [this] { return connections_.empty(); };
  changed_.wait_for(lock, detail::in_seconds(seconds), none);
  for (const auto& [connection, busy] : connections_) {
    if (!busy) ::shutdown(connection->fd(), SHUT_RD);  // what has come already is answered
  }
  changed_.wait_for(lock, detail::in_seconds(kBeatGap), none);
  return before - std::min(before, connections_.size());
}

// ---- The end

inline void Worker::on_stop_request(const Request& request) {
  answer(request, "{}");
  if (stage() == Stage::Stopping) return;
  const double seconds = request.params.get("deadline_ms", 3'000.0) / 1000;
  move(Stage::Stopping);
  ender_ = std::thread([this, seconds] { end(seconds); });
}

// Lets what was answered out, shuts down the components, and lets the program end by itself; then ends it.
inline void Worker::end(double seconds) {
  using detail::Clock;
  const auto until = Clock::now() + detail::in_seconds(0.8 * seconds);
  const auto idle = [this] {
    return std::all_of(connections_.begin(), connections_.end(), [](const auto& each) { return !each.second; });
  };
  {
    Lock lock(mutex_);
    changed_.wait_for(lock, detail::in_seconds(std::min(kLeave, 0.2 * seconds)), idle);
  }
  shut_down(until);
  const auto leave = std::min(until, Clock::now() + detail::in_seconds(kLeave));
  Lock lock(mutex_);
  changed_.wait_until(lock, leave, [this] { return leaving_ || abandoned_; });
  if (leaving_) {
    std::thread([leave] {  // what main destroys then may hang
      std::this_thread::sleep_until(leave);
      ::_exit(0);
    })
        .detach();
    return;
  }
  std::fflush(stdout);
  ::_exit(0);
}

inline void Worker::shut_down(detail::Clock::time_point until) {
  const auto next = [this]() -> Component* {
    const std::lock_guard lock(mutex_);
    for (auto each = components_.rbegin(); each != components_.rend(); ++each) {
      if (each->stop_ && (!each->start_ || each->begun_)) return &*each;
    }
    return nullptr;
  };
  while (Component* const each = next()) {
    const std::string named = each->name_.empty() ? "a component" : "component " + each->name_;
    const detail::Apart stop([function = std::exchange(each->stop_, nullptr)] {
      is_component() = true;
      function();
    });
    const auto deadline = std::min(until, detail::Clock::now() + detail::in_seconds(each->deadline_));
    if (!stop.wait_until(deadline))
      detail::complain(named + " did not stop in time");
    else if (!stop.problem().empty())
      detail::complain(named + " did not stop: " + stop.problem());
  }
}

// The supervisor is gone. Ends this process; what was live saves itself first.
inline void Worker::on_channel_end() {
  Stage stage = Stage::Loading;
  {
    const std::lock_guard lock(mutex_);
    if (stage_ == Stage::Stopping || leaving_) return;
    stage = stage_;
  }
  if (!was_live_ || emergency_file_.empty()) ::_exit(0);
  try {
    if (stage != Stage::Held) close_gate(kPatience);
    detail::replace_file(emergency_file_, encode_state());
  } catch (const std::exception& error) {
    detail::complain(std::string("the supervisor is gone and the state could not be saved: ") + error.what());
    ::_exit(1);
  }
  ::_exit(0);
}

inline bool Worker::channel_ended(int wait_ms) {
  pollfd end{channel_, 0, 0};
  return ::poll(&end, 1, wait_ms) > 0;
}

// SIGTERM and an uncaught Stopped; a forked child is no worker.
inline void Worker::take_over() {
  ::pthread_atfork(nullptr, nullptr, [] {
    if (const int channel = channel_.exchange(-1); channel >= 0) ::close(channel);
  });
  before_terminate_ = std::set_terminate(on_terminate);
  struct sigaction ours {};
  ::sigaction(SIGTERM, nullptr, &before_sigterm_);
  if (before_sigterm_.sa_handler == SIG_IGN) return;
  ours.sa_sigaction = on_sigterm;
  ours.sa_flags = SA_RESTART | SA_SIGINFO;
  ::sigaction(SIGTERM, &ours, nullptr);
}

// A supervisor's death sends SIGTERM too: then the end of the channel counts. Else it does what it did.
inline void Worker::on_sigterm(int number, siginfo_t* info, void* context) {
  const int error = errno;
  if (channel_ < 0 || !channel_ended(kTermWait)) {
    if ((before_sigterm_.sa_flags & SA_SIGINFO) != 0) {
      before_sigterm_.sa_sigaction(number, info, context);
    } else if (before_sigterm_.sa_handler != SIG_DFL) {
      before_sigterm_.sa_handler(number);
    } else {
      ::sigaction(number, &before_sigterm_, nullptr);
      ::raise(number);  // as soon as this returns
    }
  }
  errno = error;
}

inline void Worker::on_terminate() {
  bool stopped = false;
  if (const std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const Stopped&) {
      stopped = true;
    } catch (...) {
    }
  }
  if (!stopped) before_terminate_();
  if (only_ != nullptr && std::this_thread::get_id() == only_->main_) {
    const std::lock_guard lock(only_->mutex_);
    only_->abandoned_ = true;
    only_->changed_.notify_all();
  }
  for (;;) ::pause();  // until the process ends
}

}  // namespace zeroth
