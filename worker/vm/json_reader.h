#pragma once
// A small strict JSON reader that hands out values in the order of the text. The first mistake is kept, with a JSON
// pointer to it, and ends every loop; until error() is asked, callers need not look.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace zeroth {

class JsonReader {
 public:
  // `text` must outlive the reader.
  explicit JsonReader(std::string_view text) : text_(text) {}

  // Calls on_member(std::string_view key) for each member; it must read exactly one value.
  template <class F>
  void object(F&& on_member) {
    if (!enter('{', "an object")) return;
    for (bool first = true; more('}', first); first = false) {
      path_.back().key = member_key();
      if (!error_) on_member(std::string_view(path_.back().key));
    }
    leave();
  }
  // Calls on_element(std::size_t index) for each element; it must read exactly one value.
  template <class F>
  void array(F&& on_element) {
    if (!enter('[', "an array")) return;
    for (bool first = true; more(']', first); first = false) {
      on_element(path_.back().index);
      ++path_.back().index;
    }
    leave();
  }

  // Valid UTF-8; the view lives until the next call.
  std::string_view string();
  // Finite, of magnitude at most `limit`.
  double real(double limit);
  std::uint64_t count();
  bool boolean();
  // An array of numbers or a block of base64, of exactly the type the vector has; i8 elements are -1, 0 or +1.
  void numbers(std::vector<double>& into, double limit);
  void numbers(std::vector<std::uint64_t>& into);
  void numbers(std::vector<std::int8_t>& into);
  // Any value.
  void skip();
  // Nothing but white space may follow.
  void finish();

  // Notes a mistake at the value being read, or at its member or element `below`.
  void fail(std::string message, std::string_view below = {});
  bool ok() const { return !error_; }
  std::optional<Error> error() const { return error_; }

 private:
  struct Step {
    std::string key;  // of an object's member
    std::size_t index = 0;
    bool in_array = false;
  };

  bool enter(char bracket, const char* what);
  bool more(char bracket, bool first);
  void leave() { path_.pop_back(); }
  std::string member_key();
  char peek();
  bool expect(char c, const char* what);
  std::string_view number_text();
  std::string_view plain_string();
  std::string_view escaped_string(std::size_t start);
  bool end_string();
  bool append_escape(std::size_t& at);
  std::optional<std::uint32_t> hex4(std::size_t at) const;
  template <class T, class ReadElement>
  void read_numbers(std::string_view type, std::vector<T>& into, ReadElement&& element);
  template <class T>
  void read_block(std::string_view type, std::vector<T>& into);

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Step> path_;
  std::string scratch_;  // of a string with escapes
  std::optional<Error> error_;
};

// One member of an object: its name, how to read it, and whether it must be there.
template <class T>
struct JsonMember {
  std::string_view name;
  void (*read)(JsonReader&, T&);
  bool required = true;
};

// Reads an object by a table of at most 64 members; others are skipped, none may come twice.
template <class T>
void read_members(JsonReader& in, T& into, std::span<const JsonMember<T>> members) {
  std::uint64_t seen = 0;
  in.object([&](std::string_view key) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].name != key) continue;
      if ((seen >> i & 1) != 0) return in.fail("given twice");
      seen |= std::uint64_t{1} << i;
      return members[i].read(in, into);
    }
    in.skip();
  });
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].required && (seen >> i & 1) == 0) in.fail("missing", members[i].name);
  }
}

}  // namespace zeroth
